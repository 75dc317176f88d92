"""A judge as a real server of chat completions, whose answers a test writes; and runs for it to judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from alpha_umi.contract.trajectories import Trajectory
from evaluation.files.trajectory_run import TrajectoryRunRecord
from support.synthetic_trajectories import record_of

Json = dict[str, Any]
# What a judge says to a request: a response, or the arguments of a call (a mapping), or words.
Script = Callable[[Json], "Response | Json | str"]


@dataclass
class ScriptedJudge:
    """It answers by a script, which is given the name of the function that is asked for and the request."""

    script: Callable[[str, Json], Response | Json | str]
    key: str = ""
    # From this request on it answers no more.
    hang_after: int | None = None
    requests: list[Json] = field(default_factory=list)

    def application(self) -> FastAPI:
        """The server."""
        app = FastAPI()

        @app.get("/v1/models")
        async def models(request: Request) -> Response:
            return JSONResponse({"data": []}) if self._lets_in(request) else Response(status_code=401)

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Response:
            if not self._lets_in(request):
                return JSONResponse({"error": {"message": f"wrong: {request.headers['authorization']}"}}, 401)
            body = await request.json()
            self.requests.append(body)
            if self.hang_after is not None and len(self.requests) > self.hang_after:
                await asyncio.Event().wait()
            content = self.script(function_of(body), body)
            return content if isinstance(content, Response) else completion(content)

        return app

    def _lets_in(self, request: Request) -> bool:
        return not self.key or request.headers.get("authorization") == f"Bearer {self.key}"


def function_of(request: Json) -> str:
    """The function that a request wants to be called."""
    return str(request["tool_choice"]["function"]["name"]) if "tool_choice" in request else ""


def completion(content: Json | str) -> Response:
    """A call, or words, as a chat completion."""
    message: Json = {"role": "assistant", "content": content if isinstance(content, str) else None}
    if not isinstance(content, str):
        called = {"name": "f", "arguments": json.dumps(content)}
        message["tool_calls"] = [{"id": "c", "type": "function", "function": called}]
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})


def trajectory(
    name: str,
    *,
    answer: str | None = "It is so.",
    status: str = "completed",
    calls: Sequence[tuple[str, Json, str]] = (("look", {"at": "it"}, "seen"),),
    thoughts: Sequence[str] | None = None,
    instruction: str = "",
) -> Trajectory:
    """A trajectory that made these calls (name, arguments, observation) and then ended."""
    usage, latency = (
        {"prompt_tokens": 1, "completion_tokens": 1},
        dict.fromkeys(("planner", "caller", "tool", "summarizer"), 1),
    )
    words = list(thoughts or ["I look."] * len(calls) + ["It is known."])
    steps: list[Json] = [
        {"action": {"call_id": "c", "name": tool, "arguments": given}, "next": "caller",
         "observation": {"content": seen, "is_error": False, "truncated": False}}
        for tool, given, seen in calls
    ]  # fmt: skip
    if status in ("completed", "gave_up"):
        decision = "conclusion" if status == "completed" else "give up"
        steps.append({"action": None, "observation": None, "next": decision})
    more = {"latency_ms": latency, "usage": usage, "truncated": False}
    numbered = [step | more | {"index": place, "thought": words[place]} for place, step in enumerate(steps)]
    return Trajectory.model_validate_json(json.dumps({
        "id": f"t-{name}", "status": status, "instruction": instruction or f"What of {name}?", "tools": ["look"],
        "strategy": "chain", "steps": numbered, "messages": [], "answer": answer, "error": None, "usage": usage,
        "metadata": {}, "created_at": "2026-11-21T00:00:00Z", "finished_at": None,
    }))  # fmt: skip


def run_file(path: Path, *trajectories: Trajectory, suite: str = "shop", not_run: int = 0) -> Path:
    """The file of a run of these; the id of each in the suite is that of the trajectory without `t-`."""
    about = TrajectoryRunRecord(suite=suite, trajectories=len(trajectories) + not_run)
    requests = [record_of(each, recorded=each.id[2:]) for each in trajectories]
    path.write_text("".join(record.model_dump_json() + "\n" for record in (about, *requests)), encoding="utf-8")
    return path
