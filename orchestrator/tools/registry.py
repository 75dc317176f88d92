"""The tools on offer: sources are added and removed at run time, tools are looked up and executed.

Leaves out persistence (a source's `record` is what to keep) and the decision which calls may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from yarl import URL

from orchestrator.tools.egress import Answer, Egress, OutboundRequest, same_origin
from orchestrator.tools.errors import (
    ArgumentError,
    DocumentError,
    EgressError,
    ExchangeFailed,
    RequestRefused,
    SourceExistsError,
    SourceUnreachableError,
    UnknownSourceError,
    UnknownToolError,
)
from orchestrator.tools.model import EffectClass, Tool, ToolResult
from orchestrator.tools.observation import MAX_OBSERVATION_BYTES, failure, observe
from orchestrator.tools.openapi.document import MAX_BYTES, SMALLER
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.request import build_request, check_arguments, with_defaults
from orchestrator.tools.openapi.security import Credentials, place_credentials
from orchestrator.tools.source import ToolSource

FETCH_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True)
class RegisteredSource:
    """A source with its document as it was read, where its tools are called, and their names."""

    source: ToolSource
    base_url: str
    tools: tuple[str, ...]


@dataclass(frozen=True)
class _Registered:
    operation: Operation
    credentials: Credentials


class ToolRegistry:
    """Every tool that trajectories may use. Names are unique over all sources; it is an `Executor`."""

    def __init__(self, egress: Egress, *, max_observation_bytes: int = MAX_OBSERVATION_BYTES) -> None:
        self._egress = egress
        self._max_observation_bytes = max_observation_bytes
        self._sources: dict[str, RegisteredSource] = {}
        self._tools: dict[str, _Registered] = {}

    async def add_source(self, source: ToolSource) -> RegisteredSource:
        """Read the source's document, fetching it if need be, and offer its tools.

        Raises `ToolSourceError` (see `errors`), and then nothing has changed.
        """
        self._refuse_same_source(source.name)
        raw = source.document_bytes()
        if raw is None:
            raw = await self._fetch(source)
        # Large documents take a while to check; requests go on meanwhile.
        read = await asyncio.to_thread(_read, source, raw)
        self._refuse_same_source(source.name)
        self._refuse_same_tools(source.name, read)
        pinned = source.model_copy(update={"document": raw.decode("utf-8", "replace")})
        base_url = next(iter(read.values())).operation.base_url
        registered = RegisteredSource(pinned, base_url, tuple(read))
        self._sources[source.name] = registered
        self._tools |= read
        return registered

    def remove_source(self, name: str) -> RegisteredSource:
        """Withdraw a source and its tools. Raises `UnknownSourceError`."""
        if name not in self._sources:
            raise UnknownSourceError(name, self._sources)
        removed = self._sources.pop(name)
        for tool in removed.tools:
            del self._tools[tool]
        return removed

    def list_sources(self) -> list[RegisteredSource]:
        """All sources, in the order they were added."""
        return list(self._sources.values())

    def list_tools(self) -> list[Tool]:
        """All tools, by source and then in the order of its document."""
        return [registered.operation.tool for registered in self._tools.values()]

    def get(self, names: Iterable[str]) -> list[Tool]:
        """The tools of these names. Raises `UnknownToolError` with all names that are not registered."""
        names = list(names)
        if unknown := [name for name in names if name not in self._tools]:
            raise UnknownToolError(unknown, self._tools)
        return [self._tools[name].operation.tool for name in names]

    async def execute(
        self, tool: Tool, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Call the tool within `timeout_s` seconds. A failure of any kind is a result for the planner."""
        registered = self._tools.get(tool.name)
        if registered is None:
            return self._failure(str(UnknownToolError([tool.name], self._tools)))
        operation = registered.operation
        if operation.tool != tool:
            return self._failure(f"the tool {tool.name!r} has changed since it was offered; it was not called")
        try:
            complete = with_defaults(operation, arguments)
            check_arguments(operation, complete)
            request = build_request(
                operation, complete, idempotency_key=idempotency_key, credentials=registered.credentials
            )
            answer = await self._egress.send(request, timeout_s=timeout_s)
        except ArgumentError as error:
            return self._failure(f"the tool was not called: {error}")
        except EgressError as error:
            return self._failure(_explained(error, tool.effect))
        return observe(answer, operation, registered.credentials, max_bytes=self._max_observation_bytes)

    def _failure(self, reason: str) -> ToolResult:
        return failure(reason, max_bytes=self._max_observation_bytes)

    def _refuse_same_source(self, name: str) -> None:
        if name in self._sources:
            raise SourceExistsError(
                f"a source {name!r} is registered",
                field="name",
                remedy="remove it first, or choose another name",
            )

    def _refuse_same_tools(self, name: str, tools: Iterable[str]) -> None:
        for tool in tools:
            if tool in self._tools:
                other = self._tools[tool].operation.tool.source
                raise SourceExistsError(
                    f"the sources {other!r} and {name!r} both have a tool {tool!r}",
                    field="operations",
                    remedy="rename one of the operations, or select others with `operations`",
                )

    async def _fetch(self, source: ToolSource) -> bytes:
        url = source.url or ""
        request = OutboundRequest("GET", url, within=url.partition("?")[0], headers=_fetch_headers(source, url))
        try:
            answer = await self._egress.send(request, timeout_s=FETCH_TIMEOUT_S, max_body_bytes=MAX_BYTES)
        except EgressError as error:
            raise SourceUnreachableError(str(error), field="url", remedy=_fetch_remedy(error)) from None
        return _document(answer)


def _read(source: ToolSource, raw: bytes) -> dict[str, _Registered]:
    operations = parse_document(
        raw,
        source_name=source.name,
        base_url=source.base_url,
        default_effect=source.effect,
        document_url=source.url,
        operations=source.operations,
        trust_effects=source.url is None,
    )
    return {
        operation.tool.name: _Registered(
            operation, place_credentials(operation, headers=source.headers, credentials=source.credentials)
        )
        for operation in operations
    }


def _fetch_headers(source: ToolSource, url: str) -> dict[str, str]:
    """The source's headers, unless its calls go elsewhere: then they are not the document server's business."""
    accept = {"accept": "application/json, application/yaml, text/yaml;q=0.9, */*;q=0.5"}
    if source.base_url is not None and not same_origin(URL(source.base_url), URL(url)):
        return accept
    return accept | {name: value.get_secret_value() for name, value in source.headers.items()}


def _fetch_remedy(error: EgressError) -> str:
    if isinstance(error, RequestRefused):
        return "give a public address (ALPHA_UMI_ALLOW_LOOPBACK_TOOLS also allows this machine's own)"
    return "check that the address is reachable"


def _document(answer: Answer) -> bytes:
    if 300 <= answer.status < 400:
        raise SourceUnreachableError(
            f"the server answered with a redirect (HTTP {answer.status})",
            field="url",
            remedy="give the final address",
        )
    if answer.status != 200:
        raise SourceUnreachableError(
            f"the server answered with HTTP {answer.status}",
            field="url",
            remedy="give the document's own address",
        )
    if answer.truncated:
        raise DocumentError(f"the document is larger than {MAX_BYTES} bytes", field="#", remedy=SMALLER)
    return answer.body


def _explained(error: EgressError, effect: EffectClass) -> str:
    if isinstance(error, ExchangeFailed) and effect is not EffectClass.READ:
        return f"the tool gave no usable answer, and whether the call took effect is unknown: {error}"
    return f"the tool gave no answer: {error}"
