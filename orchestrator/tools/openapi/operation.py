"""An operation of an OpenAPI document: its tool, and how its arguments become an HTTP request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.tools.model import Tool

Location = Literal["path", "query", "header", "cookie"]
# `json` is a parameter or part with `content` of JSON. `content` is a part of a form without a style: scalars are
# text, objects are JSON, and each item of a list is a part of its own.
StyleName = Literal[
    "form", "simple", "label", "matrix", "spaceDelimited", "pipeDelimited", "deepObject", "json", "content"
]
BodyForm = Literal["json", "urlencoded", "multipart", "text", "lines", "base64"]
SchemeKind = Literal["header", "query", "cookie", "basic", "bearer", "unsupported"]


@dataclass(frozen=True)
class Style:
    """How a value is written outside JSON (OpenAPI 3.1.1, Style Values). `integers`: its numbers are integers."""

    name: StyleName
    explode: bool = True
    allow_reserved: bool = False
    integers: bool = False


@dataclass(frozen=True)
class Parameter:
    """An argument of the tool that travels outside the body, as `wire_name`."""

    argument: str
    wire_name: str
    location: Location
    style: Style


@dataclass(frozen=True)
class Part:
    """A property of a form. `media_type` and `is_file` are for multipart; None is the type that the value implies."""

    style: Style = Style("content")
    media_type: str | None = None
    is_file: bool = False


@dataclass(frozen=True)
class Body:
    """The body: it is the value of `argument`, or, if that is None, an object of the arguments `properties`.

    `parts` has those properties of a form that are not written as `Part()` says.
    """

    media_type: str
    form: BodyForm
    argument: str | None
    required: bool = False
    properties: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Scheme:
    """A security scheme. `wire_name` is the header, query parameter or cookie that carries the credential."""

    name: str
    kind: SchemeKind
    wire_name: str = "Authorization"


@dataclass(frozen=True)
class Operation:
    """One operation. `security` lists alternatives, each a set of schemes that are all needed.

    `defaults` are those of required arguments. `answers` are the media types of success, lower case, in order.
    """

    tool: Tool
    method: str
    base_url: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    defaults: Mapping[str, Any]
    security: tuple[tuple[Scheme, ...], ...]
    answers: tuple[str, ...]


def with_schema(operation: Operation, schema: dict[str, Any]) -> Operation:
    """The operation, with a tool that has this schema."""
    return replace(operation, tool=replace(operation.tool, parameters=schema))
