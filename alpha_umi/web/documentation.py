"""The OpenAPI document: FastAPI's, with the media types of problems and streams. And the page that shows it.

The page is Swagger UI, whose files come from the package `fastapi-offline`: it loads and runs nothing of other sites.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE, ServiceError

Responses = dict[int | str, dict[str, Any]]

# How FastAPI refers to the model of problem documents.
_PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}
# `responses` of a route that answers with text.
PLAIN_TEXT: Responses = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


def event_stream(*names: str) -> Responses:
    """`responses` of a route that can stream server-sent events with these names; the schema is that of one event."""
    event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"enum": list(names)},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    }
    return {200: {"content": {"text/event-stream": {"schema": event}}}}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The application's document, with the media type of problem documents."""
    document = app.openapi()
    for path in document["paths"].values():
        for operation in path.values():
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                if content.get("application/json") == _PROBLEM:
                    content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
    return document


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null});\n'
_MEDIA_TYPES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def documentation_page(title: str) -> Response:
    """The page that shows the document."""
    return Response(_PAGE.format(title=escape(title)), media_type="text/html", headers=_PROTECTION)


def documentation_asset(name: str) -> Response:
    """A file of the page. Raises `ServiceError`."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=_PROTECTION)
    if name not in _MEDIA_TYPES:
        raise ServiceError("not-found", "the documentation has no such file")
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(content, media_type=_MEDIA_TYPES[name], headers=_PROTECTION)
