"""An engine that generates scripted texts, for tests and documentation.

A script is a list of rules. The first rule whose `when` is in the prompt generates its texts, one per request; the last
text repeats. Stop strings, token bounds and choices apply as in an engine: a text that is none of the choices is an
error of the script; a single choice is written without a rule. Grammars are not applied. A token is a word with the
white space before it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import (
    Choices,
    Chunk,
    EngineDead,
    EngineRefused,
    EngineStats,
    FinishReason,
    Generation,
    require_adapter,
)

_TOKEN = re.compile(r"\s*\S+|\s+")
CANARY = "The capital of France is Paris."


@dataclass
class Rule:
    """`texts` for prompts that contain `when` and generations with `adapter` (None: any). `delay_s` precedes each
    token."""

    texts: Sequence[str]
    when: str = ""
    delay_s: float = 0.0
    adapter: str | None = None
    used: int = 0

    def fits(self, prompt: str, adapter: str | None) -> bool:
        """Whether the rule applies to a prompt and adapter."""
        return self.when in prompt and self.adapter in (None, adapter)

    def next_text(self) -> str:
        """The next text."""
        text = self.texts[min(self.used, len(self.texts) - 1)]
        self.used += 1
        return text


@dataclass
class ScriptedEngine:
    """The engine port with a script. `aborted` counts generations that were closed before their end."""

    rules: Sequence[Rule]
    context: int = 8_192
    capacity: int | None = None
    adapters: Sequence[str] = ()
    dead: bool = False
    aborted: int = 0
    running: int = 0
    prompts: list[str] = field(default_factory=list)

    @classmethod
    def from_file(cls, path: Path) -> ScriptedEngine:
        """Read a JSON list of `{when?, texts, delay_s?, adapter?}`."""
        return cls([Rule(**rule) for rule in json.loads(path.read_text(encoding="utf-8"))])

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    async def check(self) -> None:
        """Raises `EngineDead` if `dead` is set."""
        if self.dead:
            raise EngineDead("the scripted engine is set to be dead")

    def stats(self) -> EngineStats:
        """The running generations; none waits, and nothing is cached."""
        return EngineStats(running=self.running)

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Words of a prompt."""
        return len(_tokens(_text(prompt)))

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return _text(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate the script's text word by word."""
        require_adapter(generation, self.adapters)
        await self.check()
        prompt_tokens = self.count_tokens(generation.prompt) + len(_tokens(generation.continuation))
        if prompt_tokens + generation.max_tokens > self.context:
            raise EngineRefused(f"{prompt_tokens} + {generation.max_tokens} tokens exceed {self.context}")
        self.prompts.append(_text(generation.prompt) + generation.continuation)
        choices = generation.constraint.texts if isinstance(generation.constraint, Choices) else ()
        rule = Rule(choices) if len(choices) == 1 else self._rule(generation)
        text, reason = _bounded(_stopped(rule.next_text(), generation.stop), generation.max_tokens)
        if choices and text not in choices:
            raise EngineRefused(f"the script wrote {text!r}, which the constraint does not allow")
        tokens = _tokens(text)
        finished = False
        self.running += 1
        try:
            for number, token in enumerate(tokens or [""], start=1):
                await asyncio.sleep(rule.delay_s)
                await self.check()
                last = number >= len(tokens)
                finished = last
                yield Chunk(token, prompt_tokens, min(number, len(tokens)), 0, reason if last else None)
        finally:
            self.running -= 1
            self.aborted += not finished

    def _rule(self, generation: Generation) -> Rule:
        prompt = _text(generation.prompt) + generation.continuation
        for rule in self.rules:
            if rule.fits(prompt, generation.adapter):
                return rule
        raise EngineRefused("no rule of the script fits the prompt")


def _text(prompt: AnyPrompt | str) -> str:
    return prompt if isinstance(prompt, str) else prompt.text


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _stopped(text: str, stop: Sequence[str]) -> str:
    ends = [text.index(word) + len(word) for word in stop if word in text]
    return text[: min(ends)] if ends else text


def _bounded(text: str, max_tokens: int) -> tuple[str, FinishReason]:
    tokens = _tokens(text)
    if len(tokens) > max_tokens:
        return "".join(tokens[:max_tokens]), "length"
    return text, "stop"
