"""The block in which a reasoning model thinks: `<think>...</think>` at the beginning of its text.

Every engine delivers what a model thinks in this form. Role services see the text after it; the planner's rationale can
begin with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Literal

from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.serving.engine import Chunk

THINK, END_OF_THINK = "<think>", "</think>"
_REMEDY = "give it more tokens (ALPHA_UMI_ROLE_MAX_TOKENS), or a model or template that does not think"


async def without_thinking(chunks: AsyncIterator[Chunk], *, shown: bool) -> AsyncGenerator[Chunk, None]:
    """The chunks of a text without the block at its beginning; with `shown`, with the thoughts as ordinary text.

    Raises `UnreadableOutput` after the last chunk if the block does not end.
    """
    block = _Block(shown)
    try:
        async for chunk in chunks:
            text = block.take(chunk.text)
            if chunk.finish_reason is not None and not block.is_open:
                text += block.release()
            yield replace(chunk, text=text)
    finally:
        await _close(chunks)
    if block.is_open:
        reason = f"the model was still thinking ({THINK}) when its text ended; {_REMEDY}"
        raise UnreadableOutput(reason, THINK + block.release())


class _Block:
    """Takes a text in pieces, and holds back the block at its beginning."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._place: Literal["before", "inside", "behind", "after"] = "before"
        self._held = self._thoughts = ""

    @property
    def is_open(self) -> bool:
        """Whether the block has begun and not ended."""
        return self._place == "inside"

    def take(self, piece: str) -> str:
        """The text outside of the block, as far as it is certain."""
        self._held += piece
        if self._place == "before":
            beginning = self._held.lstrip()[: len(THINK)]
            if beginning == THINK:
                self._place, self._held = "inside", self._held.lstrip().removeprefix(THINK)
            elif not THINK.startswith(beginning):
                self._place = "after"
        if self.is_open and END_OF_THINK in self._held:
            thoughts, _, rest = self._held.partition(END_OF_THINK)
            self._place, self._thoughts, self._held = "behind", self._visible(thoughts.strip()), rest
        if self._place == "behind" and (text := self._held.lstrip()):
            self._place, self._held = "after", text
        return self.release() if self._place == "after" else ""

    def release(self) -> str:
        """What is held back: the thoughts, too, if no text follows them."""
        text = self._thoughts + self._held
        self._thoughts = self._held = ""
        return text

    def _visible(self, thoughts: str) -> str:
        # The role's parser takes the first decision; one that the model only considers is none.
        return thoughts.replace("Next:", "Next") + "\n" if self._shown and thoughts else ""


async def _close(chunks: AsyncIterator[Chunk]) -> None:
    closing = getattr(chunks, "aclose", None)
    if closing is not None:
        await closing()
