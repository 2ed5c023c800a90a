"""What the OpenAI SDK for Python does through a gateway, one JSON object a line. OPENAI_BASE_URL says where."""

import json

import openai

client = openai.OpenAI(api_key="not-the-provider-s", max_retries=0)
messages = [{"role": "user", "content": "Say hello."}]


def tell(**fields):
    print(json.dumps(fields), flush=True)


answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
tell(step="plain", text=answer.choices[0].message.content, model=answer.model, tokens=answer.usage.total_tokens)

pieces = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
pieces = [piece.choices[0].delta.content or "" for piece in pieces]
tell(step="stream", text="".join(pieces), pieces=len(pieces))

pieces = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
)
usage = [piece.usage.total_tokens for piece in pieces if piece.usage]
tell(step="usage", usage=len(usage))

vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
tell(step="embeddings", vectors=len(vectors.data), dimensions=len(vectors.data[0].embedding))

tell(step="models", models=[model.id for model in client.models.list()])

response = client.responses.create(model="gpt-4o-mini", input="Say hello.")
tell(step="responses", text=response.output_text)

events = client.responses.create(model="gpt-4o-mini", input="Say hello.", stream=True)
tell(step="responses stream", last=[event.type for event in events][-1])

try:
    client.chat.completions.create(model="gpt-4o-mini", messages=messages, extra_body={"model": 7})
except openai.BadRequestError as error:
    tell(step="refused", status=error.status_code, code=error.code, message=error.message)

try:
    cut = openai.OpenAI(api_key="x", base_url=str(client.base_url).replace("/openai/", "/cut/"), max_retries=0)
    for _ in cut.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
        pass
    tell(step="cut", message="the stream looked whole")
except openai.APIError as error:
    tell(step="cut", message=error.message)
