"""A stand-in server for an API: it answers each operation of an OpenAPI 3 document with the document's own example.

    python -m examples.stand_in FILE --port 8011

An operation without an example answers with a minimal value of its response schema. Nothing is stored, and requests
are not checked. A path of the document is served below the path of its first server, and at the root.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
MAX_LEVELS: Final = 6
_SIMPLE: Final = {"integer": 1, "number": 1.5, "boolean": True, "null": None, "string": "text"}


def create_app(document: Mapping[str, Any]) -> Starlette:
    """The server of a document: one route for each operation, those with fewer placeholders first."""
    routes = [
        Route(f"{base}{_template(path)}", _endpoint(document, operation), methods=[method.upper()])
        for path, item in sorted(document.get("paths", {}).items(), key=lambda entry: entry[0].count("{"))
        if path.startswith("/")
        for method, operation in resolved(document, item).items()
        if method in METHODS
        for base in dict.fromkeys(("", _base_path(document)))
    ]
    return Starlette(routes=routes)


def example_answer(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[int, str | None, str]:
    """Status, media type (None without a body) and body of the operation's first successful response."""
    for status, node in operation.get("responses", {}).items():
        if str(status).startswith("2"):
            code = int(status) if str(status).isdecimal() else 200
            for media_type, media in resolved(document, node).get("content", {}).items():
                value = next(_examples(document, media), None)
                return (
                    code,
                    media_type,
                    value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str),
                )
            return code, None, ""
    return 200, None, ""


def resolved(document: Mapping[str, Any], node: Any) -> Any:
    """The node, or the target of its local reference; an empty one if that is missing."""
    if isinstance(node, Mapping) and isinstance(reference := node.get("$ref"), str):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target.get(unquote(part).replace("~1", "/").replace("~0", "~"), {})
        return resolved(document, target)
    return node


def _examples(document: Mapping[str, Any], media: Mapping[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for example in media.get("examples", {}).values():
        yield resolved(document, example).get("value")
    yield _sample(document, media.get("schema", {}), MAX_LEVELS)


def _sample(document: Mapping[str, Any], node: Any, levels: int) -> Any:
    """A value of a schema: its example, default or first choice, else a minimal value of its type."""
    schema = resolved(document, node)
    if not isinstance(schema, Mapping) or levels == 0:
        return None
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("oneOf", "anyOf"):
        if schema.get(key):
            return _sample(document, schema[key][0], levels - 1)
    parts = [_sample(document, part, levels - 1) for part in schema.get("allOf", ())]
    kind = schema.get("type", "object" if "properties" in schema or parts else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [_sample(document, schema.get("items", {}), levels - 1)]
    if kind != "object":
        return _SIMPLE.get(kind)
    members = {name: _sample(document, part, levels - 1) for name, part in schema.get("properties", {}).items()}
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()} | members


def _endpoint(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    status, media_type, body = example_answer(document, operation)

    async def answer(request: Request) -> Response:
        return Response(body if request.method != "HEAD" else "", status, media_type=media_type)

    return answer


def _template(path: str) -> str:
    """Starlette's form of a path template: its placeholders must be identifiers."""
    names = iter(range(path.count("{")))
    return re.sub(r"\{[^{}]*\}", lambda _: f"{{p{next(names)}}}", path.partition("#")[0])


def _base_path(document: Mapping[str, Any]) -> str:
    servers = document.get("servers") or [{"url": "/"}]
    path = urlsplit(servers[0]["url"]).path.rstrip("/")
    return path if path.startswith("/") and "{" not in path else ""


def main() -> None:
    """Serve until a signal, on loopback by default."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.stand_in", description="Answer with a document's examples."
    )
    parser.add_argument("file", type=Path, help="OpenAPI 3 document, JSON or YAML")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8011, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    document = yaml.safe_load(arguments.file.read_text(encoding="utf-8"))
    uvicorn.run(create_app(document), host=arguments.host, port=arguments.port, http="h11", log_level="warning")


if __name__ == "__main__":
    main()
