"""An engine that answers every request that a role service accepts: its text satisfies the constraint."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from alpha_umi.roles.planner import DECISIONS
from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import Choices, Chunk, EngineStats, Generation, Grammar
from alpha_umi.serving.scripted import CANARY
from support.mask_walk import walk
from support.role_apps import CANARY_PROMPT


@dataclass
class WillingEngine:
    """The engine port. What it writes follows from the prompt alone, so a run can be repeated."""

    context: int = 16_384
    capacity: int | None = None

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    async def check(self) -> None:
        """It never dies."""

    def stats(self) -> EngineStats | None:
        """It is never busy."""
        return None

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Words of a prompt."""
        return len(_text(prompt).split())

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return _text(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Write a text in two pieces."""
        text, complete = self._written(generation)
        prompt_tokens = self.count_tokens(generation.prompt)
        half = len(text) // 2
        yield Chunk(text[:half], prompt_tokens, 1)
        yield Chunk(text[half:], prompt_tokens, 2, finish_reason="stop" if complete else "length")

    def _written(self, generation: Generation) -> tuple[str, bool]:
        prompt = _text(generation.prompt)
        seed = zlib.crc32(prompt.encode())
        match generation.constraint:
            case Choices(texts):
                return texts[seed % len(texts)], True
            case Grammar(lark):
                return walk(lark, seed, at_most=generation.max_tokens)
        if prompt == CANARY_PROMPT:
            return CANARY, True
        if not generation.stop:
            return "All is known.\nAction: tool\nAction Input: {}", True
        decision = f" Next: {DECISIONS[seed % len(DECISIONS)]}" if seed % 4 else ""
        return f"It is time to go on.{decision}", True


def _text(prompt: AnyPrompt | str) -> str:
    return prompt if isinstance(prompt, str) else prompt.text
