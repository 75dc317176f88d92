"""The client of the orchestrator on streams of a real HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from support.serving_on_loopback import Serve

from alpha_umi.client.orchestrator import OrchestratorClient

STREAM = (
    'id: 1\nevent: trajectory.created\ndata: {"a": 1}\n\n',
    ": keep-alive\n\n",
    "id: 2\nevent: trajectory.finished\ndata: {}\n\n",
)


async def test_a_keep_alive_comment_is_no_event(serve: Serve) -> None:
    app = FastAPI()

    @app.get("/v1/trajectories/{trajectory_id}/events")
    async def events(trajectory_id: str) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for part in STREAM:
                yield part

        return StreamingResponse(body(), media_type="text/event-stream")

    async with OrchestratorClient(serve(app)) as client:
        assert [(event.id, event.event) async for event in client.follow("traj_1")] == [
            ("1", "trajectory.created"),
            ("2", "trajectory.finished"),
        ]
