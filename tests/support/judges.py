"""A scripted judge behind a real chat completions server, and run files for it."""

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
from alpha_umi.roles.planner import Decision
from alpha_umi.trajectory import Status
from evaluation.files.trajectory_run import TrajectoryRunRecord
from support import synthetic_trajectories

Json = dict[str, Any]
# The reply of a judge: an HTTP response, the arguments of a function call (a mapping), or text.
Script = Callable[[Json], "Response | Json | str"]


@dataclass
class ScriptedJudge:
    """Answers by a script, which gets the name of the requested function and the request."""

    script: Callable[[str, Json], Response | Json | str]
    key: str = ""
    # The number of requests after which it stops answering.
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
    """The function that a request requires."""
    return str(request["tool_choice"]["function"]["name"]) if "tool_choice" in request else ""


def completion(content: Json | str) -> Response:
    """A function call or a text as a chat completion."""
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
    status: Status = "completed",
    calls: Sequence[tuple[str, Json, str]] = (("look", {"at": "it"}, "seen"),),
    thoughts: Sequence[str] | None = None,
    instruction: str = "",
) -> Trajectory:
    """A trajectory with these calls (name, arguments, observation) that then ends with `status`."""
    texts = list(thoughts or ["I look."] * len(calls) + ["It is known."])
    steps = [
        synthetic_trajectories.step(
            index, tool=tool, arguments=arguments, observation=observation, thought=texts[index]
        )
        for index, (tool, arguments, observation) in enumerate(calls)
    ]
    if status in ("completed", "gave_up"):
        decision: Decision = "conclusion" if status == "completed" else "give up"
        steps.append(synthetic_trajectories.step(len(steps), decision, thought=texts[len(steps)]))
    return synthetic_trajectories.trajectory(
        f"t-{name}",
        status=status,
        steps=steps,
        answer=answer,
        instruction=instruction or f"What of {name}?",
        tools=["look"],
        took=None,
    )


def run_file(path: Path, *trajectories: Trajectory, suite: str = "shop", not_run: int = 0) -> Path:
    """A run file with these trajectories; the suite's id of each is its id without `t-`."""
    about = TrajectoryRunRecord(suite=suite, trajectories=len(trajectories) + not_run)
    requests = [synthetic_trajectories.record_of(each, recorded=each.id[2:]) for each in trajectories]
    path.write_text("".join(record.model_dump_json() + "\n" for record in (about, *requests)), encoding="utf-8")
    return path
