"""Stop strings, for engines and texts that do not match them by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from alpha_umi.serving.engine import Chunk, EngineError
from alpha_umi.serving.thinking import END_OF_THINK, THINK

# Parts that are read after a stop string, because a server's counts stand at the end of a stream.
_READ_ON = 4


async def apply_stop_strings(chunks: AsyncGenerator[Chunk, None], stop: Sequence[str]) -> AsyncGenerator[Chunk, None]:
    """End at the first stop string after the thinking and include it in the text, as few servers can.

    A few more parts are read, whose text is dropped, because the counts stand at the end.
    """
    written = ""
    longest = max(map(len, stop), default=0)
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            start = max(0, len(written) - longest)
            written += chunk.text
            if written.startswith(THINK):
                end_of_think = written.find(END_OF_THINK)
                start = max(start, end_of_think) if end_of_think >= 0 else len(written)
            ends = [at + len(word) for word in stop if (at := written.find(word, start)) >= 0]
            if ends:
                surplus = len(written) - min(ends)
                final = await _last_counts(chunks, chunk)
                yield replace(final, text=chunk.text[: len(chunk.text) - surplus], finish_reason="stop")
                return
            yield chunk


async def _last_counts(chunks: AsyncGenerator[Chunk, None], latest: Chunk) -> Chunk:
    # The text is complete, whatever becomes of the rest.
    with contextlib.suppress(EngineError):
        for _ in range(_READ_ON):
            if latest.finish_reason is not None:
                break
            latest = await anext(chunks, replace(latest, finish_reason="stop"))
    return latest
