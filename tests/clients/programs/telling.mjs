// What the programs of both Node clients have in common: where to ask, and how to tell.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { CLIENTS_URL, CLIENTS_KEY, CLIENTS_MODEL, CLIENTS_BLOCKED, CLIENTS_NODE_MODULES } = process.env;
export { assert, CLIENTS_URL as URL_, CLIENTS_KEY as KEY, CLIENTS_MODEL as MODEL, CLIENTS_BLOCKED as BLOCKED };

const require = createRequire(`${CLIENTS_NODE_MODULES}/`);
export const installed = async (name) => ({
  module: await import(pathToFileURL(require.resolve(name))),
  version: require(`${CLIENTS_NODE_MODULES}/${name}/package.json`).version,
});

export const QUESTION = [{ role: "user", content: "espresso: strong black coffee" }];
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string", maxLength: 8 } },
  required: ["city"],
  additionalProperties: false,
};
export const FUNCTION = { name: "weather", description: "How it is.", parameters: SCHEMA };
export const LONG = 1500;
export const ROWS = Array.from({ length: 40 }, (_, number) => {
  const user = { role: "user", content: `thing ${number}` };
  return JSON.stringify({ messages: [user, { role: "assistant", content: number % 2 ? "animal" : "plant" }] });
}).join("\n");

// Each call in order; one line of JSON says how it went.
export async function tell(calls, version) {
  console.log(JSON.stringify({ version }));
  for (const [call, make] of Object.entries(calls)) {
    let failed = null;
    try {
      await make();
    } catch (error) {
      failed = `${error.constructor.name}: ${error.message}`.split("\n")[0].slice(0, 300);
    }
    console.log(JSON.stringify({ call, failed }));
  }
}

export async function raises(kind, call, word = "") {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    assert.ok(error.message.includes(word) || JSON.stringify(error.error ?? "").includes(word), error.message);
    return;
  }
  assert.fail(`not refused with ${kind.name}`);
}

export async function until(seconds, probe) {
  const deadline = Date.now() + seconds * 1000;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.fail(`not within ${seconds} s`);
}

export const all = async (pages) => {
  const found = [];
  for await (const item of pages) found.push(item);
  return found;
};

export function isOfSchema(said) {
  const value = typeof said === "string" ? JSON.parse(said) : said;
  assert.deepEqual(Object.keys(value), ["city"]);
}
