"""The servers: recorded answers, a calculator, or Python in a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

import uvicorn
from fastapi import FastAPI

from evaluation.errors import EvaluationError
from evaluation.replay.recordings import Replay
from evaluation.replay.tool_server import Arguments, CallRefused, ToolAnswer, create_tool_server
from recordings.formats.gsm8k import CALCULATOR, ArithmeticRefused, compute
from recordings.sandbox import CODE, PYTHON, Limits, PythonSandbox

NOT_COMPUTED = "not-computed"
NOT_RUN = "code-not-run"


def create_replay_server(replay: Replay) -> FastAPI:
    """The tools of a replay; `GET /counts` returns the number of calls with and without a recorded answer."""
    app = create_tool_server("Recorded tools", replay.tools, replay.answer)

    @app.get("/counts")
    async def counts() -> dict[str, dict[str, int]]:
        return {"answered": dict(replay.answered), "not_recorded": dict(replay.not_recorded)}

    return app


def create_calculator_server() -> FastAPI:
    """The calculator."""
    return create_tool_server("Calculator", [CALCULATOR], _calculate)


def create_python_server(limits: Limits | None = None) -> FastAPI:
    """Python in a sandbox. Failing code gets the status 422, with the reason as the last line."""
    sandbox = PythonSandbox(limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with sandbox:
            yield

    async def run(_: str, arguments: Arguments) -> ToolAnswer:
        code = arguments.get(CODE)
        if not isinstance(code, str) or len(arguments) != 1:
            raise _refused(NOT_RUN, "The code was not run", f"give only `{CODE}`, a text")
        ran = await asyncio.to_thread(sandbox.run, code)
        return ToolAnswer(ran.text, HTTPStatus.UNPROCESSABLE_ENTITY if ran.failed else HTTPStatus.OK)

    return create_tool_server("Python", [PYTHON], run, lifespan=lifespan)


def _calculate(_: str, arguments: Arguments) -> ToolAnswer:
    expression = arguments.get("expression")
    if not isinstance(expression, str) or len(arguments) != 1:
        raise _not_computed("give only `expression`, a text")
    try:
        return ToolAnswer(compute(expression))
    except ArithmeticRefused as error:
        raise _not_computed(str(error)) from error


def _not_computed(detail: str) -> CallRefused:
    return _refused(NOT_COMPUTED, "The expression cannot be computed", detail)


def _refused(kind: str, title: str, detail: str) -> CallRefused:
    return CallRefused(kind, title, detail, status=HTTPStatus.UNPROCESSABLE_ENTITY)


STARTING_S = 30
ENDING_S = 10


class NotServed(EvaluationError):
    """The tool server did not start."""


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve until the block ends; yields the base address. Raises `NotServed`.

    The server runs in a thread of its own: there uvicorn installs no signal handlers, and it answers while the event
    loop is busy.
    """
    with contextlib.closing(_listening()) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, http="h11", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="tool server", daemon=True)
        thread.start()
        try:
            _wait_for(server, thread)
            host, port = listening.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(ENDING_S)


def _listening() -> socket.socket:
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    try:
        listening.bind(("127.0.0.1", 0))
    except OSError as error:
        listening.close()
        raise NotServed(f"the tool server cannot listen on loopback: {error.strerror}") from error
    return listening


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    for _ in range(STARTING_S * 100):
        if server.started:
            return
        if not thread.is_alive():
            break
        thread.join(0.01)
    raise NotServed("the tool server did not start")
