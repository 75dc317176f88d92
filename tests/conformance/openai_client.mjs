// The official client for JavaScript through every endpoint. Prints one JSON object a check; needs `openai` and `ws`.
// What the scripted models answer: `system.py` beside this file.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const model = process.env.MODEL;
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });

const parameters = {
  type: "object",
  properties: { location: { type: "string" } },
  required: ["location"],
  additionalProperties: false,
};
const weather = { type: "function", name: "get_weather", parameters, strict: true };
const chatWeather = { type: "function", function: { name: "get_weather", parameters } };
const location = { location: "San Francisco, CA" };
const reading = {
  type: "object",
  properties: { place: { type: "string" }, degrees: { type: "integer" } },
  required: ["place", "degrees"],
  additionalProperties: false,
};
const terminal = ["response.completed", "response.incomplete", "response.failed"];

const create = (input, options = {}) => client.responses.create({ model, input, ...options });

async function collected(events) {
  const listed = [];
  for await (const event of events) listed.push(event);
  return listed;
}

function checked(events) {
  const numbers = events.map((event) => event.sequence_number);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
  assert.equal(events[0].type, "response.created");
  assert.ok(terminal.includes(events.at(-1).type));
  assert.equal(events.filter((event) => terminal.includes(event.type)).length, 1);
  return events;
}

const textOf = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

async function ended(id) {
  for (let attempt = 0; attempt < 300; attempt++) {
    const response = await client.responses.retrieve(id);
    if (!["queued", "in_progress"].includes(response.status)) return response;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`${id} does not end`);
}

const refused = (promise, status, param) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.param, param);
    return true;
  });

const checks = {
  async models() {
    const ids = (await collected(client.models.list())).map((each) => each.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async response() {
    const answer = await create("Hello", { metadata: { topic: "tides" } });
    assert.equal(answer.status, "completed");
    assert.equal(answer.output_text, "You wrote: Hello");
    assert.deepEqual((await client.responses.retrieve(answer.id)).metadata, { topic: "tides" });
  },

  async stream() {
    const events = checked(await collected(await create("Count to five", { stream: true })));
    assert.equal(textOf(events), "You wrote: Count to five");
  },

  async stream_helper() {
    const answer = await client.responses.stream({ model, input: "Count to five" }).finalResponse();
    assert.equal(answer.output_text, "You wrote: Count to five");
  },

  async background_and_resume() {
    const seen = [];
    for await (const event of await create("Answer slowly", { background: true, stream: true })) {
      if (seen.push(event) === 3) break;
    }
    const id = seen[0].response.id;
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: seen.at(-1).sequence_number });
    const joined = checked([...seen, ...(await collected(rest))]);
    assert.deepEqual(await collected(await client.responses.retrieve(id, { stream: true })), joined);
    assert.equal((await ended(id)).output_text, "You wrote: Answer slowly");
  },

  async cancel_and_delete() {
    const begun = await create("Answer slowly", { background: true });
    assert.equal((await client.responses.cancel(begun.id)).status, "cancelled");
    await refused(client.responses.cancel(begun.id), 409, null);
    await client.responses.delete(begun.id);
    await refused(client.responses.retrieve(begun.id), 404, "response_id");
  },

  async input_items() {
    const answer = await create(["one", "two", "three"].map((content) => ({ role: "user", content })));
    const items = await collected(client.responses.inputItems.list(answer.id, { limit: 2, order: "asc" }));
    assert.deepEqual(items.map((item) => item.content[0].text), ["one", "two", "three"]);
  },

  async previous_response_and_branches() {
    const root = await create("Remember the number four.");
    for (const text of ["And now?", "Or else?"]) {
      const branch = await create(text, { previous_response_id: root.id });
      assert.equal(branch.output_text, `You wrote: ${text}`);
    }
  },

  async client_tool() {
    const first = await create("The weather?", { tools: [weather] });
    const call = first.output.at(-1);
    assert.deepEqual(JSON.parse(call.arguments), location);
    const output = [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }];
    const answer = await create(output, { previous_response_id: first.id, tools: [weather] });
    assert.equal(answer.output_text, "You wrote: The weather?");
  },

  async parsed_answer() {
    const text = { format: { type: "json_schema", name: "reading", strict: true, schema: reading } };
    const answer = await client.responses.parse({ model, input: "How warm?", text });
    assert.deepEqual(answer.output_parsed, { place: "San Francisco, CA", degrees: 1 });
  },

  async bad_requests() {
    await refused(create("Hello", { colour: "red" }), 400, "colour");
    await refused(create("Hello", { model: "gpt-none" }), 404, "model");
  },

  async conversations() {
    const items = [{ type: "message", role: "user", content: "I am Alice." }];
    const conversation = await client.conversations.create({ items, metadata: { topic: "names" } });
    for (const text of ["Who am I?", "And now?"]) {
      assert.equal((await create(text, { conversation: conversation.id })).output_text, `You wrote: ${text}`);
    }
    const listed = await collected(client.conversations.items.list(conversation.id, { order: "asc", limit: 2 }));
    const users = listed.filter((item) => item.role === "user").map((item) => item.content[0].text);
    assert.deepEqual(users, ["I am Alice.", "Who am I?", "And now?"]);
    const first = await client.conversations.items.retrieve(listed[0].id, { conversation_id: conversation.id });
    assert.deepEqual(first, listed[0]);
    await client.conversations.items.delete(first.id, { conversation_id: conversation.id });
    await client.conversations.update(conversation.id, { metadata: { topic: "none" } });
    assert.deepEqual((await client.conversations.retrieve(conversation.id)).metadata, { topic: "none" });
    assert.ok((await client.conversations.delete(conversation.id)).deleted);
  },

  async compaction() {
    const answer = await create("We launch on Tuesday.");
    const { output } = await client.responses.compact({ model, previous_response_id: answer.id });
    const again = await create([...output, { role: "user", content: "When?" }]);
    assert.equal(again.output_text, "You wrote: When?");
  },

  async web_socket() {
    const socket = new ResponsesWS(client);
    try {
      let previous = null;
      for (const text of ["Remember four", "And now?"]) {
        socket.send({ type: "response.create", model, input: text, store: false, previous_response_id: previous });
        const events = [];
        for await (const each of socket.stream()) {
          if (each.type === "error") throw each.error;
          if (each.type !== "message") continue;
          events.push(each.message);
          if (terminal.includes(each.message.type)) break;
        }
        assert.equal(textOf(checked(events)), `You wrote: ${text}`);
        previous = events.at(-1).response.id;
      }
    } finally {
      socket.close();
    }
  },

  async chat() {
    const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "Hello" }];
    const answer = await client.chat.completions.create({ model, messages });
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.choices[0].message.content, "You wrote: Hello");
  },

  async chat_stream() {
    const messages = [{ role: "user", content: "Count to five" }];
    const options = { model, messages, stream: true, stream_options: { include_usage: true } };
    const chunks = await collected(await client.chat.completions.create(options));
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, "You wrote: Count to five");
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },

  async chat_tool() {
    const messages = [{ role: "user", content: "The weather?" }];
    const helper = client.chat.completions.stream({ model, messages, tools: [chatWeather] });
    const { message, finish_reason } = (await helper.finalChatCompletion()).choices[0];
    assert.equal(finish_reason, "tool_calls");
    const [call] = message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), location);
    const output = { role: "tool", tool_call_id: call.id, content: "sunny" };
    const rest = { model, messages: [...messages, message, output], tools: [chatWeather] };
    const answer = await client.chat.completions.create(rest);
    assert.equal(answer.choices[0].message.content, "You wrote: The weather?");
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
