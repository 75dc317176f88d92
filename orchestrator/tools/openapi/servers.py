"""Chooses the base URL of an operation.

The operator's `base_url` takes precedence over all servers of the document, also over those of single operations.
Otherwise the first list of servers counts that stands at the operation, its path or the document. If the document was
fetched, a server is used only if it has the document's own origin, so that the document cannot direct calls or
credentials to another host.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urljoin

from yarl import URL

from orchestrator.tools.egress import parse_address, same_origin
from orchestrator.tools.errors import DocumentError, RequestRefused
from orchestrator.tools.openapi.document import child

GIVE_BASE_URL: Final = "give `base_url`, the address to call"


def operator_base(base_url: str) -> str:
    """The operator's address, without a slash at its end. Raises `DocumentError`."""
    return _base(base_url, "base_url", remedy="correct `base_url`")


def choose_server(nodes: Sequence[tuple[Mapping[str, Any], str]], *, document_url: str | None) -> str:
    """The base address by the first of the objects (given with their pointers) that has servers, without a slash at
    its end. Raises `DocumentError` if no server can be used.
    """
    servers, field = next(
        ((node["servers"], child(at, "servers")) for node, at in nodes if node.get("servers")),
        ([{"url": "/"}], "#/servers"),
    )
    if not isinstance(servers, list):
        raise DocumentError("servers is not a list", field=field, remedy=GIVE_BASE_URL)
    problems = []
    for index, server in enumerate(servers):
        try:
            base = _address(server, child(field, index), document_url)
        except DocumentError as error:
            problems.append(error)
            continue
        if document_url is None or same_origin(URL(base), URL(document_url)):
            return base
        message = "the document names servers of another origin than its own"
        problems.append(DocumentError(message, field=field, remedy=GIVE_BASE_URL))
    raise problems[0]


def _address(server: Any, pointer: str, document_url: str | None) -> str:
    if not isinstance(server, Mapping) or not isinstance(server.get("url"), str):
        raise DocumentError("this is not a server", field=pointer, remedy=GIVE_BASE_URL)
    url = _expanded(server, pointer)
    if document_url is not None:
        # Those that cannot be joined are no addresses, which `_base` says.
        with contextlib.suppress(ValueError):
            url = urljoin(document_url, url)
    elif "://" not in url:
        raise DocumentError("the document names no absolute server", field=pointer, remedy=GIVE_BASE_URL)
    return _base(url, child(pointer, "url"), remedy=GIVE_BASE_URL)


def _expanded(server: Mapping[str, Any], pointer: str) -> str:
    """The address with the defaults of its variables. Raises `DocumentError` for a variable without one."""
    variables = server.get("variables")

    def value(match: re.Match[str]) -> str:
        variable = variables.get(match[1]) if isinstance(variables, Mapping) else None
        default = variable.get("default") if isinstance(variable, Mapping) else None
        if default is None:
            raise DocumentError(
                f"the variable {match[1][:40]!r} of the server has no default", field=pointer, remedy=GIVE_BASE_URL
            )
        return str(default)

    return re.sub(r"\{([^{}]*)\}", value, server["url"])


def _base(text: str, field: str, *, remedy: str) -> str:
    try:
        url = parse_address(text)
    except RequestRefused as error:
        raise DocumentError(str(error), field=field, remedy=remedy) from None
    if url.raw_query_string:
        raise DocumentError("the address holds a query", field=field, remedy=remedy)
    # Checked on the original text, because the parser has already removed such segments.
    if has_dot_segment(text.partition("://")[2]):
        raise DocumentError("the address holds `.` or `..` segments", field=field, remedy=remedy)
    return str(url).rstrip("/")


def has_dot_segment(path: str) -> bool:
    """Whether some part between slashes, decoded once, is `.` or `..`."""
    return any(segment in (".", "..") for segment in re.split(r"[/\\]", unquote(path)))
