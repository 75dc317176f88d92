"""An engine behind an OpenAI-compatible completions server.

Prompts are tokenized here, with special tokens only where the template wrote them, and sent as token ids. The local
folder of tokenizer and manifest must be that of the served model; the canary detects a difference. An adapter is a
model of the server with the adapter's name. vLLM's extensions of the API carry constraints, and stop strings that stay
in the text; without them (`extensions`) stop strings are matched here, and the role services validate outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from httpx_sse import aconnect_sse
from pydantic import SecretStr

from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import (
    Choices,
    Chunk,
    Constraint,
    EngineRefused,
    EngineStats,
    EngineUnavailable,
    Generation,
    Grammar,
    require_adapter,
)
from alpha_umi.serving.remote_errors import Server, ServerFailed
from alpha_umi.serving.remote_wire import ServedModels, apply_stop_strings, chunks_of, completion_request
from alpha_umi.serving.tokens import PromptTokenizer

POLL_INTERVAL_S = 5.0
POLL_TIMEOUT_S = 5.0
# A first token may wait in the server's queue; the orchestrator's own bound on a role's answer is shorter.
TIMEOUT = httpx.Timeout(10.0, read=600.0, pool=None)

_WORD = "7f3a"
_TRIALS: tuple[tuple[Constraint, str], ...] = (
    (Choices((_WORD,)), _WORD),
    # With a parameter, as the grammars of calls have them: of vLLM's back ends only llguidance compiles that.
    (Grammar(f'start: "#" word::0x0\nword::_: "{_WORD}" %if is_zeros(_) | "" %if not(is_zeros(_))\n'), f"#{_WORD}"),
)
_WITHOUT = "or set ALPHA_UMI_ROLE_REMOTE_EXTENSIONS=false"


@dataclass(frozen=True)
class RemoteOptions:
    """The address of the server, and the model to use.

    `url` is the API's base; `/v1` is appended to a bare host. `tokenizer` is the local folder of the model. `context`
    is the tokens of prompt and answer together; the server's own limit applies if it is lower. `model` is the name on
    the server, for an engine without `adapters`.
    """

    url: str
    tokenizer: Path
    context: int
    model: str | None = None
    adapters: tuple[str, ...] = ()
    key: SecretStr | None = None
    extensions: bool = True


class RemoteEngine:
    """The engine port on a completions server."""

    def __init__(self, options: RemoteOptions) -> None:
        self._options = options
        self._tokenizer = PromptTokenizer(options.tokenizer)
        self._server = Server(_base(options.url), options.key)
        self._names = options.adapters or ((options.model,) if options.model else ())
        self._context = options.context
        self._client: httpx.AsyncClient | None = None
        self._polling = asyncio.Lock()
        self._next_poll = 0.0
        self._stats = EngineStats()

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._context

    @property
    def capacity(self) -> None:
        """Unknown: the interface does not tell, and the server may have other clients."""

    async def start(self) -> None:
        """Check that the server has the model and supports the extensions.

        Raises `EngineUnavailable` while the server cannot be reached, and `EngineRefused` for a wrong key, an unknown
        model, or a server without the extensions.
        """
        if self._client is None:
            self._client = self._server.client(TIMEOUT)
        await self._poll()
        if self._options.extensions:
            await self._try_extensions()

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
        """The load by this service. The server may have other clients, and its queue is unknown."""
        return self._stats

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Tokens of a prompt as `generate` sends it."""
        return len(self._tokenizer.encode(prompt))

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return self._tokenizer.text_of(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate; closing the iterator closes the connection, and the server aborts."""
        require_adapter(generation, self._options.adapters)
        ids = self._tokenizer.encode(generation.prompt, generation.continuation)
        model = generation.adapter or self._options.model or ""
        body = completion_request(generation, ids, model=model, extensions=self._options.extensions)
        headers = {"X-Request-Id": f"{request_id}-{uuid.uuid4().hex[:8]}"}
        with self._counted(), self._recheck_on_failure(), self._server.translated():
            async with aconnect_sse(self._connected(), "POST", "completions", json=body, headers=headers) as source:
                await self._server.require_success(source.response)
                chunks = chunks_of(source, self._server, prompt_tokens=len(ids))
                if not self._options.extensions:
                    chunks = apply_stop_strings(chunks, generation.stop)
                async with contextlib.aclosing(chunks):
                    async for chunk in chunks:
                        if chunk.finish_reason is not None:
                            self._count(queried_tokens=chunk.prompt_tokens, hit_tokens=chunk.cached_tokens)
                        yield chunk

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            raise EngineUnavailable(f"the connection to {self._server.address} is not open")
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
    def _recheck_on_failure(self) -> Iterator[None]:
        """After a failure the next check polls the server immediately."""
        try:
            yield
        except EngineUnavailable:
            self._next_poll = 0.0
            raise

    async def _poll(self) -> None:
        with self._server.translated():
            response = await self._connected().get("models", timeout=POLL_TIMEOUT_S)
            # Not every server lists its models; the canary would detect a wrong one later.
            if response.status_code not in (404, 405, 501):
                await self._server.require_success(response)
                self._compare(ServedModels.model_validate_json(response.content))
        self._next_poll = time.monotonic() + POLL_INTERVAL_S

    def _compare(self, served: ServedModels) -> None:
        bounds = {model.id: model.max_model_len for model in served.data}
        for name in self._names:
            if name not in bounds:
                has = ", ".join(sorted(bounds)) or "none"
                raise EngineRefused(f"the server at {self._server.address} has no model {name!r}; it has {has}")
            self._context = min(self._context, bounds[name] or self._context)

    async def _try_extensions(self) -> None:
        """Raises `EngineRefused` for a server that silently ignores constraints."""
        adapter = self._options.adapters[0] if self._options.adapters else None
        for constraint, expected in _TRIALS:
            trial = Generation("1 + 1 =", max_tokens=32, constraint=constraint, adapter=adapter)
            try:
                written = "".join([chunk.text async for chunk in self.generate(trial, request_id="trial")])
            except ServerFailed as error:
                remedy = f"start it with `--structured-outputs-config.backend guidance`, {_WITHOUT}"
                raise EngineRefused(f"{error} to a constraint; {remedy}") from error
            if written != expected:
                raise EngineRefused(
                    f"the server at {self._server.address} wrote {written!r} under a constraint that allows "
                    f"{expected!r} only; use a server that knows vLLM's structured_outputs, {_WITHOUT}"
                )


def _base(url: str) -> httpx.URL:
    base = httpx.URL(url)
    return base.copy_with(path="/v1/") if base.path in ("", "/") else base
