"""The engine port: the interface between a role service and its text generator.

Behind it: `vllm_engine` (vLLM in this process), `remote` (a server elsewhere) and `scripted` (for tests and
documentation). Errors:

    EngineError
    ├── EngineDead         the engine does not recover; the process has to be replaced
    ├── EngineUnavailable  the engine cannot be reached or cannot answer now; retry later
    └── EngineRefused      this request cannot be generated; others can
        └── PromptTooLong  its prompt exceeds the engine's context; a shorter one can
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from alpha_umi.roles.template import AnyPrompt

FinishReason = Literal["stop", "length"]


class EngineError(Exception):
    """Base of the errors of engines."""


class EngineDead(EngineError):
    """The engine has died and does not recover."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached or cannot answer now."""


class EngineRefused(EngineError):
    """The engine cannot generate this request."""


class PromptTooLong(EngineRefused):
    """The prompt exceeds the context, although it seemed to fit. `limit` is the context in tokens, if known."""

    def __init__(self, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True)
class Choices:
    """Constrain the text to one of these."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Constrain the text to a grammar in llguidance's Lark dialect.

    `loosened`: what it leaves to a later check although grammars can express it, because it is too large or
    contradicts itself: a `pattern` or `format`, `alternatives` (of a part of the arguments), a `tool` (all of its
    arguments), an `answer` (all of it).

    For servers that take schemas instead of grammars, it holds what it was made of: `tools` are the names of a call's
    tools and their JSON Schemas, `schema` is that of an answer; all schemas are JSON text.
    """

    lark: str
    loosened: frozenset[str] = frozenset()
    tools: tuple[tuple[str, str], ...] = ()
    schema: str = ""


Constraint = Choices | Grammar


@dataclass(frozen=True)
class Generation:
    """One request to an engine.

    A `Prompt` or `ChatPrompt` holds text of users and tools: only the template's own markers become special tokens. A
    plain string is the operator's and is tokenized unchanged. `continuation` is text that the model has begun, and
    continues. `stop` strings end the generation and are part of its text. An engine's text may begin with a block
    `<think>...</think>`. On a chat server `stop` and `constraint` apply after it; elsewhere they apply from the
    beginning of the text, so a constraint excludes the block. `adapter` names one of the engine's LoRA adapters; an
    engine with adapters refuses a generation without one.
    """

    prompt: AnyPrompt | str
    max_tokens: int
    continuation: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    adapter: str | None = None


def require_adapter(generation: Generation, adapters: Collection[str]) -> None:
    """Raises `EngineRefused` unless a generation names one of the engine's adapters, or neither has any.

    vLLM on a CPU silently applies the adapter of another request in the same batch to a request without one.
    """
    known = ", ".join(sorted(adapters)) or "none"
    if generation.adapter is None and adapters:
        raise EngineRefused(f"the generation names no adapter; this engine has {known}")
    if generation.adapter is not None and generation.adapter not in adapters:
        raise EngineRefused(f"there is no adapter {generation.adapter!r}; this engine has {known}")


@dataclass(frozen=True)
class Chunk:
    """A piece of generated text. The counts are totals so far; only the last chunk has a `finish_reason`."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class EngineStats:
    """The engine's load now, and the totals of its prefix cache and of speculation since the start.

    `running` and `waiting` count generations, `kv_cache_usage` is a share from 0 to 1; the other numbers count tokens.
    `server` is what a remote engine learned about its server, by name.
    """

    running: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0
    queried_tokens: int = 0
    hit_tokens: int = 0
    server: Mapping[str, str] = field(default_factory=dict)
    proposed_tokens: int = 0
    accepted_tokens: int = 0


class Engine(Protocol):
    """A text generator. Closing the iterator of `generate` aborts the generation."""

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def capacity(self) -> int | None:
        """Generations that run at once, before others wait in the engine; None if it is unknown."""

    async def start(self) -> None:
        """Load the model. Raises the error that prevents it; after `EngineUnavailable` it can be called again."""

    async def stop(self) -> None:
        """Release all resources; generations in flight end."""

    async def check(self) -> None:
        """Raises `EngineDead` when the engine has died, `EngineUnavailable` when it cannot answer now."""

    def stats(self) -> EngineStats | None:
        """The engine's load; None if it is unknown."""

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Number of tokens of a prompt, as `generate` sends it."""

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads; the messages as plain text, where a server renders them."""

    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate. Raises `EngineDead`, `EngineUnavailable` or `EngineRefused`."""
