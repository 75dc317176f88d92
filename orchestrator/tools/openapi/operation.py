"""An operation of an OpenAPI document: its tool, and how its arguments become an HTTP request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jsonschema_rs

from orchestrator.tools.model import Tool

Location = Literal["path", "query", "header"]
SchemeKind = Literal["header", "query", "cookie", "basic", "bearer", "unsupported"]


@dataclass(frozen=True)
class Parameter:
    """An argument of the tool that travels outside the body, as `wire_name`."""

    argument: str
    wire_name: str
    location: Location


@dataclass(frozen=True)
class Body:
    """The JSON body: it is the value of `argument`, or, if that is None, an object of the arguments `properties`."""

    media_type: str
    argument: str | None
    properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scheme:
    """A security scheme. `wire_name` is the header, query parameter or cookie that carries the credential."""

    name: str
    kind: SchemeKind
    wire_name: str = "Authorization"


@dataclass(frozen=True)
class Operation:
    """One operation. `security` lists alternatives, each a set of schemes that are all needed.

    `answers` are the media types of success, lower case, in order.
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
    validator: jsonschema_rs.Draft202012Validator = field(repr=False, compare=False)
