"""Real processes in place of services, and an orchestrator with the trajectories of a test."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from support.serving_on_loopback import Serve
from typer.testing import CliRunner, Result

from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.stream_events import Reconnect, TextDelta
from alpha_umi.contract.trajectories import CreateTrajectory, as_trajectory
from alpha_umi.trajectory import Cancelled, Event, MessageAdded, Phase, State, TrajectoryFinished, advance, replay
from alpha_umi.web.problems import install_problem_handlers
from cli.local.processes import _children, processes_of
from cli.local.services import PortSpec, Service
from cli.local.state import RunRecord, StateFolder
from cli.local.supervisor import Plan, stop_system
from cli.main import app as command
from orchestrator.log import LoggedEvent
from orchestrator.store import TrajectoryRow
from orchestrator.stream.serialization import serialize, serialize_live, serialize_reconnect

STAND_IN = Path(__file__).parent / "stand_in.py"
START = datetime(2026, 11, 21, tzinfo=UTC)
# A signal that comes just before a blocking read is seen when the read returns.
PING_S = 1

# An event of the machine, or live text between two.
Item = Event | TextDelta
Invoke = Callable[..., Result]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps the logs of services in this process out of the command's output, and unsets the role token."""
    monkeypatch.delenv("ALPHA_UMI_ROLE_TOKEN", raising=False)
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data (`ALPHA_UMI_DATA`)."""
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def ended_children_are_known() -> Iterator[None]:
    """Collect the exit codes of services that were ended, or their handles complain when the tests are over."""
    yield
    for child in _children.values():
        child.poll()


@pytest.fixture
def ports() -> Callable[[], int]:
    """Ports that were free a moment ago."""
    return unused_port


@pytest.fixture
def stand_in() -> Callable[..., Service]:
    """A service that is a small program of these tests."""

    def make(name: str, *flags: str) -> Service:
        port = unused_port()
        return Service(name, (sys.executable, str(STAND_IN), str(port), *flags), port)

    return make


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """A plan that starts services as they are."""

    def make(*services: Service, **options: Any) -> Plan:
        specs = [PortSpec(service.name, service.port, f"--{service.name}-port") for service in services]
        return Plan(specs, lambda: services, "token", **{"grace_s": 2.0, **options})

    return make


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    """A state folder; whatever runs in the end is ended."""
    folder = StateFolder(tmp_path / "state")
    yield folder
    stop_system(folder, grace_s=0.1)


@pytest.fixture
def invoke(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run `alpha-umi` with arguments, on the state folder of the test."""
    for name in ("ALPHA_UMI_URL", "ALPHA_UMI_API_KEY", "ALPHA_UMI_API_KEYS", "ALPHA_UMI_ROLE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALPHA_UMI_STATE", str(state.path))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(command, list(arguments))


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also if no parent has waited for it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def gone() -> Callable[[int], bool]:
    return is_gone


@pytest.fixture
def pids_of() -> Callable[[RunRecord], list[int]]:
    """All processes of a run."""
    return lambda run: [process.pid for service in run.services for process in processes_of(service)]


@dataclass
class FakeOrchestrator:
    """Serves trajectories with the orchestrator's own serialization.

    Each further connection is cut after the next number of items in `connections`; later ones end regularly.
    `hold_after` is the number of items after which a stream waits for the cancellation of its trajectory. `further`
    are the items after a message.
    """

    trajectories: dict[str, list[Item]] = field(default_factory=dict)
    connections: list[int] = field(default_factory=list)
    hold_after: int | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    last_event_ids: list[str | None] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    further: list[Item] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def add(self, items: Sequence[Item], trajectory_id: str = "traj_1") -> str:
        self.trajectories[trajectory_id] = list(items)
        return trajectory_id

    def document(self, trajectory_id: str) -> dict[str, Any]:
        if trajectory_id not in self.trajectories:
            raise ServiceError("trajectory-not-found", f"no trajectory has the id {trajectory_id}", field="id")
        events = [item for item in self.trajectories[trajectory_id] if not isinstance(item, TextDelta)]
        trajectory_state = replay(events)
        ended = trajectory_state.phase is Phase.FINISHED
        return as_trajectory(
            trajectory_id,
            trajectory_state,
            created_at=START,
            finished_at=START + timedelta(seconds=2.5) if ended else None,
            metadata={},
        ).model_dump(mode="json")

    async def tell(self, trajectory_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
        row = TrajectoryRow(trajectory_id, START, None, "running", "", "chain", ())
        seq, state = 0, State()
        cut = self.connections.pop(0) if self.connections else None
        items = self.trajectories[trajectory_id]
        for number, item in enumerate(items):
            if number == cut:
                yield serialize_reconnect(Reconnect("the orchestrator is shutting down"))
                return
            while number == self.hold_after and not self.cancelled:
                await asyncio.sleep(0.01)
            if isinstance(item, TextDelta):
                yield serialize_live(item)
                continue
            seq += 1
            before, state = state, advance(state, item)
            logged = LoggedEvent(before, item, state, seq, START + timedelta(seconds=2.5))
            is_end_between = isinstance(item, TrajectoryFinished) and item is not items[-1]
            logged_event = None if is_end_between else serialize(logged, row)
            if logged_event is not None and seq > after:
                yield logged_event

    def app(self) -> FastAPI:
        application = FastAPI()
        install_problem_handlers(application)

        @application.middleware("http")
        async def note(request: Request, proceed: Any) -> Any:
            self.authorizations.append(request.headers.get("Authorization"))
            return await proceed(request)

        @application.post("/v1/trajectories")
        async def create(body: CreateTrajectory) -> Response:
            self.requests.append(body.model_dump(mode="json"))
            unknown = [name for name in body.tools or [] if name not in [tool["name"] for tool in self.tools]]
            if unknown:
                detail = f"no tool is registered as '{unknown[0]}'"
                raise ServiceError("unknown-tool", detail, field="tools.0", remedy="choose one of the list")
            trajectory_id = next(iter(self.trajectories))
            headers = {"Location": f"/v1/trajectories/{trajectory_id}"}
            return EventSourceResponse(self.tell(trajectory_id, 0), headers=headers, ping=PING_S)

        @application.get("/v1/trajectories")
        async def listed(status: str | None = None, limit: int = 20, include: str | None = None) -> dict[str, Any]:
            documents = [document for name in reversed(self.trajectories) if (document := self.document(name))]
            chosen = [document for document in documents if status in (None, document["status"])]
            for document in chosen if include is None else ():
                del document["steps"]
            return {"object": "list", "data": chosen[:limit], "has_more": False}

        @application.get("/v1/trajectories/{trajectory_id}")
        async def read(trajectory_id: str) -> JSONResponse:
            return JSONResponse(self.document(trajectory_id))

        @application.get("/v1/trajectories/{trajectory_id}/events")
        async def events(trajectory_id: str, request: Request) -> Response:
            self.document(trajectory_id)
            last = request.headers.get("Last-Event-ID")
            self.last_event_ids.append(last)
            return EventSourceResponse(self.tell(trajectory_id, int(last or 0)), ping=PING_S)

        @application.post("/v1/trajectories/{trajectory_id}/messages")
        async def go_on(trajectory_id: str, body: AddMessage) -> Response:
            if self.document(trajectory_id)["status"] == "running":
                raise ServiceError("trajectory-busy", "it is running")
            self.requests.append(body.model_dump(mode="json"))
            sent = len([item for item in self.trajectories[trajectory_id] if not isinstance(item, TextDelta)])
            self.trajectories[trajectory_id] += [MessageAdded(body.content), *self.further]
            headers = {"Location": f"/v1/trajectories/{trajectory_id}"}
            return EventSourceResponse(self.tell(trajectory_id, sent), headers=headers, ping=PING_S)

        @application.post("/v1/trajectories/{trajectory_id}/cancel")
        async def cancel(trajectory_id: str) -> JSONResponse:
            items = self.trajectories[trajectory_id][: self.hold_after]
            self.trajectories[trajectory_id] = [*items, Cancelled(), TrajectoryFinished()]
            self.cancelled.append(trajectory_id)
            return JSONResponse(self.document(trajectory_id))

        @application.get("/v1/tools")
        async def tools() -> dict[str, Any]:
            return {"object": "list", "data": self.tools}

        @application.get("/v1/tool-sources")
        async def sources() -> dict[str, Any]:
            return {"object": "list", "data": self.sources}

        @application.post("/v1/tool-sources", status_code=201)
        async def add_source(request: Request) -> dict[str, Any]:
            body = json.loads(await request.body())
            self.requests.append(body)
            if body.get("url", "").endswith("bad"):
                raise ServiceError("tool-source-invalid", "this is no document", field="url", remedy="name another")
            source = {
                "name": body["name"], "kind": body["kind"], "origin": "api", "url": body.get("url"), "base_url": None,
                "effect": "unkeyed_write", "status": "ready", "tools": ["a", "b"], "error": None,
                "left_out": self.left_out,
            }  # fmt: skip
            self.sources.append(source)
            return source

        @application.delete("/v1/tool-sources/{name}", status_code=204)
        async def remove_source(name: str) -> None:
            self.sources = [source for source in self.sources if source["name"] != name]

        return application


@pytest.fixture
def fake() -> FakeOrchestrator:
    return FakeOrchestrator()


@pytest.fixture
def url(fake: FakeOrchestrator, serve: Serve) -> str:
    """Where the fake orchestrator answers."""
    return serve(fake.app())
