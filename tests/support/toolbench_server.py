"""A server of ToolBench's protocol that reads recorded answers, filed as StableToolBench's cache files them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel

RECORDED = Path(__file__).parents[1] / "evaluation" / "replay" / "stabletoolbench"
SUITE = """\
name: keywords
title: Two questions of ToolBench
loader: toolbench-queries
data: queries
licence: Apache-2.0
source: these tests
"""


class Info(BaseModel):
    """The body of a call."""

    category: str
    tool_name: str
    api_name: str
    tool_input: str | dict[str, Any]
    strip: str
    toolbench_key: str


@dataclass
class ToolBenchServer:
    """It answers what is recorded. `said` are answers that come before, one a call; `calls` is what it was asked.

    After `hang_after` calls it answers no more. Until it was probed `away_probes` times it has too much to do.
    """

    key: str = ""
    responses: list[Response] = field(default_factory=list)
    hang_after: int | None = None
    away_probes: int = 0
    calls: list[Info] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def application(self) -> FastAPI:
        """The server."""
        app = FastAPI()

        @app.get("/virtual")
        async def probe() -> Response:
            self.away_probes -= 1
            return Response(status_code=405)

        @app.post("/virtual")
        async def virtual(request: Request, info: Info) -> Response:
            self.calls.append(info)
            self.keys.append(request.headers.get("toolbench_key"))
            if self.hang_after is not None and len(self.calls) > self.hang_after:
                await asyncio.Event().wait()
            if self.away_probes > 0:
                return Response(status_code=503)
            if self.responses:
                return self.responses.pop(0)
            if info.toolbench_key != self.key:
                return PlainTextResponse("Unauthorized", 401)
            return JSONResponse(recorded(info))

        return app


def recorded(info: Info) -> dict[str, Any]:
    """The answer of the cache, found as the published server finds it."""
    category = info.category.replace(" ", "_").replace(",", "_").replace("/", "_").replace("__", "_")
    arguments = json.loads(info.tool_input) if isinstance(info.tool_input, str) else info.tool_input
    path = RECORDED / "tool_response_cache" / category / f"{info.tool_name}_for_{category}" / f"{info.api_name}.json"
    cache = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    answer: dict[str, Any] = cache.get(str(arguments), {"error": "Message error...", "response": ""})
    return answer


def queries_file(folder: Path) -> Path:
    """The file of a suite of two questions, with its data beside it."""
    (folder / "queries").mkdir()
    text = (RECORDED / "queries" / "G1_instruction.json").read_text(encoding="utf-8")
    (folder / "queries" / "G1_instruction.json").write_text(text, encoding="utf-8")
    (folder / "keywords.yaml").write_text(SUITE)
    return folder / "keywords.yaml"
