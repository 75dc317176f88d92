"""The engine port: what a role service asks of whatever generates text.

Behind it: `vllm_engine` (vLLM in this process), `remote` (a completions server elsewhere) and `scripted` (for tests
and documentation). Errors:

    EngineError
    ├── EngineDead        the engine will not come back; the process has to be replaced
    ├── EngineAway        the engine cannot be reached or cannot answer now; it may come back by itself
    └── EngineRefused     this one request cannot be generated; others can
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from alpha_umi.roles.template import Prompt

FinishReason = Literal["stop", "length"]


class EngineError(Exception):
    """Base of what an engine raises."""


class EngineDead(EngineError):
    """The engine has died and does not recover by itself."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached or cannot answer now."""


class EngineRefused(EngineError):
    """The engine cannot generate this request."""


@dataclass(frozen=True)
class Choices:
    """Constrain the text to one of these."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """Constrain the text to a grammar in llguidance's Lark dialect."""

    lark: str


Constraint = Choices | Grammar


@dataclass(frozen=True)
class Generation:
    """One request to an engine.

    A `Prompt` came from users and tools: only the template's own markers become special tokens. A plain string is the
    operator's own and is tokenized as it stands. `continuation` is text that the model has written already and goes on
    from. `stop` strings end the generation and stand in its text. `adapter` names one of the engine's adapters: an
    engine that has any refuses a generation without one.
    """

    prompt: Prompt | str
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

    vLLM on a CPU lets a request without an adapter have that of another request in the same batch, without a word.
    """
    known = ", ".join(sorted(adapters)) or "none"
    if generation.adapter is None and adapters:
        raise EngineRefused(f"the generation names no adapter; this engine has {known}")
    if generation.adapter is not None and generation.adapter not in adapters:
        raise EngineRefused(f"there is no adapter {generation.adapter!r}; this engine has {known}")


@dataclass(frozen=True)
class Chunk:
    """A piece of generated text. The counts are totals so far; `finish_reason` stands on the last chunk only."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class EngineStats:
    """How busy an engine is now, and what its prefix cache saved since it was started.

    `running` and `waiting` count generations, `kv_cache_usage` is a share from 0 to 1, the other two are tokens.
    """

    running: int = 0
    waiting: int = 0
    kv_cache_usage: float = 0.0
    queried_tokens: int = 0
    hit_tokens: int = 0


class Engine(Protocol):
    """What generates text. Closing the iterator of `generate` aborts the generation."""

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""

    async def start(self) -> None:
        """Load the model. Raises whatever keeps it from loading; after `EngineAway` it can be called again."""

    async def stop(self) -> None:
        """Release everything; generations in flight end."""

    async def check(self) -> None:
        """Raises `EngineDead` when the engine has died, `EngineAway` when it cannot answer now."""

    def stats(self) -> EngineStats | None:
        """How busy the engine is; None where that is not known."""

    def count_tokens(self, prompt: Prompt | str) -> int:
        """Tokens of a prompt as `generate` would send it."""

    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate. Raises `EngineDead`, `EngineAway` or `EngineRefused`."""
