"""What an engine behind an OpenAI-compatible server shares with every other: connection, watch, errors and streams.

`completions` sends token ids to a server of this project's own models; `chat` sends messages to any server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import aconnect_sse
from pydantic import SecretStr

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import (
    Chunk,
    EngineRefused,
    EngineStats,
    EngineUnavailable,
    Generation,
    PromptTooLong,
    require_adapter,
)
from alpha_umi.serving.remote.errors import Server
from alpha_umi.serving.remote.wire import Choice, ServedModels, chunks_of, is_same_model
from alpha_umi.serving.stop_strings import apply_stop_strings

POLL_INTERVAL_S = 5.0
POLL_TIMEOUT_S = 5.0
# A first token may wait in the server's queue; the orchestrator's own bound on a role's answer is shorter.
TIMEOUT = httpx.Timeout(10.0, read=600.0, pool=None)

# vLLM's defaults for a model, from its generation_config.json, which a request has to override.
NO_DEFAULTS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
_NAMED_MODELS = 20


@dataclass(frozen=True)
class RemoteOptions:
    """The address of the server, and the model to use.

    `url` is the API's base; `/v1` is appended to a bare host. `model` is the name on the server, for an engine without
    `adapters`. `context` is the tokens of prompt and answer together; the server's own limit applies if it is lower,
    and alone if this is None. `tokenizer` is the local folder of the model's tokenizer, for completions. Without
    `extensions` nothing is constrained.
    """

    url: str
    tokenizer: Path | None = None
    context: int | None = None
    model: str | None = None
    adapters: tuple[str, ...] = ()
    key: SecretStr | None = None
    extensions: bool = True


@dataclass(frozen=True)
class Exchange:
    """One request, and how its answer is read.

    `read` takes the text from each part of the answer. `prompt_tokens` count unless the server counts. `stop` strings
    are matched here.
    """

    body: Mapping[str, Any]
    read: Callable[[Choice], str]
    prompt_tokens: int
    stop: tuple[str, ...] = ()


class RemoteEngine(ABC):
    """The engine port on a server; a subclass writes the requests."""

    path: str
    default_context = 4_096

    def __init__(self, options: RemoteOptions) -> None:
        self.options = options
        self.server = Server(_base(options.url), options.key)
        self._names = options.adapters or ((options.model,) if options.model else ())
        self._context = options.context
        self._client: httpx.AsyncClient | None = None
        self._polling = asyncio.Lock()
        self._next_poll = 0.0
        self._stats = EngineStats()

    @abstractmethod
    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Tokens of a prompt as `generate` sends it."""

    @abstractmethod
    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads; the messages as plain text, where a server renders them."""

    @abstractmethod
    def describe(self) -> Mapping[str, str]:
        """What `start` learned about the server."""

    @abstractmethod
    def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate; closing the iterator closes the connection, and the server aborts."""

    @abstractmethod
    async def try_out(self) -> None:
        """Learn what the server can do, by requests. Raises `EngineRefused` if that is not enough."""

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._context or self.default_context

    @property
    def capacity(self) -> None:
        """Unknown: the interface does not tell, and the server may have other clients."""
        return None

    async def start(self) -> None:
        """Check that the server has the model, and what it can do.

        Raises `EngineUnavailable` while the server cannot be reached, and `EngineRefused` for a wrong key, an unknown
        model, or a server that cannot do what is needed.
        """
        if self._client is None:
            self._client = self.server.client(TIMEOUT)
        self._context = self.options.context
        await self._poll()
        await self.try_out()

    async def stop(self) -> None:
        """Close the connections; generations in flight end."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def check(self) -> None:
        """Raises `EngineUnavailable`. Polls the server at most every `POLL_INTERVAL_S` seconds."""
        async with self._polling:
            if time.monotonic() >= self._next_poll:
                await self._poll()

    def stats(self) -> EngineStats:
        """The load by this service, and what is known of the server, which may have other clients and a queue."""
        return replace(self._stats, server=self.describe())

    async def send(self, generation: Generation, exchange: Exchange, request_id: str) -> AsyncGenerator[Chunk, None]:
        """The chunks of one request's answer. Raises `EngineRefused`, `EngineUnavailable`."""
        require_adapter(generation, self.options.adapters)
        headers = {"X-Request-Id": f"{request_id}-{uuid.uuid4().hex[:8]}", "Content-Type": "application/json"}
        # A lone surrogate, which no UTF-8 can hold, is escaped.
        body = json.dumps(exchange.body)
        with self._counted(), self._noting_failures(), self.server.translated():
            async with aconnect_sse(self._connected(), "POST", self.path, content=body, headers=headers) as source:
                await self.server.require_success(source.response)
                chunks = chunks_of(
                    source,
                    self.server,
                    exchange.read,
                    model=self.model_of(generation),
                    prompt_tokens=exchange.prompt_tokens,
                )
                if exchange.stop:
                    chunks = apply_stop_strings(chunks, exchange.stop)
                async with contextlib.aclosing(chunks):
                    async for chunk in chunks:
                        if chunk.finish_reason is not None:
                            self._count(queried_tokens=chunk.prompt_tokens, hit_tokens=chunk.cached_tokens)
                        yield chunk

    def model_of(self, generation: Generation) -> str:
        """The name on the server: an adapter is a model there."""
        return generation.adapter or self.options.model or ""

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            raise EngineUnavailable(f"the connection to {self.server.address} is not open")
        return self._client

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self._stats, name) + number for name, number in more.items()}
        self._stats = replace(self._stats, **counted)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._count(running=1)
        try:
            yield
        finally:
            self._count(running=-1)

    @contextlib.contextmanager
    def _noting_failures(self) -> Iterator[None]:
        """After a failure the next check polls the server immediately; a context that it names applies."""
        try:
            yield
        except EngineUnavailable:
            self._next_poll = 0.0
            raise
        except PromptTooLong as error:
            self._context = min(self.context, error.limit or self.context)
            raise

    async def _poll(self) -> None:
        with self.server.translated():
            response = await self._connected().get("models", timeout=POLL_TIMEOUT_S)
            # Not every server lists its models; the canary would detect a wrong one later.
            if response.status_code not in (404, 405, 501):
                await self.server.require_success(response)
                self._compare(ServedModels.model_validate_json(response.content))
        self._next_poll = time.monotonic() + POLL_INTERVAL_S

    def _compare(self, served: ServedModels) -> None:
        for name in self._names:
            # The entry of this very name, if there is one besides others that may mean it.
            entries = sorted(served.data, key=lambda entry: entry.id != name)
            entry = next((entry for entry in entries if is_same_model(name, entry.id)), None)
            if entry is None:
                names = sorted(entry.id for entry in entries)
                more = ", ..." if len(names) > _NAMED_MODELS else ""
                has = f"{', '.join(names[:_NAMED_MODELS])}{more}" if names else "none"
                raise EngineRefused(f"the server at {self.server.address} has no model {name!r}; it has {has}")
            if entry.context:
                self._context = min(self._context or entry.context, entry.context)


def _base(url: str) -> httpx.URL:
    base = httpx.URL(url)
    return base.copy_with(path="/v1/") if base.path in ("", "/") else base
