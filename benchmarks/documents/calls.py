"""Sample calls of a tool, each with the request that the document means by it."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from benchmarks.documents.reading import Document, Endpoint, Json, Media, Parameter, Scheme
from benchmarks.documents.samples import Kind, NoSample, Samples, exact
from benchmarks.documents.wire import (
    FORM,
    MULTIPART,
    Entry,
    Expected,
    Unspecified,
    expect,
    expected_body,
    is_json,
    is_lines,
    is_text,
)

KINDS: Final[tuple[Kind, ...]] = ("minimal", "full", "edge", "edge", "edge")
CREDENTIAL: Final = "made-up:credential"
# OpenAPI ignores the first three as parameters; the orchestrator sets the last.
_IGNORED: Final = frozenset({"accept", "content-type", "authorization", "idempotency-key"})


@dataclass(frozen=True)
class ArgumentMapping:
    """Where the tool's arguments go: by location and name, and the body's.

    `body`: its media type, and the argument that holds it; None if its properties are arguments.
    """

    parameters: Mapping[tuple[str, str], str]
    body: tuple[str, str | None] | None
    required: frozenset[str]


@dataclass(frozen=True)
class _ChosenBody:
    """The form of the body that the tool uses; `argument` is None if its properties are arguments."""

    media_type: str
    argument: str | None
    media: Media
    required: bool
    samples: Samples


@dataclass(frozen=True)
class SampleCall:
    """Arguments, and the requests that are right for them: one for each alternative of the credentials."""

    arguments: Json
    expected: tuple[Expected, ...]


class Calls:
    """The sample calls of one endpoint."""

    def __init__(
        self, document: Document, endpoint: Endpoint, mapping: ArgumentMapping, *, base_url: str | None
    ) -> None:
        self._document = document
        self._endpoint = endpoint
        self._mapping = mapping
        self._address = (base_url or document.server(endpoint)) + endpoint.path
        self._seed = f"{endpoint.method} {endpoint.path}"
        self._security = document.security(endpoint)
        carriers = {(scheme.kind, scheme.wire_name) for each in self._security for scheme in each}
        self._parameters = [
            (parameter, self._samples(parameter.schema, parameter.name))
            for parameter in document.parameters(endpoint)
            if (parameter.location, parameter.name) not in carriers
            and not (parameter.location == "header" and parameter.name.lower() in _IGNORED)
        ]
        self._body = self._chosen_body()

    def missing(self) -> list[tuple[str, bool]]:
        """The parts for which the tool has no argument, and whether they are required."""
        mapped = self._mapping.parameters
        parts = [(p.name, p.required) for p, _ in self._parameters if (p.location, p.name) not in mapped]
        media, required = self._document.bodies(self._endpoint)
        lacks_body = media and self._mapping.body is None and self._endpoint.method not in ("GET", "HEAD")
        return [*parts, ("the body", required)] if lacks_body else parts

    def calls(self) -> Iterator[SampleCall | str]:
        """One call of each kind, or why there is none."""
        for number, kind in enumerate(KINDS):
            try:
                yield self._call(kind, random.Random(f"{self._seed} {number}"))  # noqa: S311 - nothing to guess
            except (NoSample, Unspecified) as reason:
                yield str(reason)

    def _call(self, kind: Kind, rng: random.Random) -> SampleCall:
        arguments: Json = {}
        sent: list[tuple[Parameter, Any]] = []
        for parameter, samples in self._parameters:
            argument = self._mapping.parameters.get((parameter.location, parameter.name))
            wanted = parameter.required or kind == "full" or (kind == "edge" and rng.random() < 0.6)
            if argument is None or not wanted:
                continue
            default = parameter.schema.get("default") if isinstance(parameter.schema, dict) else None
            if kind == "minimal" and default is not None and argument not in self._mapping.required:
                sent.append((parameter, exact(default)))
            elif (value := _writable(parameter, samples, kind)) is not None:
                arguments[argument] = value
                sent.append((parameter, value))
        expected = expect(self._endpoint.method, self._address, sent, answers=self._document.answers(self._endpoint))
        if self._body is not None:
            expected, of_body = self._with_body(expected, self._body, kind)
            arguments |= of_body
        return SampleCall(arguments, tuple(self._with_credentials(expected)))

    def _chosen_body(self) -> _ChosenBody | None:
        if self._mapping.body is None:
            return None
        media_type, argument = self._mapping.body
        forms, required = self._document.bodies(self._endpoint)
        media = next((form for name, form in forms.items() if fnmatchcase(media_type, name)), None)
        if media is None:
            raise Unspecified(f"the body has no form {media_type!r}")
        return _ChosenBody(media_type, argument, media, required, self._samples(media.schema, "body"))

    def _with_body(self, expected: Expected, body: _ChosenBody, kind: Kind) -> tuple[Expected, Json]:
        """The request and the arguments of its body; an optional body is left out of a minimal call if it can be."""
        essence = body.media_type.partition(";")[0].lower()
        value: Any
        if is_json(essence) or is_lines(essence):
            value = body.samples.some(kind)
        elif essence in (FORM, MULTIPART):
            value = {name: part for name, part in body.samples.some(kind).items() if part is not None}
        elif is_text(essence) and isinstance(scalar := body.samples.some(kind), str | bool | int | Decimal):
            value = scalar
        else:
            value = "Zoë\n<a>1</a>" if is_text(essence) else base64.b64encode(b"\0\xff bytes").decode()
        if not body.required and kind == "minimal" and (body.argument or not value):
            return expected, {}
        arguments = value if body.argument is None else {body.argument: value}
        content = expected_body(body.media_type, body.media, value)
        return replace(expected, body=content, body_may_lack=not arguments), arguments

    def _with_credentials(self, expected: Expected) -> Iterator[Expected]:
        usable = [each for each in self._security if all(scheme.kind != "unsupported" for scheme in each)]
        for alternative in usable or [[]]:
            headers, query, cookies = dict(expected.headers), list(expected.query), list(expected.cookies)
            for scheme in alternative:
                _place(scheme, headers, query, cookies)
            yield replace(expected, headers=headers, query=query, cookies=cookies)

    def _samples(self, schema: Any, name: str) -> Samples:
        return Samples(self._document.complete(schema), f"{self._seed} {name}")


def _place(scheme: Scheme, headers: dict[str, str], query: list[Entry], cookies: list[Entry]) -> None:
    match scheme.kind:
        case "header":
            headers[scheme.wire_name.lower()] = CREDENTIAL
        case "bearer":
            headers["authorization"] = f"Bearer {CREDENTIAL}"
        case "basic":
            headers["authorization"] = f"Basic {base64.b64encode(CREDENTIAL.encode()).decode()}"
        case "query":
            query.append(Entry(scheme.wire_name, CREDENTIAL))
        case _:
            cookies.append(Entry(scheme.wire_name, CREDENTIAL))


def _writable(parameter: Parameter, samples: Samples, kind: Kind) -> Any:
    """A value that can stand where the parameter does; None if it is optional and there is none. Raises `NoSample`."""
    for attempt in (kind, kind, "full", "minimal"):
        value = samples.some(attempt)
        if value is not None and all(_can_stand(parameter.location, part) for part in _scalars(value)):
            if value in ({}, []) and parameter.location == "path":
                continue
            try:
                expect("GET", "", [(parameter, value)])
            except Unspecified:
                continue
            return value
    if parameter.required:
        raise NoSample(f"no value of {parameter.name} can be written")
    return None


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(part for item in value.values() for part in _scalars(item))]
    return [part for item in value for part in _scalars(item)] if isinstance(value, list) else [value]


def _can_stand(location: str, part: Any) -> bool:
    if not isinstance(part, str) or location == "query":
        return True
    if location == "path":
        return part not in ("", ".", "..")
    return part.isascii() and part.isprintable() and part == part.strip() and not set(part) & set(',;"\\')
