// What the OpenAI SDK for Node does through a gateway, one JSON object a line. OPENAI_BASE_URL says where.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK is where NODE_MODULES says, not beside this file.
const require = createRequire(pathToFileURL(process.env.NODE_MODULES + "/"));
const OpenAI = require("openai").default ?? require("openai");

const client = new OpenAI({ apiKey: "not-the-provider-s", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const tell = (fields) => console.log(JSON.stringify(fields));

const answer = await client.chat.completions.create({ model: "gpt-4o-mini", messages });
tell({ step: "plain", text: answer.choices[0].message.content, model: answer.model, tokens: answer.usage.total_tokens });

let text = "";
let pieces = 0;
for await (const piece of await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })) {
  text += piece.choices[0].delta.content ?? "";
  pieces += 1;
}
tell({ step: "stream", text, pieces });

const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
tell({ step: "embeddings", vectors: vectors.data.length, dimensions: vectors.data[0].embedding.length });

const models = [];
for await (const model of client.models.list()) models.push(model.id);
tell({ step: "models", models });

const response = await client.responses.create({ model: "gpt-4o-mini", input: "Say hello." });
tell({ step: "responses", text: response.output_text });

try {
  await client.chat.completions.create({ model: 7, messages });
} catch (error) {
  tell({ step: "refused", status: error.status, code: error.code, message: error.message });
}

try {
  const cut = new OpenAI({ apiKey: "x", baseURL: client.baseURL.replace("/openai/", "/cut/"), maxRetries: 0 });
  for await (const _ of await cut.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })) {
    // The end is what counts.
  }
  tell({ step: "cut", message: "the stream looked whole" });
} catch (error) {
  tell({ step: "cut", message: error.message });
}
