"""The single-model baseline over real HTTP, also when processes are killed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
from httpx_sse import aconnect_sse
from support.orchestrator_process import free_port
from support.processes import service_process, wait_ready
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve
from support.stub_tools import StubTools
from support.system import call, orchestrated, serve_roles

from alpha_umi.serving.scripted import Rule
from services.backbone import create_router as backbone_router

Json = dict[str, Any]
THOUGHT = "I ask the thermometer in Oslo, because nobody else would know."
ANSWER = "I know it now.\nconclusion: It is 19.5 degrees."
# Rules are tried in order: what is said after an observation comes first.
STEPS = [
    Rule([ANSWER], when="observation: "),
    Rule([call("current_temperature", {"city": "Oslo"})], when=f"{THOUGHT}\n"),
    Rule([f"{THOUGHT}\nAction:"]),
]
QUESTION = {"instruction": "How warm is it in Oslo?", "strategy": "single"}


async def test_it_plans_calls_and_answers(serve: Serve, tmp_path: Path) -> None:
    stub = StubTools()
    engine = scripted(*STEPS)
    single = serve(application("backbone", backbone_router, engine))
    async with orchestrated(serve_roles(serve, planner=[]), serve(stub.app()), tmp_path, backbone_url=single) as client:
        trajectory = (await client.post("/v1/trajectories", json=QUESTION)).json()
    assert (trajectory["status"], trajectory["answer"]) == ("completed", "It is 19.5 degrees.")
    first, second = trajectory["steps"]
    assert (first["thought"], first["action"]["arguments"]) == (THOUGHT, {"city": "Oslo"})
    assert (second["thought"], second["next"]) == ("I know it now.", "conclusion")
    assert stub.calls == [("current_temperature", "Oslo")]
    # In the single model's history rationale and call are one turn, without the chain's decisions.
    assert f"assistant: {THOUGHT}\nAction: current_temperature\n" in engine.prompts[-1]
    assert "Next:" not in engine.prompts[-1].partition("The conversation history is:")[2]


@dataclass
class Replica:
    """`python -m services.backbone`."""

    address: str
    process: Popen[str]

    def is_writing(self) -> bool:
        """Whether it answers a request now."""
        metrics = httpx.get(f"{self.address}/metrics").text
        return 'alpha_umi_role_requests_in_flight{role="backbone"} 1.0' in metrics


@contextlib.contextmanager
def replica(script: Path) -> Iterator[Replica]:
    """A replica that follows a script."""
    port = free_port()
    environment = {
        "ALPHA_UMI_ROLE_ENGINE": "scripted",
        "ALPHA_UMI_ROLE_SCRIPT": str(script),
        "ALPHA_UMI_ROLE_PORT": str(port),
    }
    with service_process("services.backbone", environment) as process:
        started = Replica(f"http://127.0.0.1:{port}", process)
        wait_ready(started.address, process, seconds=60)
        yield started


async def test_a_replica_killed_while_it_writes_is_replaced_by_another(serve: Serve, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    rules = [{"texts": list(rule.texts), "when": rule.when, "delay_s": 0.1} for rule in STEPS]
    script.write_text(json.dumps(rules))
    shown: list[Json] = []
    killed = False
    with replica(script) as one, replica(script) as other:
        settings = {"backbone_url": f"{one.address},{other.address}"}
        roles = serve_roles(serve, planner=[])
        async with orchestrated(roles, serve(StubTools().app()), tmp_path, **settings) as client:
            async with aconnect_sse(client, "POST", "/v1/trajectories", json={**QUESTION, "stream": True}) as source:
                async for event in source.aiter_sse():
                    if event.event == "backbone.delta":
                        shown.append(event.json())
                    if len(shown) == 4 and not killed:
                        writing = one if one.is_writing() else other
                        writing.process.kill()
                        killed = True
            trajectory = event.json()
            ready = (await client.get("/readyz")).json()
    assert event.event == "trajectory.finished"
    assert (trajectory["status"], trajectory["answer"]) == ("completed", "It is 19.5 degrees.")
    first = "".join(piece["text"] for piece in shown if piece["step"] == 0)
    assert first == f"{THOUGHT}\n{call('current_temperature', {'city': 'Oslo'})}"
    assert ready["roles"]["backbone"] == "ready"
    states = {state["state"] for state in ready["replicas"]["backbone"].values()}
    assert states == {"ready", "backbone service: it cannot be reached"}
