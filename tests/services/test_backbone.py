"""The single model's step: free text, then a call inside the grammar or an answer; invalid calls and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx_sse import aconnect_sse
from support.role_apps import application, client_of, scripted

from alpha_umi.serving.scripted import Rule
from services.backbone import create_router

Json = dict[str, Any]
CALL = 'Action: sun_times\nAction Input: {"city": "Oslo"}'


async def step(*rules: Rule, request: Json) -> tuple[int, Json]:
    """Status and body of one request to a backbone with a script."""
    async with client_of(application("backbone", create_router, scripted(*rules))) as client:
        response = await client.post("/v1/step", json=request)
        return response.status_code, response.json()


@pytest.fixture
def request_body(tools: list[Json], history: list[Json]) -> Json:
    return {"tools": tools, "history": history}


async def test_a_call_is_written_inside_the_grammar(request_body: Json) -> None:
    rules = [Rule([CALL], when="I ask for the sun.\n"), Rule(["I ask for the sun.\nAction: sun_tim and so on"])]
    status, answer = await step(*rules, request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["text"]) == ("caller", "I ask for the sun.", CALL)
    assert answer["action"] == {"name": "sun_times", "arguments": {"city": "Oslo"}}
    assert (answer["answer"], answer["reason"], answer["timings"]["attempts"]) == (None, None, 1)


async def test_an_answer(request_body: Json) -> None:
    status, answer = await step(Rule(["I know it.\nconclusion: At 03:53."]), request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["answer"]) == ("conclusion", "I know it.", "At 03:53.")
    assert answer["action"] is None


async def test_giving_up(request_body: Json) -> None:
    _, answer = await step(Rule(["No tool helps.\nconclusion: give up."]), request=request_body)
    assert (answer["next"], answer["answer"], answer["action"]) == ("give up", None, None)


async def test_a_text_without_either_goes_on_with_one_of_them(request_body: Json) -> None:
    rules = [
        Rule([" At 03:53."], when="mumble\nconclusion:"),
        Rule(["\nconclusion:"], when="mumble"),
        Rule(["mumble"]),
    ]
    status, answer = await step(*rules, request=request_body)
    assert status == 200
    assert (answer["next"], answer["thought"], answer["answer"]) == ("conclusion", "mumble", "At 03:53.")
    assert answer["timings"]["attempts"] == 2


async def test_a_limit_leaves_nothing_but_the_answer(request_body: Json) -> None:
    rule = Rule(["What is known: 03:53."], when="conclusion: ")
    _, answer = await step(rule, request={**request_body, "conclude": True})
    assert (answer["next"], answer["answer"]) == ("conclusion", "What is known: 03:53.")


BAD_CALLS = [
    (' moon_times\nAction Input: {"city": "Oslo"}', "moon_times"),
    (" sun_times\nAction Input: {}", "city"),
    (" sun_times\nAction Input: Oslo", "JSON"),
    (" sun_times", "Action Input"),
]
REPAIR = "No call was made: "


@pytest.mark.parametrize(("text", "reason"), BAD_CALLS)
async def test_a_call_that_cannot_be_made_says_why(request_body: Json, text: str, reason: str) -> None:
    rules = [Rule([text], when=REPAIR), Rule([f"t\nAction:{text}"])]
    status, answer = await step(*rules, request={**request_body, "constrained": False})
    assert status == 200
    assert (answer["next"], answer["thought"], answer["action"]) == ("caller", "t", None)
    assert reason in answer["reason"]
    assert answer["text"] == f"Action:{text}"
    assert (answer["repaired"], answer["timings"]["attempts"]) == (True, 2)


@pytest.mark.parametrize(("text", "reason"), BAD_CALLS)
async def test_a_call_is_repaired_once(request_body: Json, text: str, reason: str) -> None:
    right = CALL.removeprefix("Action:")
    rules = [Rule([right], when=REPAIR), Rule([f"t\nAction:{text}"])]
    status, answer = await step(*rules, request={**request_body, "constrained": False})
    assert status == 200
    assert (answer["thought"], answer["text"], answer["reason"]) == ("t", CALL, None)
    assert answer["action"] == {"name": "sun_times", "arguments": {"city": "Oslo"}}
    assert answer["repaired"]


async def test_a_single_attempt_is_final(request_body: Json) -> None:
    once = {**request_body, "constrained": False, "attempts": 1}
    status, problem = await step(Rule(["mumble", "Now.\nconclusion: At 03:53."]), request=once)
    assert (status, problem["text"], problem["timings"]["attempts"]) == (502, "mumble", 1)
    status, answer = await step(Rule(["t\nAction: moon_times\nAction Input: {}", CALL]), request=once)
    assert (status, answer["repaired"], answer["timings"]["attempts"]) == (200, False, 1)
    assert "moon_times" in answer["reason"]


async def test_the_repair_prompt_holds_the_error(request_body: Json) -> None:
    bad = 'Action: sun_times\nAction Input: {"city": 7}'
    engine = scripted(Rule([CALL], when=REPAIR), Rule([bad], when="t\n"), Rule(["t\nAction:"]))
    async with client_of(application("backbone", create_router, engine)) as client:
        answer = (await client.post("/v1/step", json=request_body)).json()
    assert (answer["text"], answer["repaired"]) == (CALL, True)
    repair_prompt = f'\nassistant: t\n{bad}</s>observation: {REPAIR}sun_times: city: 7 is not of type "string"'
    assert repair_prompt.lstrip() in engine.prompts[-1]
    assert engine.prompts[-1].endswith(" assistant: t\n")


@pytest.mark.parametrize(("second", "finished"), [(CALL, True), ("mumble " * 5_000, False)])
async def test_an_unfinished_call_is_written_again(request_body: Json, second: str, finished: bool) -> None:
    unfinished = 'Action: sun_times\nAction Input: {"city": "' + "far " * 5_000
    engine = scripted(Rule([second], when=REPAIR), Rule([unfinished], when="t\n"), Rule(["t\nAction:"]))
    async with client_of(application("backbone", create_router, engine)) as client:
        answer = (await client.post("/v1/step", json=request_body)).json()
    assert (answer["call_unfinished"], answer["repaired"], answer["reason"] is None) == (True, True, finished)
    assert "the call was not finished within" in engine.prompts[-1]


async def test_an_empty_answer_is_generated_again(request_body: Json) -> None:
    rules = [Rule([" At 03:53."], when="I know it.\nconclusion:"), Rule(["I know it.\nconclusion:"])]
    status, answer = await step(*rules, request=request_body)
    assert (status, answer["answer"], answer["timings"]["attempts"]) == (200, "At 03:53.", 2)
    status, problem = await step(Rule([" "], when="conclusion:"), request={**request_body, "conclude": True})
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert "nothing follows" in problem["detail"]


async def test_the_render_is_what_is_sent(request_body: Json) -> None:
    """With a shortened history too."""
    engine = scripted(Rule(["I know it.\nconclusion: At 03:53."]), context=700)
    history = request_body["history"] + [{"role": "observation", "content": f"{n} " * 40} for n in range(10)]
    body = request_body | {"history": history, "max_tokens": 100}
    async with client_of(application("backbone", create_router, engine)) as client:
        rendered = (await client.post("/v1/step/render", json=body)).json()
        answer = (await client.post("/v1/step", json=body)).json()
    assert (rendered["truncated"], answer["truncated"]) == (True, True)
    assert engine.prompts[-1] == rendered["prompt"]


async def test_an_unconstrained_model_has_two_attempts(request_body: Json) -> None:
    free = {**request_body, "constrained": False}
    status, answer = await step(Rule(["mumble", "Now.\nconclusion: At 03:53."]), request=free)
    assert (status, answer["answer"], answer["timings"]["attempts"]) == (200, "At 03:53.", 2)
    status, problem = await step(Rule(["mumble"]), request=free)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert problem["text"] == "mumble"


async def test_the_stream_holds_the_full_text(request_body: Json) -> None:
    rules = [Rule([CALL], when="I ask.\n"), Rule(["I ask.\nAction:"])]
    async with client_of(application("backbone", create_router, scripted(*rules))) as client:
        body = {**request_body, "stream": True}
        async with aconnect_sse(client, "POST", "/v1/step", json=body) as source:
            events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
    assert events[-1][0] == "done"
    assert events[-1][1]["action"]["name"] == "sun_times"
    shown = "".join(data["text"] for name, data in events if name == "delta")
    assert shown == f"I ask.\n{CALL}"


NO_CALL: Json = {"decisions": ["conclusion", "give up"]}
ASKS = "I look.\nAction: sun_times"


@pytest.mark.parametrize("change", [NO_CALL, {"tools": []}, NO_CALL | {"tools": []}])
async def test_a_call_that_is_not_allowed_becomes_an_answer(request_body: Json, change: Json) -> None:
    rules = [Rule([" At 03:53."], when="I look.\nconclusion:"), Rule([ASKS])]
    status, answer = await step(*rules, request=request_body | change)
    assert (status, answer["next"], answer["thought"], answer["answer"]) == (200, "conclusion", "I look.", "At 03:53.")
    assert answer["timings"]["attempts"] == 2


@pytest.mark.parametrize(
    "text", ["I know it.\nconclusion: At 03:53.", "I know it.", "I know it.\nconclusion: give up."]
)
async def test_an_answer_that_is_not_allowed_becomes_a_call(request_body: Json, text: str) -> None:
    rules = [Rule([CALL], when="I know it.\n"), Rule([text])]
    status, answer = await step(*rules, request=request_body | {"decisions": ["caller"]})
    assert (status, answer["next"], answer["thought"], answer["text"]) == (200, "caller", "I know it.", CALL)


async def test_giving_up_alone_is_allowed(request_body: Json) -> None:
    rule = Rule(["I know it.\nconclusion: At 03:53."])
    status, answer = await step(rule, request=request_body | {"decisions": ["give up"]})
    assert (status, answer["next"], answer["thought"]) == (200, "give up", "I know it.")


async def test_giving_up_that_is_not_allowed_is_written_again(request_body: Json) -> None:
    request = request_body | {"decisions": ["caller", "conclusion"]}
    rules = [Rule([" At 03:53."], when="Alas.\nconclusion:"), Rule(["Alas.\nconclusion: give up."])]
    status, answer = await step(*rules, request=request)
    assert (status, answer["next"], answer["answer"]) == (200, "conclusion", "At 03:53.")
    rules = [Rule([" give up."], when="Alas.\nconclusion:"), Rule(["Alas.\nconclusion: give up."])]
    status, problem = await step(*rules, request=request)
    assert (status, problem["type"]) == (502, "urn:alpha-umi:problem:output-unreadable")
    assert "'give up' is none of caller, conclusion" in problem["detail"]


async def test_without_grammars_a_call_that_is_not_allowed_is_unreadable(request_body: Json) -> None:
    status, problem = await step(Rule([ASKS]), request=request_body | NO_CALL | {"constrained": False})
    assert (status, problem["timings"]["attempts"]) == (502, 2)
    assert "'caller' is none of conclusion, give up" in problem["detail"]


async def test_the_token_limit_cuts_an_answer(request_body: Json) -> None:
    rule = Rule(["conclusion: " + "far " * 100])
    for limit, unfinished in ((8, True), (200, False)):
        _, answer = await step(rule, request=request_body | {"max_tokens": limit})
        assert (answer["next"], answer["unfinished"]) == ("conclusion", unfinished)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("history", {"history": []}),
        ("extra", {"extra": 1}),
        ("conclude", {"conclude": "perhaps"}),
        ("conclude", {"conclude": True, "decisions": ["conclusion"]}),
        ("decisions", {"tools": [], "decisions": ["caller"]}),
    ],
)
async def test_a_bad_request_names_the_field(request_body: Json, field: str, change: Json) -> None:
    status, problem = await step(request=request_body | change)
    assert status == 422
    assert problem["errors"][0]["field"] == field
