"""Streams of a trajectory's events as responses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import anyio
from prometheus_client import Gauge
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message

from alpha_umi.contract.stream_events import EVENT_NAMES
from alpha_umi.web.documentation import event_stream as documented

TRAJECTORY_STREAM = documented(*EVENT_NAMES)
KEEP_ALIVE_S = 15
SLOW_READER_S = 30
# A stream ends by itself when the process stops; this is for one that does not.
STOP_GRACE_S = 3


def event_stream(
    events: AsyncGenerator[ServerSentEvent, None],
    *,
    open_streams: Gauge,
    headers: Mapping[str, str] | None = None,
    on_leave: Callable[[], None] | None = None,
) -> EventSourceResponse:
    """A response that is kept alive by comments and given up when the client does not read for 30 seconds.

    It counts in `open_streams` while it lasts. `on_leave` is called when the client goes, also when it does so before
    the first event.
    """

    async def counted() -> AsyncIterator[ServerSentEvent]:
        async with contextlib.aclosing(events):
            with open_streams.track_inprogress():
                async for event in events:
                    yield event

    async def left(_: Message) -> None:
        if on_leave is not None:
            on_leave()

    return EventSourceResponse(
        counted(),
        headers={"Cache-Control": "no-cache", **(headers or {})},
        ping=KEEP_ALIVE_S,
        ping_message_factory=lambda: ServerSentEvent(comment="keep-alive", sep="\n"),
        sep="\n",
        send_timeout=SLOW_READER_S,
        client_close_handler_callable=left,
        shutdown_event=anyio.Event(),
        shutdown_grace_period=STOP_GRACE_S,
    )
