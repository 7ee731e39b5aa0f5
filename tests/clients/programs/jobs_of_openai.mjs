// What runs for long, by OpenAI's client for Node: training jobs, batches, evals.
import { MODEL, QUESTION, ROWS, all, assert, until } from "./telling.mjs";

const EPOCHS = 100; // so many that the job still runs when it is paused

export function jobCalls(client, toFile) {
  const { jobs } = client.fineTuning;
  let id = "";
  let evalId = "";
  const is = async (status) => (await jobs.retrieve(id)).status === status;
  const stored = async (text, purpose) =>
    (await client.files.create({ file: await toFile(Buffer.from(text), "rows.jsonl"), purpose })).id;

  return {
    "fine_tuning: create": async () => {
      const hyperparameters = { n_epochs: EPOCHS, batch_size: 4 };
      const method = { type: "supervised", supervised: { hyperparameters } };
      const asked = { model: MODEL, training_file: await stored(ROWS, "fine-tune"), method };
      id = (await jobs.create(asked)).id;
    },
    "fine_tuning: list": async () => assert.ok((await all(jobs.list())).some((job) => job.id === id)),
    "fine_tuning: events": async () => {
      const found = await until(60, async () => (await jobs.listEvents(id)).data[0]);
      assert.equal(found.object, "fine_tuning.job.event");
    },
    "fine_tuning: pause": async () => {
      await until(60, () => is("running"));
      await until(60, async () => (await jobs.listEvents(id)).data[0]?.data.loss);
      await jobs.pause(id);
      await until(60, () => is("paused"));
    },
    "fine_tuning: checkpoints": async () => {
      const [newest] = (await jobs.checkpoints.list(id)).data;
      assert.ok(newest.step_number > 0);
    },
    "fine_tuning: resume": async () => {
      await jobs.resume(id);
      await until(60, () => is("running"));
    },
    "fine_tuning: cancel": async () => {
      await jobs.cancel(id);
      await until(60, () => is("cancelled"));
    },
    batches: async () => {
      const body = { model: MODEL, messages: QUESTION, max_tokens: 4 };
      const line = { custom_id: "first", method: "POST", url: "/v1/chat/completions", body };
      const input_file_id = await stored(JSON.stringify(line), "batch");
      const endpoint = "/v1/chat/completions";
      const batch = await client.batches.create({ input_file_id, endpoint, completion_window: "24h" });
      const done = await until(60, async () => {
        const now = await client.batches.retrieve(batch.id);
        return now.status === "completed" && now;
      });
      const answers = await (await client.files.content(done.output_file_id)).text();
      assert.equal(JSON.parse(answers.split("\n")[0]).custom_id, "first");
    },
    evals: async () => {
      const item_schema = { type: "object", properties: { word: { type: "string" } } };
      const made = await client.evals.create({
        name: "kinds",
        data_source_config: { type: "custom", item_schema, include_sample_schema: true },
        testing_criteria: [
          {
            type: "string_check",
            name: "says it",
            input: "{{ sample.output_text }}",
            reference: "{{ item.word }}",
            operation: "ne",
          },
        ],
      });
      evalId = made.id;
    },
    "evals: run": async () => {
      const template = [{ role: "user", content: "{{ item.word }}" }];
      const run = await client.evals.runs.create(evalId, {
        name: "one",
        data_source: {
          type: "completions",
          model: MODEL,
          input_messages: { type: "template", template },
          sampling_params: { max_completion_tokens: 4 },
          source: { type: "file_content", content: [{ item: { word: "oak" } }] },
        },
      });
      const done = await until(60, async () => {
        const now = await client.evals.runs.retrieve(run.id, { eval_id: evalId });
        return now.status === "completed" && now;
      });
      assert.equal(done.result_counts.passed, 1);
    },
  };
}
