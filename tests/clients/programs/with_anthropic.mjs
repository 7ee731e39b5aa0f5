// Anthropic's own client for Node.
import {
  BLOCKED, FUNCTION, KEY, LONG, MODEL, QUESTION, SCHEMA, URL_, all, assert, installed, isOfSchema, raises, tell,
} from "./telling.mjs";

const { module, version } = await installed("@anthropic-ai/sdk");
const { Anthropic } = module;
const client = new Anthropic({ baseURL: URL_, apiKey: KEY, maxRetries: 0, timeout: 60000 });
const ASKED = { model: MODEL, messages: QUESTION, max_tokens: 8, temperature: 0 };
const TOOL = { name: "weather", description: FUNCTION.description, input_schema: SCHEMA };

const calls = {
  messages: async () => {
    const answer = await client.messages.create({ ...ASKED, system: "Name the kind of thing." });
    assert.ok(answer.content[0].text);
    assert.deepEqual([answer.stop_reason, answer.usage.output_tokens], ["max_tokens", 8]);
  },
  "messages, streamed": async () => {
    const answer = await client.messages.stream(ASKED).finalMessage();
    assert.ok(answer.content[0].text);
    assert.deepEqual([answer.stop_reason, answer.usage.output_tokens], ["max_tokens", 8]);
  },
  "messages: tools": async () => {
    const asked = { ...ASKED, tools: [TOOL], tool_choice: { type: "any" }, max_tokens: 64 };
    const answer = await client.messages.create(asked);
    isOfSchema(answer.content[0].input);
    const result = { type: "tool_result", tool_use_id: answer.content[0].id, content: "sunny" };
    const said = [{ role: "assistant", content: answer.content }, { role: "user", content: [result] }];
    const again = await client.messages.create({ ...ASKED, tools: [TOOL], messages: [...QUESTION, ...said] });
    assert.ok(again.stop_reason);
    isOfSchema((await client.messages.stream(asked).finalMessage()).content[0].input);
  },
  "messages: json_schema": async () => {
    const output_config = { format: { type: "json_schema", schema: SCHEMA } };
    isOfSchema((await client.messages.create({ ...ASKED, max_tokens: 64, output_config })).content[0].text);
  },
  "messages: count_tokens": async () => {
    const { input_tokens } = await client.messages.countTokens({ model: MODEL, messages: QUESTION });
    assert.equal(input_tokens, (await client.messages.create(ASKED)).usage.input_tokens);
  },
  stop: async () => {
    const whole = [...(await client.messages.create(ASKED)).content[0].text];
    const cut = await client.messages.create({ ...ASKED, stop_sequences: [whole[2]] });
    assert.deepEqual([cut.stop_reason, cut.stop_sequence], ["stop_sequence", whole[2]]);
  },
  models: async () => assert.ok((await all(client.models.list())).some((model) => model.name === MODEL)),
  "error 400": () => {
    const image = { type: "image", source: { type: "url", url: "https://example.com/a.png" } };
    const messages = [{ role: "user", content: [image] }];
    return raises(module.BadRequestError, () => client.messages.create({ ...ASKED, messages }), "image");
  },
  "error 401": () => {
    const stranger = client.withOptions({ apiKey: "mm-stranger" });
    return raises(module.AuthenticationError, () => stranger.messages.create(ASKED));
  },
  "error 404": () =>
    raises(module.NotFoundError, () => client.messages.create({ ...ASKED, model: "nobody" }), "nobody"),
  "policy's block": () => {
    const messages = [{ role: "user", content: BLOCKED }];
    return raises(module.BadRequestError, () => client.messages.create({ ...ASKED, messages }), "no-eating");
  },
  "leaves in mid-stream": async () => {
    for await (const event of await client.messages.create({ ...ASKED, max_tokens: LONG, stream: true })) {
      if (event.type === "content_block_delta") break;
    }
  },
};

await tell(calls, version);
