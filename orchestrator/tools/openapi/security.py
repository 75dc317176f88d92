"""Security schemes of an OpenAPI document, and where an operator's credentials go in a request.

Credentials are added when the request is built. They are not arguments, so models neither see nor choose them. Tokens
of OAuth 2 and OpenID Connect are sent as given; obtaining and refreshing them is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, assert_never
from urllib.parse import quote

from pydantic import SecretStr

from orchestrator.tools.errors import DocumentError, ToolSourceError
from orchestrator.tools.openapi.document import child, resolve
from orchestrator.tools.openapi.operation import Operation, Scheme

# A scheme of these kinds is also satisfied by the header that carries its credential.
_BY_HEADER: Final = ("header", "basic", "bearer", "unsupported")


@dataclass(frozen=True)
class Credentials:
    """Headers and query parameters of an operation's calls."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)


def secrets_of(*groups: Mapping[str, SecretStr]) -> set[str]:
    """The texts that no answer may show: the values, and the parts of them that are secret without the rest."""
    values = {value.get_secret_value() for group in groups for value in group.values()}
    # A server may decode what it was sent, and repeat "user:password" of basic authentication.
    values |= {_decoded(value[len("basic ") :]) for value in values if value.lower().startswith("basic ")}
    # "Bearer x" must also be redacted as x, "user:password" as the password, and "a=x; b=y" as x and y.
    return values | {
        part
        for value in values
        for part in (
            value.rpartition(" ")[2],
            value.partition(":")[2],
            *(pair.partition("=")[2] for pair in value.split("; ")),
        )
    }


def security_of(root: Mapping[str, Any], operation: Mapping[str, Any], pointer: str) -> tuple[tuple[Scheme, ...], ...]:
    """The alternatives that an operation, or else the document, names. Raises `DocumentError`."""
    own = operation.get("security")
    at = child(pointer if own is not None else "#", "security")
    requirements = (own if own is not None else root.get("security")) or []
    if not isinstance(requirements, list) or not all(isinstance(each, Mapping) for each in requirements):
        raise DocumentError("security is not a list of objects", field=at, remedy="correct it")
    return tuple(tuple(_scheme(root, name, at) for name in requirement) for requirement in requirements)


def place_credentials(
    operation: Operation, *, headers: Mapping[str, SecretStr], credentials: Mapping[str, SecretStr]
) -> Credentials:
    """The operation's credentials: the source's headers, and the first alternative whose credentials are all given.

    Raises `ToolSourceError` if the source has none of the alternatives.
    """
    own = {name.lower(): value.get_secret_value() for name, value in headers.items()}
    if not operation.security:
        return Credentials(own)
    for alternative in operation.security:
        if all(_given(scheme, own, credentials) for scheme in alternative):
            return _placed(alternative, own, credentials)
    needed = " or ".join(
        " with ".join(f"{scheme.name!r}" for scheme in alternative) for alternative in operation.security
    )
    unsupported = {scheme.name for schemes in operation.security for scheme in schemes if scheme.kind == "unsupported"}
    if unsupported:
        needed += f" ({', '.join(sorted(unsupported))}: not defined, or of a kind that is not supported)"
    carriers = {scheme.wire_name for schemes in operation.security for scheme in schemes if scheme.kind in _BY_HEADER}
    by_header = ", or the header in `headers` (--header NAME=VARIABLE)" if carriers - {""} else ""
    raise ToolSourceError(
        f"the operation needs credentials for {needed}",
        field="credentials",
        remedy="give it in `credentials` under that name (--credential NAME=VARIABLE)" + by_header,
    )


def _scheme(root: Mapping[str, Any], name: str, pointer: str) -> Scheme:
    components = root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    if not isinstance(schemes, Mapping) or name not in schemes:
        # One of several alternatives may still be usable.
        return Scheme(name, "unsupported")
    node, _ = resolve(root, schemes[name], pointer)
    node = node if isinstance(node, Mapping) else {}
    match node.get("type"), str(node.get("scheme", "")).lower(), node.get("in"), node.get("name"):
        case "apiKey", _, ("header" | "query" | "cookie") as place, str() as wire_name:
            return Scheme(name, place, wire_name)
        case "http", ("basic" | "bearer") as kind, _, _:
            return Scheme(name, kind)
        case (("oauth2" | "openIdConnect"), _, _, _):
            return Scheme(name, "bearer")
        case "mutualTLS", _, _, _:
            return Scheme(name, "unsupported", wire_name="")
        case _:
            return Scheme(name, "unsupported")


def _given(scheme: Scheme, own: Mapping[str, str], credentials: Mapping[str, SecretStr]) -> bool:
    if scheme.kind in _BY_HEADER and scheme.wire_name.lower() in own:
        return True
    return scheme.name in credentials and scheme.kind != "unsupported"


def _placed(schemes: Sequence[Scheme], own: Mapping[str, str], credentials: Mapping[str, SecretStr]) -> Credentials:
    headers, query, cookies = dict(own), {}, []
    given = {scheme: credentials[scheme.name].get_secret_value() for scheme in schemes if scheme.name in credentials}
    for scheme, secret in given.items():
        match scheme.kind:
            case "header":
                headers[scheme.wire_name.lower()] = secret
            case "bearer":
                headers["authorization"] = f"Bearer {secret}"
            case "basic":
                headers["authorization"] = f"Basic {_base64(secret)}"
            case "query":
                query[scheme.wire_name] = secret
            case "cookie":
                cookies.append(f"{scheme.wire_name}={quote(secret, safe='')}")
            case "unsupported":
                pass
            case _:
                assert_never(scheme.kind)
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    return Credentials(headers, query)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""
