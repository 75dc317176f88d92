"""Chooses the base URL of a document's operations.

The operator's `base_url` takes precedence. Otherwise a server of the document is used only if it has the document's own
origin, so that a fetched document cannot direct calls or credentials to another host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urljoin

from yarl import URL

from orchestrator.tools.egress import parse_address, same_origin
from orchestrator.tools.errors import DocumentError, RequestRefused

GIVE_BASE_URL: Final = "give `base_url`, the address to call"


def choose_base_url(root: Mapping[str, Any], *, base_url: str | None, document_url: str | None) -> str:
    """The base address, without a slash at its end. Raises `DocumentError` if no server can be used."""
    if base_url is not None:
        return _base(base_url, "base_url", remedy="correct `base_url`")
    candidates = list(_servers(root, document_url))
    if not candidates:
        raise DocumentError("the document names no absolute server", field="#/servers", remedy=GIVE_BASE_URL)
    if document_url is None:
        return _base(candidates[0], "#/servers/0/url", remedy=GIVE_BASE_URL)
    for index, candidate in enumerate(candidates):
        base = _base(candidate, f"#/servers/{index}/url", remedy=GIVE_BASE_URL)
        if same_origin(URL(base), URL(document_url)):
            return base
    raise DocumentError(
        "the document names servers of another origin than its own", field="#/servers", remedy=GIVE_BASE_URL
    )


def _servers(root: Mapping[str, Any], document_url: str | None) -> Iterator[str]:
    for server in root.get("servers") or [{"url": "/"}]:
        url = _expanded(server)
        if document_url is not None:
            yield urljoin(document_url, url)
        elif "://" in url:
            yield url


def _expanded(server: Mapping[str, Any]) -> str:
    variables = server.get("variables", {})
    return re.sub(r"\{([^{}]*)\}", lambda match: str(variables.get(match[1], {}).get("default", "")), server["url"])


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
