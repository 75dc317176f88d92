"""The client without an event loop: a signal handler that raises leaves no request behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from types import FrameType

import pytest
from fastapi import FastAPI
from sse_starlette import EventSourceResponse, ServerSentEvent
from support.serving_on_loopback import Serve

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.orchestrator import OrchestratorClient
from alpha_umi.client.sync import SyncOrchestratorClient


@pytest.fixture
def raising_handler() -> Iterator[None]:
    """SIGUSR1 raises `KeyboardInterrupt` wherever the program is."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("raising_handler")
def test_an_interrupted_stream_is_closed_and_the_client_stays_usable(serve: Serve) -> None:
    application, closed = FastAPI(), threading.Event()

    async def endless() -> AsyncIterator[ServerSentEvent]:
        try:
            yield ServerSentEvent("{}", event="trajectory.created", id="1")
            await asyncio.Event().wait()
        finally:
            closed.set()

    @application.get("/v1/trajectories/traj_1/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(endless())

    @application.get("/v1/tools")
    async def tools() -> dict[str, list[object]]:
        return {"data": []}

    with SyncOrchestratorClient(OrchestratorClient(serve(application))) as client:
        stream = client.follow("traj_1")
        assert next(stream).event == "trajectory.created"
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        assert closed.wait(5)
        assert client.tools().data == []


def test_a_stream_that_outlives_its_client_ends_quietly(serve: Serve) -> None:
    application = FastAPI()

    @application.get("/v1/trajectories/traj_1/events")
    async def events() -> EventSourceResponse:
        async def one() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent("{}", event="trajectory.created", id="1")
            await asyncio.Event().wait()

        return EventSourceResponse(one())

    with SyncOrchestratorClient(OrchestratorClient(serve(application))) as client:
        stream = client.follow("traj_1")
        next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_an_error_is_raised_as_it_is(free_port: int) -> None:
    client = SyncOrchestratorClient(OrchestratorClient(f"http://127.0.0.1:{free_port}"))
    with client, pytest.raises(Unavailable, match="ConnectError"):
        client.tools()


def test_an_interrupt_while_a_request_starts_is_one(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    install = signal.signal

    def interrupted(number: int, handler: object) -> object:
        previous = install(number, handler)  # type: ignore[arg-type]
        if callable(handler) and handler is not signal.default_int_handler:
            monkeypatch.setattr(signal, "signal", install)
            signal.raise_signal(signal.SIGINT)
        return previous

    with SyncOrchestratorClient(OrchestratorClient(f"http://127.0.0.1:{free_port}")) as client:
        monkeypatch.setattr(signal, "signal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.tools()
