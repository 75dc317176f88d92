"""The OpenAPI document: FastAPI's, with the media types of problems and streams."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from alpha_umi.contract.problems import PROBLEM_MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

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
                if "application/json" in content:
                    content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
    return document
