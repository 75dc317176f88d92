"""A real orchestrator runs recorded trajectories with replayed tools; only the language models are scripted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.scripted_roles import ScriptedRoles, call, decide, in_turn, say
from support.serving_on_loopback import Serve
from support.system import Roles, orchestrated

from alpha_umi.client.errors import RequestRefused, Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.turns import Tool, Turn
from evaluation.metrics.trajectory import measure
from evaluation.replay.recordings import Replay, build_replay
from evaluation.replay.servers import create_calculator_server, create_replay_server
from evaluation.run.ask import RunOptions, RunResult, run_trajectory
from recordings.formats import trajectories
from recordings.formats.gsm8k import CALCULATOR, is_right
from recordings.suites.suite import load_suite
from recordings.trajectory import RecordedTrajectory, recorded_calls

PRICE = Tool(
    "price_of",
    "Price of an item.",
    {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
)
OPEN = Tool("is_open", "Whether the shop is open.")
CALLS: list[tuple[Tool, dict[str, Any], str]] = [
    (PRICE, {"item": "lamp"}, '{"price":40}'),
    (PRICE, {"item": "moon"}, 'HTTP 404 from the tool: {"detail":"no moon"}'),
    (OPEN, {}, "yes, until noon"),
]


def trajectory() -> RecordedTrajectory:
    turns = [Turn("user", "What does the lamp cost, and can I go there?")]
    for tool, arguments, content in CALLS:
        turns += [Turn("planner", "I ask. Next: caller."), Turn("caller", write_call(tool.name, arguments))]
        turns += [Turn("observation", content)]
    turns += [Turn("planner", "All is known. Next: conclusion."), Turn("conclusion", "40, go before noon.")]
    return RecordedTrajectory("shop", (PRICE, OPEN), tuple(turns))


async def ask(url: str, recorded: RecordedTrajectory, options: RunOptions | None = None) -> RunResult:
    async with OrchestratorClient(url) as client:
        return await run_trajectory(client, recorded, options)


def roles_of(serve: Serve, scripted: ScriptedRoles) -> Roles:
    address = serve(scripted.application())
    return Roles(address, address, address, {})


def repeating(recorded: RecordedTrajectory, *, more: tuple[Any, ...] = ()) -> ScriptedRoles:
    """Roles that make the recorded calls again, and some more."""
    calls = [call(each.call.name, **each.call.arguments) for each in recorded_calls(recorded)]
    decisions = [decide("I ask.", "caller")] * (len(calls) + len(more))
    return ScriptedRoles(
        planner=in_turn(*decisions, decide("All is known.", "conclusion")),
        caller=in_turn(*calls, *more),
        summarizer=in_turn(say("40, go before noon.")),
    )


async def test_a_recorded_trajectory_comes_out_as_it_was(serve: Serve, tmp_path: Path) -> None:
    recorded = trajectory()
    replay = build_replay([recorded])
    roles = roles_of(serve, repeating(recorded))
    async with orchestrated(roles, serve(create_replay_server(replay)), tmp_path) as client:
        requests = await ask(str(client.base_url), recorded)
    observations = [step.observation.content for step in requests.trajectory.steps if step.observation]
    assert observations == [content for _, _, content in CALLS]
    assert [step.observation.is_error for step in requests.trajectory.steps if step.observation] == [False, True, False]
    again = trajectories.recorded(requests.trajectory, {tool.name: tool for tool in recorded.tools}, "here")
    assert again.turns == recorded.turns
    assert (replay.answered, dict(replay.not_recorded)) == ({"price_of": 2, "is_open": 1}, {})
    measured = measure(requests.trajectory, expected="40, go before noon.")
    assert (measured.success, measured.steps, measured.calls, measured.repeated_calls) == (True, 4, 3, 0)
    assert (measured.tool_errors, measured.not_recorded, measured.gave_up) == (1, 0, False)
    assert {role: cost.calls for role, cost in measured.roles.items()} == {"planner": 4, "caller": 3, "summarizer": 1}
    assert sum(cost.prompt_tokens for cost in measured.roles.values()) == measured.prompt_tokens == 80
    assert sum(cost.completion_tokens for cost in measured.roles.values()) == measured.completion_tokens == 40


async def test_real_tools_are_offered_and_answer_as_they_did(data: Path, serve: Serve, tmp_path: Path) -> None:
    suite = load_suite("rotbench-gpt4:NLP__NLP", data)
    recorded = next(each for each in suite.trajectories if len(list(recorded_calls(each))) == 2)
    roles = roles_of(serve, repeating(recorded))
    async with orchestrated(roles, serve(create_replay_server(build_replay([recorded]))), tmp_path) as client:
        requests = await ask(str(client.base_url), recorded)
    seen = [step.observation.content for step in requests.trajectory.steps if step.observation]
    assert [_compact(text) for text in seen] == [_compact(each.observation) for each in recorded_calls(recorded)]
    assert measure(requests.trajectory).not_recorded == 0


def _compact(text: str) -> str:
    """An orchestrator writes JSON without white space between its parts."""
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return text.strip()


async def test_unknown_and_repeated_calls_are_counted(serve: Serve, tmp_path: Path) -> None:
    recorded = trajectory()
    replay: Replay = build_replay([recorded])
    more = (call("price_of", item="sun"), call("price_of", item="lamp"), call("price_of", item="sun"))
    roles = roles_of(serve, repeating(recorded, more=more))
    async with orchestrated(roles, serve(create_replay_server(replay)), tmp_path) as client:
        requests = await ask(str(client.base_url), recorded)
    measured = measure(requests.trajectory)
    assert (measured.not_recorded, measured.repeated_calls, measured.tool_errors) == (2, 2, 3)
    assert replay.not_recorded == {"price_of": 2}
    assert measured.completed


async def test_the_calculator_as_a_tool(serve: Serve, tmp_path: Path) -> None:
    question = RecordedTrajectory("sum", (CALCULATOR,), (Turn("user", "What is 48/2+1?"),), answer="25")
    scripted = ScriptedRoles(
        planner=in_turn(decide("I compute.", "caller"), decide("Done.", "conclusion")),
        caller=in_turn(call("calculator", expression="48/2+1")),
        summarizer=lambda request: say(f"It is {request['history'][-2]['content'].split(chr(34))[3]}."),
    )
    async with orchestrated(roles_of(serve, scripted), serve(create_calculator_server()), tmp_path) as client:
        requests = await ask(str(client.base_url), question, RunOptions(max_steps=4))
    assert requests.trajectory.answer == "It is 25."
    assert measure(requests.trajectory, expected=question.answer, judge=is_right).right
    assert not measure(requests.trajectory, expected="24", judge=is_right).success


async def test_a_question_that_is_refused_says_why(serve: Serve, tmp_path: Path) -> None:
    unknown = RecordedTrajectory("x", (Tool("not_registered"),), (Turn("user", "Hm?"),))
    roles = roles_of(serve, ScriptedRoles())
    async with orchestrated(roles, serve(create_calculator_server()), tmp_path) as client:
        with pytest.raises(RequestRefused, match="not_registered"):
            await ask(str(client.base_url), unknown)


async def test_an_orchestrator_that_is_not_there(free_port: int) -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        await ask(f"http://127.0.0.1:{free_port}", trajectory())
