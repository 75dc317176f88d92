"""The servers: recorded answers, or a calculator."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI

from evaluation.replay.recordings import Replay
from evaluation.replay.tool_server import Arguments, CallRefused, ToolAnswer, create_tool_server
from evaluation.suites.arithmetic import ArithmeticRefused
from evaluation.suites.gsm8k import CALCULATOR, compute

NOT_COMPUTED = "not-computed"


def create_replay_server(replay: Replay) -> FastAPI:
    """The tools of a replay; `GET /counts` says how many calls had a recorded answer, and how many had none."""
    app = create_tool_server("Recorded tools", replay.tools, replay.answer)

    @app.get("/counts")
    async def counts() -> dict[str, dict[str, int]]:
        return {"answered": dict(replay.answered), "not_recorded": dict(replay.not_recorded)}

    return app


def create_calculator_server() -> FastAPI:
    """The calculator."""
    return create_tool_server("Calculator", [CALCULATOR], _calculate)


def _calculate(_: str, arguments: Arguments) -> ToolAnswer:
    expression = arguments.get("expression")
    if not isinstance(expression, str) or len(arguments) != 1:
        raise _not_computed("give `expression`, a text, and nothing else")
    try:
        return ToolAnswer(compute(expression))
    except ArithmeticRefused as error:
        raise _not_computed(str(error)) from error


def _not_computed(detail: str) -> CallRefused:
    return CallRefused(
        NOT_COMPUTED, "The expression cannot be computed", detail, status=HTTPStatus.UNPROCESSABLE_ENTITY
    )
