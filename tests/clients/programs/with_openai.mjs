// OpenAI's own client for Node.
import { jobCalls } from "./jobs_of_openai.mjs";
import {
  BLOCKED, FUNCTION, KEY, LONG, MODEL, QUESTION, ROWS, SCHEMA, URL_, all, assert, installed, isOfSchema, raises, tell,
} from "./telling.mjs";

const { module, version } = await installed("openai");
const { OpenAI, toFile } = module;
const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY, maxRetries: 0, timeout: 60000 });
const chat = client.chat.completions;
const ASKED = { model: MODEL, messages: QUESTION, max_tokens: 8, temperature: 0 };
const TOOL = { type: "function", function: FUNCTION };
const COMPLETING = { model: MODEL, prompt: "a", max_tokens: 4, temperature: 0 };
const RESPONDING = { model: MODEL, input: "hello", max_output_tokens: 8, temperature: 0 };
const CALLING = { ...ASKED, tools: [TOOL], tool_choice: "required", max_tokens: 64 };
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

const calls = {
  chat: async () => {
    const answer = await chat.create(ASKED);
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.usage.completion_tokens, 8);
  },
  "chat, streamed": async () => {
    const chunks = await all(await chat.create({ ...ASKED, stream: true }));
    assert.ok(textOf(chunks));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
  },
  "usage in a stream": async () => {
    const options = { stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await chat.create({ ...ASKED, ...options }));
    assert.equal(chunks.at(-1).usage.completion_tokens, 8);
  },
  tools: async () => {
    const [call] = (await chat.create(CALLING)).choices[0].message.tool_calls;
    isOfSchema(call.function.arguments);
    const made = { role: "assistant", tool_calls: [call] };
    const result = { role: "tool", tool_call_id: call.id, content: "sunny" };
    const again = await chat.create({ ...ASKED, tools: [TOOL], messages: [...QUESTION, made, result] });
    assert.ok(again.choices[0].finish_reason);
  },
  "tools, streamed": async () => {
    const answer = await chat.stream(CALLING).finalChatCompletion();
    isOfSchema(answer.choices[0].message.tool_calls[0].function.arguments);
  },
  json_schema: async () => {
    const form = { type: "json_schema", json_schema: { name: "place", schema: SCHEMA, strict: true } };
    isOfSchema((await chat.create({ ...ASKED, max_tokens: 64, response_format: form })).choices[0].message.content);
  },
  logprobs: async () => {
    const tokens = (await chat.create({ ...ASKED, logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content;
    assert.deepEqual([tokens.length, tokens[0].top_logprobs.length], [8, 2]);
  },
  n: async () => assert.equal((await chat.create({ ...ASKED, n: 2 })).choices.length, 2),
  stop: async () => {
    const whole = [...(await chat.create(ASKED)).choices[0].message.content];
    const cut = await chat.create({ ...ASKED, stop: [whole[2]] });
    assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf(whole[2])).join(""));
  },
  seed: async () => {
    const seeded = { ...ASKED, temperature: 1, seed: 7 };
    const [one, other] = [await chat.create(seeded), await chat.create(seeded)];
    assert.equal(one.choices[0].message.content, other.choices[0].message.content);
  },
  completions: async () => {
    const answer = await client.completions.create({ ...COMPLETING, prompt: ["a", "b"] });
    assert.equal(answer.choices.length, 2);
  },
  "completions, streamed": async () => {
    const chunks = await all(await client.completions.create({ ...COMPLETING, stream: true }));
    assert.ok(chunks.at(-1).choices[0].finish_reason);
  },
  embeddings: async () => {
    const answer = await client.embeddings.create({ model: MODEL, input: ["a", "b"] });
    assert.equal(answer.data.length, 2);
  },
  models: async () => {
    const [named] = (await all(client.models.list())).filter((model) => model.name === MODEL);
    assert.equal((await client.models.retrieve(named.id)).id, named.id);
  },
  files: async () => {
    const file = await toFile(Buffer.from(ROWS), "rows.jsonl");
    const stored = await client.files.create({ file, purpose: "fine-tune" });
    assert.equal(await (await client.files.content(stored.id)).text(), ROWS);
    assert.ok((await all(client.files.list())).some((each) => each.id === stored.id));
    assert.ok((await client.files.delete(stored.id)).deleted);
  },
  uploads: async () => {
    const bytes = Buffer.byteLength(ROWS);
    const asked = { filename: "a.jsonl", purpose: "fine-tune", bytes, mime_type: "text/jsonl" };
    const upload = await client.uploads.create(asked);
    const ids = [];
    for (const half of [ROWS.slice(0, 100), ROWS.slice(100)]) {
      const data = await toFile(Buffer.from(half), "part");
      ids.push((await client.uploads.parts.create(upload.id, { data })).id);
    }
    const done = await client.uploads.complete(upload.id, { part_ids: ids });
    assert.equal(await (await client.files.content(done.file.id)).text(), ROWS);
  },
  moderations: async () => {
    const { results } = await client.moderations.create({ input: ["hello", BLOCKED] });
    assert.deepEqual(results.map((each) => each.flagged), [false, true]);
  },
  responses: async () => {
    const answer = await client.responses.create(RESPONDING);
    assert.ok(answer.output_text);
    assert.equal(answer.usage.output_tokens, 8);
  },
  "responses, streamed": async () => {
    const events = await all(await client.responses.create({ ...RESPONDING, stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    assert.equal(events.at(-1).type, "response.incomplete");
  },
  "responses: tools": async () => {
    const tools = [{ type: "function", strict: true, ...FUNCTION }];
    const asked = { model: MODEL, input: "hello", tools, tool_choice: "required", max_output_tokens: 64 };
    const [call] = (await client.responses.create(asked)).output;
    isOfSchema(call.arguments);
  },
  "error 400": () => raises(module.BadRequestError, () => chat.create({ ...ASKED, logit_bias: { 7: 1 } }), "logit_bias"),
  "error 401": () => {
    const stranger = client.withOptions({ apiKey: "mm-stranger" });
    return raises(module.AuthenticationError, () => stranger.chat.completions.create(ASKED));
  },
  "error 404": () => raises(module.NotFoundError, () => chat.create({ ...ASKED, model: "nobody" }), "nobody"),
  "policy's block": () => {
    const messages = [{ role: "user", content: BLOCKED }];
    return raises(module.BadRequestError, () => chat.create({ ...ASKED, messages }), "no-eating");
  },
  "leaves in mid-stream": async () => {
    for await (const chunk of await chat.create({ ...ASKED, max_tokens: LONG, stream: true })) {
      assert.ok(chunk.id);
      break;
    }
  },
  ...jobCalls(client, toFile),
};

await tell(calls, version);
