"""What Mistral's SDK for Python does through a gateway, one JSON object a line. MISTRAL_SERVER says where."""

import json
import os

from mistralai.client import Mistral

client = Mistral(api_key="not-the-provider-s", server_url=os.environ["MISTRAL_SERVER"])
messages = [{"role": "user", "content": "Say hello."}]


def tell(**fields):
    print(json.dumps(fields), flush=True)


answer = client.chat.complete(model="open-mistral-nemo", messages=messages)
tell(step="plain", text=answer.choices[0].message.content, model=answer.model, tokens=answer.usage.total_tokens)

with client.chat.stream(model="open-mistral-nemo", messages=messages) as events:
    pieces = [event.data.choices[0].delta.content or "" for event in events]
tell(step="stream", text="".join(pieces), pieces=len(pieces))

vectors = client.embeddings.create(model="mistral-embed", inputs=["one", "two"])
tell(step="embeddings", vectors=len(vectors.data))
