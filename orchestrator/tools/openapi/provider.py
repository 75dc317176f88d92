"""Tool sources of the kind `openapi`: an OpenAPI document, fetched or given, whose operations are called over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PlainValidator, SecretStr, ValidationInfo, field_validator, model_validator
from yarl import URL

from alpha_umi.redaction import Redactor
from orchestrator.tools.call_limits import Caller
from orchestrator.tools.egress import Answer, Egress, OutboundRequest, same_origin
from orchestrator.tools.errors import (
    ArgumentError,
    DocumentError,
    EgressError,
    ExchangeFailed,
    RequestRefused,
    SourceUnreachableError,
    ToolSourceError,
)
from orchestrator.tools.model import EffectClass, LeftOut, RequestPreview, Tool, ToolResult
from orchestrator.tools.observation import failure, observe
from orchestrator.tools.openapi.document import MAX_BYTES, SMALLER, read_document, read_text
from orchestrator.tools.openapi.operation import Operation, with_schema
from orchestrator.tools.openapi.parse import (
    FULL,
    MAX_OPERATIONS,
    SMALL,
    Bounds,
    BoundsExceeded,
    Selection,
    parse_document,
)
from orchestrator.tools.openapi.references import bundling, loaded
from orchestrator.tools.openapi.request import build_request, check_arguments, with_defaults
from orchestrator.tools.openapi.security import Credentials, place_credentials, secrets_of
from orchestrator.tools.packed import PackedText
from orchestrator.tools.shorten import shorten_structure
from orchestrator.tools.source import ToolSource
from orchestrator.workers import LimitExceeded, Question, run_limited, run_long

FETCH_TIMEOUT_S: Final = 15.0
MAX_SHOWN_BYTES: Final = 16 * 1024
_LARGE_BYTES: Final = 64 * 1024
# Of a document.
_SMALL_BYTES: Final = 64 * 1024
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Set by the HTTP client and by `request`.
_RESERVED_HEADERS = frozenset({
    "host", "connection", "content-length", "transfer-encoding", "accept-encoding", "content-type",
    "idempotency-key",
})  # fmt: skip


def packed_document(document: str | dict[str, Any]) -> PackedText:
    """A document as it is given. Raises `ValueError` for endless nesting."""
    if isinstance(document, str):
        return PackedText.of(document.encode("utf-8", "replace"))
    try:
        return PackedText.of(json.dumps(document).encode())
    except RecursionError:
        raise ValueError("the document nests too deeply") from None


def _document_of(value: Any, info: ValidationInfo) -> PackedText | None:
    match value:
        case None | PackedText():
            return value
        case {"zlib": _, "size": _} if (info.context or {}).get("stored"):
            return PackedText.from_record(value)
        case str() | dict():
            return packed_document(value)
        case _:
            raise ValueError("give an object or a text")


_Choice = Annotated[list[Annotated[str, Field(max_length=1_024)]], Field(min_length=1, max_length=MAX_OPERATIONS)]
_Document = Annotated[
    PackedText | None, PlainValidator(_document_of, json_schema_input_type=str | dict[str, Any] | None)
]


class OpenApiSource(ToolSource):
    """Tools from an OpenAPI document, given by address or in full.

    With both, `document` is used and `url` is where it came from. `effect` is the effect class of methods other than
    GET, HEAD and OPTIONS. `headers` go with every call, `credentials` (by name of the document's security scheme) where
    an operation requires them; basic authentication is written `user:password`. `operations`, `tags`, `paths` and
    `methods` select operations (see `parse.Selection`). With `remote_references` the documents that the document refers
    to are fetched, too.
    """

    kind: Literal["openapi"] = "openapi"
    # It has its own form in the record.
    document: _Document = Field(default=None, repr=False, exclude=True)
    headers: Annotated[dict[str, SecretStr], Field(max_length=32)] = Field(default_factory=dict)
    credentials: Annotated[dict[str, SecretStr], Field(max_length=32)] = Field(default_factory=dict)
    operations: _Choice | None = None
    tags: _Choice | None = None
    paths: _Choice | None = None
    methods: _Choice | None = None
    remote_references: bool = False

    @field_validator("headers", "credentials")
    @classmethod
    def _sendable(cls, secrets: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in secrets.items():
            if not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return secrets

    @field_validator("headers")
    @classmethod
    def _header_names(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"{name!r} is not a header that can be set here")
        return headers

    @model_validator(mode="after")
    def _has_document(self) -> Self:
        if self.url is None and self.document is None:
            raise ValueError("give `url` or `document`")
        return self

    def light(self) -> Self:
        """The source without its document."""
        return self.model_copy(update={"document": None})

    def record(self) -> dict[str, Any]:
        """A plain dict with the document packed; see `ToolSource`."""
        return super().record() | {"document": None if self.document is None else self.document.record()}


@dataclass(frozen=True, eq=False)
class OpenApiProvider:
    """The operations of one document."""

    base_url: str
    tools: Mapping[str, Tool]
    left_out: Sequence[LeftOut]
    _operations: Mapping[str, tuple[Operation, Credentials]] = field(repr=False)
    _redactor: Redactor = field(repr=False)
    _egress: Egress = field(repr=False)
    _light: OpenApiSource = field(repr=False)
    _document: PackedText = field(repr=False)

    @property
    def source(self) -> OpenApiSource:
        """The source with the document as it was read."""
        return self._light.model_copy(update={"document": self._document})

    def preview(self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        """The operation's request; see `ToolProvider`."""
        operation, credentials = self._operations[name]
        # It is built without the credentials, so that they cannot be in it.
        request = _request(operation, arguments, idempotency_key, Credentials())
        places = {"header": credentials.headers, "query": credentials.query}
        return RequestPreview(
            request.method,
            self._redactor.redact(request.url),
            {name: self._redactor.redact(value) for name, value in request.headers.items()},
            tuple(f"{place} {name}" for place, names in places.items() for name in names),
            None if request.content is None else self._redactor.redact(_shown(request.content)),
        )

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Send the operation's request within `timeout_s` seconds; see `ToolProvider`."""
        operation, credentials = self._operations[name]
        try:
            # The first call compiles the schema.
            request = await asyncio.to_thread(_request, operation, arguments, idempotency_key, credentials)
            answer = await self._egress.send(request, timeout_s=timeout_s, caller=Caller(self, name))
        except ArgumentError as error:
            return failure(f"the tool was not called: {error}")
        except EgressError as error:
            return failure(_explained(error, operation.tool.effect))
        if len(answer.body) < _LARGE_BYTES:
            observed = observe(answer, operation, self._redactor)
        else:
            # Other requests are served while a large answer is read.
            observed = await run_long(observe, answer, operation, self._redactor)
        return replace(observed, status=answer.status)

    async def close(self) -> None:
        """Nothing to release: all sources share the HTTP client."""


async def load_openapi(source: OpenApiSource, egress: Egress) -> OpenApiProvider:
    """Read the source's document, fetching it if need be. Raises `ToolSourceError` (see `errors`)."""
    document = source.document
    if document is None:
        document = await asyncio.to_thread(PackedText.of, await _fetch(source, source.url or "", egress))
    redactor = _redactor(source)
    try:
        items = await _read(source, document, egress)
    except ToolSourceError as error:
        error.map_texts(redactor.redact)
        raise
    # Thousands of operations take too long for the event loop.
    return await asyncio.to_thread(_provider, source, document, items, redactor, egress)


def _provider(
    source: OpenApiSource, document: PackedText, items: Sequence[_Item], redactor: Redactor, egress: Egress
) -> OpenApiProvider:
    schemas = [item for item in items if isinstance(item, dict)]
    operations = {
        item.operation.tool.name: (with_schema(item.operation, schemas[item.schema]), item.credentials)
        for item in items
        if isinstance(item, _Read)
    }
    return OpenApiProvider(
        redactor.redact(next(operation.base_url for operation, _ in operations.values())),
        {name: operation.tool for name, (operation, _) in operations.items()},
        [item for item in items if isinstance(item, LeftOut)],
        operations,
        redactor,
        egress,
        source.light(),
        next((item for item in items if isinstance(item, PackedText)), document),
    )


async def _read(source: OpenApiSource, document: PackedText, egress: Egress) -> list[_Item]:
    """What `_reading` yields. A document that takes little is read here, others in a process of their own."""
    settings = source.light()
    if document.size <= _SMALL_BYTES and not source.remote_references:
        with contextlib.suppress(BoundsExceeded):
            return await asyncio.to_thread(lambda: list(_reading(settings, document, SMALL)))  # type: ignore[arg-type]
    try:
        return await run_limited(
            _reading,
            settings,
            document,
            FULL,
            answer=lambda urls: loaded(urls, lambda url: _fetch(source, url, egress)),
        )
    except LimitExceeded as error:
        raise DocumentError(f"reading the document failed: {error}", field="#", remedy=SMALLER) from error


@dataclass(frozen=True)
class _Read:
    """An operation without its schema, which is number `schema`."""

    operation: Operation
    credentials: Credentials
    schema: int


_Item = PackedText | dict[str, Any] | _Read | LeftOut


def _reading(
    source: OpenApiSource, document: PackedText, bounds: Bounds
) -> Generator[Question | _Item, list[bytes | None], None]:
    """The document if others became parts of it, schemas, operations, and what was left out."""
    if source.remote_references:
        job = bundling(document.raw(), source.url)
        answers: list[bytes | None] | None = None
        try:
            while True:
                answers = yield Question(next(job) if answers is None else job.send(answers))
        except StopIteration as done:
            document = PackedText.of(done.value)
        yield document
    # The bytes are gone while the text is read, and the text while its operations are: they take the memory of both.
    operations, left_out = read_operations(source, read_document(read_text(document.raw())), bounds)
    numbers: dict[int, int] = {}
    for operation, credentials in operations.values():
        schema = operation.tool.parameters
        if id(schema) not in numbers:
            numbers[id(schema)] = len(numbers)
            yield schema
        yield _Read(with_schema(operation, {}), credentials, numbers[id(schema)])
    yield from left_out


def read_operations(
    source: OpenApiSource, document: bytes | dict[str, Any], bounds: Bounds = FULL
) -> tuple[dict[str, tuple[Operation, Credentials]], list[LeftOut]]:
    """The operations of the source's document by tool name, and those left out. Raises `ToolSourceError`.

    What models and clients read of them does not repeat the source's credentials: a server can, in its document, too.
    """
    credentials: dict[str, Credentials] = {}

    def place(operation: Operation) -> None:
        placed = place_credentials(operation, headers=source.headers, credentials=source.credentials)
        credentials[operation.tool.name] = placed

    operations, left_out = parse_document(
        document,
        source_name=source.name,
        base_url=source.base_url,
        default_effect=source.effect,
        document_url=source.url,
        selection=Selection(source.operations, source.tags, source.paths, source.methods),
        trust_effects=source.url is None,
        accept=place,
        bounds=bounds,
    )
    if source.headers or source.credentials:
        operations, left_out = _without_secrets(operations, left_out, _redactor(source))
    return {each.tool.name: (each, credentials[each.tool.name]) for each in operations}, left_out


def _redactor(source: OpenApiSource) -> Redactor:
    return Redactor(secrets_of(source.headers, source.credentials))


def _without_secrets(
    operations: Sequence[Operation], left_out: Sequence[LeftOut], redactor: Redactor
) -> tuple[list[Operation], list[LeftOut]]:
    clear, schemas = list[Operation](), dict[int, dict[str, Any]]()
    left_out = list(left_out)
    for operation in operations:
        tool = operation.tool
        if redactor.redact(tool.name) != tool.name:
            reason = "its name repeats a credential; rename the operation"
            left_out.append(LeftOut(tool.name, f"{operation.method} {operation.path}", "#/paths", reason))
            continue
        # Operations share schemas.
        if id(tool.parameters) not in schemas:
            text = json.dumps(tool.parameters)
            shown = redactor.redact_strings(text)
            schemas[id(tool.parameters)] = tool.parameters if shown == text else json.loads(shown)
        description, address = redactor.redact(tool.description), tool.address and redactor.redact(tool.address)
        tool = replace(tool, description=description, address=address, parameters=schemas[id(tool.parameters)])
        clear.append(replace(operation, tool=tool))
    if not clear:
        raise DocumentError("the name of each operation repeats a credential", field="#/paths", remedy="rename them")
    return clear, [each.map_texts(redactor.redact) for each in left_out]


async def _fetch(source: OpenApiSource, url: str, egress: Egress) -> bytes:
    request = OutboundRequest("GET", url, within=url.partition("?")[0], headers=_fetch_headers(source, url))
    try:
        answer = await egress.send(request, timeout_s=FETCH_TIMEOUT_S, max_body_bytes=MAX_BYTES)
    except EgressError as error:
        raise SourceUnreachableError(str(error), field="url", remedy=_fetch_remedy(error)) from None
    return _document(answer)


def _fetch_headers(source: OpenApiSource, url: str) -> dict[str, str]:
    """The source's headers, if the operator named an address of this origin and none of another.

    No other server must see them; a document that is given could refer to any.
    """
    accept = {"accept": "application/json, application/yaml, text/yaml;q=0.9, */*;q=0.5"}
    named = [URL(address) for address in (source.base_url, source.url) if address is not None]
    if not named or not all(same_origin(address, URL(url)) for address in named):
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


def _request(
    operation: Operation, arguments: Mapping[str, Any], idempotency_key: str, credentials: Credentials
) -> OutboundRequest:
    complete = with_defaults(operation, arguments)
    check_arguments(operation, complete)
    return build_request(operation, complete, idempotency_key=idempotency_key, credentials=credentials)


def _shown(content: bytes) -> str:
    return shorten_structure(content.decode("utf-8", "replace"), MAX_SHOWN_BYTES)


def _explained(error: EgressError, effect: EffectClass) -> str:
    if isinstance(error, ExchangeFailed) and effect is not EffectClass.READ:
        return f"the tool gave no usable answer, and whether the call took effect is unknown: {error}"
    return f"the tool gave no answer: {error}"
