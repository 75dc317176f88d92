"""Calls of the example tool API through the orchestrator's code, without a socket."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from alpha_umi.redaction import Redactor
from examples.tool_api.app import create_app
from examples.tool_api.faults import Fault, Mode
from examples.tool_api.time_zones import clock
from orchestrator.tools.egress import Answer
from orchestrator.tools.model import ToolResult
from orchestrator.tools.observation import observe
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.request import build_request, check_arguments, with_defaults
from orchestrator.tools.openapi.security import Credentials
from orchestrator.tools.sources_file import load_sources_file

_SOURCES = Path(__file__).parents[1] / "tool_sources.yaml"
_NO_CREDENTIALS = Credentials()


class ToolApi:
    """The example tool API and the tools of its OpenAPI document. Its clock shows `now`, which may be set."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now
        app = create_app(faults=Fault())
        app.dependency_overrides[clock] = lambda: self.now
        self._client = TestClient(app, client=("127.0.0.1", 1))
        self._operations = {operation.tool.name: operation for operation in _operations(app.openapi())}

    @property
    def names(self) -> list[str]:
        """The names of all tools, in the document's order."""
        return list(self._operations)

    def described(self) -> list[dict[str, Any]]:
        """All tools as `GET /v1/tools` lists them."""
        return [
            {
                "name": operation.tool.name,
                "description": operation.tool.description,
                "parameters": operation.tool.parameters,
                "source": operation.tool.source,
                "effect": operation.tool.effect.value,
            }
            for operation in self._operations.values()
        ]

    def fail(self, mode: Mode, times: int) -> None:
        """Let the next calls fail."""
        self._client.post("/_faults", json=Fault(mode=mode, times=times).model_dump()).raise_for_status()

    def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolResult:
        """The observation for the planner. Raises `KeyError` (unknown tool) and `ArgumentError` (wrong arguments)."""
        operation = self._operations[tool]
        complete = with_defaults(operation, arguments)
        check_arguments(operation, complete)
        request = build_request(operation, complete, idempotency_key="", credentials=_NO_CREDENTIALS)
        path = request.url.removeprefix(operation.base_url)
        got = self._client.request(request.method, path, headers=dict(request.headers), content=request.content)
        media_type, _, _ = got.headers["content-type"].partition(";")
        answer = Answer(got.status_code, media_type, got.charset_encoding, got.content, truncated=False)
        return observe(answer, operation, Redactor())


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    (source,) = load_sources_file(_SOURCES)
    operations, _ = parse_document(
        json.dumps(document).encode(),
        source_name=source.name,
        base_url=None,
        document_url=source.url,
        default_effect=source.effect,
    )
    return operations
