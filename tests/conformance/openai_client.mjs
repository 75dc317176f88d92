// The official client for JavaScript through every endpoint. Prints one JSON object a check; needs `openai` alone.
import assert from "node:assert/strict";
import OpenAI from "openai";

const model = process.env.MODEL;
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });

const checks = {
  async models() {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async response() {
    const answer = await client.responses.create({ model, input: "Hello" });
    assert.equal(answer.status, "completed");
    assert.equal(answer.output_text, "You wrote: Hello");
  },
};

for (const [name, check] of Object.entries(checks)) {
  let error = null;
  try {
    await check();
  } catch (problem) {
    error = `${problem.name}: ${problem.message}`;
  }
  console.log(JSON.stringify({ name, error }));
}
process.exit(0);
