"""The summarizer service: a streamed answer, made of what the observations say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.role_apps import application, client_of, scripted

from alpha_umi.serving.engine import Chunk, Generation
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine
from services.summarizer import create_router

Json = dict[str, Any]


def history(*observations: str) -> list[Json]:
    turns = [{"role": "user", "content": "How long is the day in Oslo?"}]
    for observation in observations:
        turns += [
            {"role": "planner", "content": "I ask. Next: caller."},
            {"role": "caller", "content": "Action: sun_times\nAction Input: {}"},
            {"role": "observation", "content": observation},
        ]
    return [*turns, {"role": "planner", "content": "Known. Next: conclusion."}]


async def ask(rules: list[Rule], body: Json, path: str = "/v1/summarize") -> tuple[int, Json, Any]:
    engine = scripted(*rules, context=12_000 if "answer_schema" in body else 600)
    async with client_of(application("summarizer", create_router, engine)) as client:
        response = await client.post(path, json=body)
        return response.status_code, response.json(), engine


@pytest.mark.parametrize(("observation", "answer"), [("18 h 49 min", "18 h 49 min."), ("5 h 53 min", "5 h 53 min.")])
async def test_figures_come_from_the_observations(observation: str, answer: str) -> None:
    """The same model and question with another observation: another answer, because the prompt carries it."""
    rules = [Rule([" 18 h 49 min.\n"], when="18 h 49 min"), Rule(["5 h 53 min."], when="5 h 53 min")]
    status, summary, engine = await ask(rules, {"history": history(observation)})
    assert (status, summary["answer"]) == (200, answer)
    assert f"observation: {observation}" in engine.prompts[-1]


async def test_the_answer_is_streamed() -> None:
    engine = scripted(Rule(["It is 18 hours."]))
    async with (
        client_of(application("summarizer", create_router, engine)) as client,
        aconnect_sse(client, "POST", "/v1/summarize", json={"history": history("x"), "stream": True}) as source,
    ):
        events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert "".join(data["text"] for kind, data in events if kind == "delta") == "It is 18 hours."
    assert len(events) > 2
    assert (events[-1][0], events[-1][1]["answer"]) == ("done", "It is 18 hours.")


async def test_an_empty_answer_is_written_once_more() -> None:
    status, summary, _ = await ask([Rule(["\n", "Now."])], {"history": history("x")})
    assert (status, summary["answer"], summary["timings"]["attempts"]) == (200, "Now.", 2)


async def test_a_single_attempt_is_final() -> None:
    status, problem, engine = await ask([Rule(["\n", "Now."])], {"history": history("x"), "attempts": 1})
    assert (status, problem["timings"]["attempts"], len(engine.prompts)) == (502, 1, 2)


async def test_an_answer_that_stays_empty_is_a_typed_failure() -> None:
    status, problem, engine = await ask([Rule([""])], {"history": history("x")})
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert len(engine.prompts) == 3


HOURS: Json = {"type": "object", "properties": {"hours": {"type": "integer", "minimum": 1}}, "required": ["hours"]}


def demanding(**changes: Any) -> Json:
    return {"history": history("x"), "answer_schema": HOURS, **changes}


async def test_an_answer_matches_its_schema() -> None:
    status, summary, engine = await ask([Rule([' {"hours": 18} '])], demanding())
    assert (status, summary["answer"], summary["unfinished"]) == (200, '{"hours": 18}', False)
    free = await ask([], {"history": history("x")}, "/v1/summarize/render")
    assert engine.prompts[-1] == free[1]["prompt"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("It is 18 hours.", "the answer is not JSON"),
        ('{"hours": 0}', "hours: 0 is less than the minimum of 1"),
        ("{}", 'the answer: "hours" is a required property'),
        ('{"hours": 1, "hours": 2}', "the member 'hours' is written twice"),
        ('{"hours": 18} hours', "text follows the JSON value"),
        ('{"hours": 18, "x": "\\ud83d"}', "half a surrogate pair"),
        ("[" * 5_000, "too deep"),
    ],
)
async def test_an_answer_that_the_schema_does_not_allow_is_repaired_once(bad: str, reason: str) -> None:
    status, summary, engine = await ask([Rule([bad, '{"hours": 18}'])], demanding())
    assert (status, summary["answer"], summary["timings"]["attempts"]) == (200, '{"hours": 18}', 2)
    assert f"conclusion: {bad}" in engine.prompts[-1]
    assert "observation: No answer was accepted: " in engine.prompts[-1]
    assert reason in engine.prompts[-1]
    for attempts in (1, 2):
        status, problem, engine = await ask([Rule([bad])], demanding(attempts=attempts))
        assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:answer-invalid")
        assert (problem["text"], problem["timings"]["attempts"]) == (bad, attempts)
        assert reason in problem["detail"]


async def test_an_empty_answer_of_a_schema_is_written_once_more() -> None:
    status, summary, _ = await ask([Rule(["\n", '{"hours": 18}'])], demanding())
    assert (status, summary["answer"]) == (200, '{"hours": 18}')
    status, problem, _ = await ask([Rule([""])], demanding())
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")


LONG = '{"hours": 18, "why": "' + "far " * 200


async def test_an_answer_that_the_services_token_bound_cuts_is_repaired_with_more_room() -> None:
    status, summary, engine = await ask([Rule([LONG, LONG[:400] + '"}'])], demanding())
    assert (status, summary["unfinished"], json.loads(summary["answer"])["hours"]) == (200, False, 18)
    assert "the answer was not finished within 64 tokens" in engine.prompts[-1]
    assert len(engine.prompts[-1]) < len(engine.prompts[-2]) + 600
    status, problem, _ = await ask([Rule([LONG])], demanding())
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:answer-invalid")


async def test_an_answer_that_the_requests_token_bound_cuts_is_unfinished() -> None:
    for change in (demanding(max_tokens=8), {"max_tokens": 8}, demanding(token_budget=8), {"token_budget": 8}):
        request = {"history": history("x"), **change}
        status, summary, _ = await ask([Rule([LONG])], request)
        assert (status, summary["unfinished"], summary["timings"]["attempts"]) == (200, True, 1)
        assert LONG.startswith(summary["answer"])


async def test_a_budget_lowers_the_bound_and_never_raises_it() -> None:
    for budget, words in ((8, 8), (64, 64), (10_000, 64)):
        _, summary, _ = await ask([Rule(["far " * 200])], {"history": history("x"), "token_budget": budget})
        assert (len(summary["answer"].split()), summary["unfinished"]) == (words, True)
    # The repair has more room, within the budget.
    status, summary, _ = await ask([Rule([LONG])], demanding(token_budget=100))
    assert (status, summary["unfinished"], summary["usage"]["completion_tokens"]) == (200, True, 164)


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "objec"}, "answer_schema.type"),
        ({"properties": {"a": {"$ref": "https://example.org/x"}}}, "answer_schema.properties.a.$ref"),
        ([], "answer_schema"),
    ],
)
async def test_a_schema_that_cannot_be_written_is_refused_with_its_place(schema: Any, field: str) -> None:
    status, problem, _ = await ask([], demanding(answer_schema=schema))
    assert (status, problem["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It is 18 hours. END and more", "It is 18 hours."),
        ("It is 18 hours. EN", "It is 18 hours. EN"),
        ("It is ENENDED. ###", "It is EN"),
        ("It is # ## 18", "It is # ## 18"),
        ("a###", "a"),
    ],
)
async def test_an_answer_ends_before_a_stop_text(text: str, answer: str) -> None:
    request = {"history": history("x"), "stop": ["END", "###"]}
    status, summary, _ = await ask([Rule([text])], request)
    assert (status, summary["answer"], summary["unfinished"]) == (200, answer, False)
    for size in (1, 2, 3):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert "".join(await streamed(pieces, request)).strip() == answer


async def streamed(pieces: list[str], request: Json) -> list[str]:
    """The streamed pieces of an engine that generates these."""

    class InPieces(ScriptedEngine):
        async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
            if not generation.stop:
                yield Chunk(CANARY, 1, 1, 0, "stop")
                return
            for number, piece in enumerate(pieces, start=1):
                yield Chunk(piece, 1, number, 0, "stop" if number == len(pieces) else None)

    async with (
        client_of(application("summarizer", create_router, InPieces([]))) as client,
        aconnect_sse(client, "POST", "/v1/summarize", json={**request, "stream": True}) as source,
    ):
        events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert events[-1][0] == "done"
    return [data["text"] for kind, data in events if kind == "delta"]


async def test_a_stop_text_ends_json_as_well() -> None:
    status, summary, _ = await ask([Rule(['{"hours": 18, "why": "END"}'])], demanding(stop=["END"]))
    assert (status, summary["answer"], summary["unfinished"]) == (200, '{"hours": 18, "why": "', False)


@pytest.mark.parametrize(("stop", "field"), [([""], "stop.0"), (["a"] * 5, "stop"), ("END", "stop")])
async def test_bad_stop_texts_are_refused(stop: Any, field: str) -> None:
    status, problem, _ = await ask([], {"history": history("x"), "stop": stop})
    assert (status, problem["errors"][0]["field"]) == (422, field)


async def test_a_long_history_is_condensed() -> None:
    status, summary, engine = await ask(
        [Rule(["Short."])], {"history": history("word " * 900, "newest 19"), "max_tokens": 32}
    )
    assert (status, summary["truncated"]) == (200, True)
    assert "newest 19" in engine.prompts[-1]


@pytest.mark.parametrize(
    ("newest", "max_tokens", "field", "message"),
    [
        ("word " * 900, 32, "history", "the newest turn needs"),
        ("x", 600, "max_tokens", "600 tokens for the answer leave nothing of the context's 600"),
    ],
)
async def test_what_cannot_fit_is_named(newest: str, max_tokens: int, field: str, message: str) -> None:
    body = {"history": [{"role": "planner", "content": newest}], "max_tokens": max_tokens}
    status, problem, _ = await ask([], body)
    assert (status, problem["type"]) == (422, "urn:alpha-umi:problem:context-exceeded")
    assert problem["errors"][0]["field"] == field
    assert message in problem["detail"]
    assert "longer context" in problem["errors"][0]["remedy"]


async def test_render() -> None:
    status, rendered, _ = await ask([], {"history": history("x")}, "/v1/summarize/render")
    assert status == 200
    assert rendered["prompt"].startswith("Make a conclusion based on the conversation history:\nuser: How long")
    assert rendered["prompt"].endswith("Known. Next: conclusion.</s> conclusion: ")
