"""The orchestrator's REST interface for the commands: requests, streams that resume, and errors with a remedy."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, SSEError
from pydantic import BaseModel, ValidationError

from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.problems import Problem
from alpha_umi.contract.stream_events import Reconnect, StreamEvent, explain, read_stream_event
from alpha_umi.contract.trajectories import CreateTrajectory, ToolList, Trajectory, TrajectoryList
from alpha_umi.trajectory import Status, TrajectoryFinished
from cli.errors import SAME_VERSION, CommandError, NotUnderstood, Refused, Unreachable, understood

DEFAULT_URL = "http://127.0.0.1:8000"
# An orchestrator sends a comment every 15 s, so a stream that is silent for this long is broken.
SILENCE_S = 60.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=SILENCE_S)
RESUME_ATTEMPTS = 5
RESUME_PAUSE_S = 1.0
# Trajectories that are asked for at a time.
PAGE = 100

Model = TypeVar("Model", bound=BaseModel)


class ToolSourceInfo(BaseModel):
    """A tool source as `GET /v1/tool-sources` shows it."""

    name: str
    kind: str
    origin: str = ""
    url: str | None = None
    effect: str
    status: str
    error: str | None = None
    tools: list[str]


class ToolSourceList(BaseModel):
    """`GET /v1/tool-sources`."""

    data: list[ToolSourceInfo]


class StreamBroken(CommandError):
    """The connection to a stream was lost, and could not be taken up again."""


@dataclass
class _Position:
    """Where a stream is: the trajectory, once it is known, and the last event that is in the log."""

    trajectory_id: str | None = None
    last_event_id: str = ""
    resuming: bool = False


class OrchestratorClient:
    """One orchestrator. All methods raise `Unreachable`, `Refused` and `NotUnderstood`."""

    def __init__(self, url: str, *, api_key: str | None = None, resume_pause_s: float = RESUME_PAUSE_S) -> None:
        self.url = url.rstrip("/")
        self._resume_pause_s = resume_pause_s
        self._http = httpx.Client(
            timeout=TIMEOUT,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # A proxy of the environment is for other machines.
            trust_env=not is_loopback(self.url),
        )

    @property
    def _shown_url(self) -> str:
        """The address without the password that it may hold."""
        return str(httpx.URL(self.url).copy_with(userinfo=b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, request: CreateTrajectory) -> Iterator[StreamEvent]:
        """Create a trajectory and follow it to its end. It does not outlive the stream."""
        body = request.model_copy(update={"stream": True}).model_dump(mode="json", exclude_none=True)
        return self._resumed("POST", "/v1/trajectories", _Position(), json=body)

    def go_on(self, trajectory_id: str, message: AddMessage) -> Iterator[StreamEvent]:
        """Add a further turn to a trajectory and follow it to its end. It does not outlive the stream."""
        body = message.model_copy(update={"stream": True}).model_dump(mode="json")
        return self._resumed("POST", f"{_path(trajectory_id)}/messages", _Position(), json=body)

    def follow(self, trajectory_id: str) -> Iterator[StreamEvent]:
        """All events of a trajectory, up to its end."""
        return self._resumed("GET", _events(trajectory_id), _Position(trajectory_id))

    def trajectory(self, trajectory_id: str) -> Trajectory:
        """One trajectory."""
        return self._read(Trajectory, "GET", _path(trajectory_id))

    def newest(self, *, status: Status | None = None) -> Trajectory | None:
        """The trajectory that was created last, of those with a status where one is given."""
        query = {"limit": "1"} | ({} if status is None else {"status": status})
        return next(iter(self._read(TrajectoryList, "GET", "/v1/trajectories", params=query).data), None)

    def trajectories(self, *, status: str | None = None) -> Iterator[Trajectory]:
        """All trajectories, newest first, of those with a status where one is given."""
        query = {"limit": str(PAGE)} | ({} if status is None else {"status": status})
        while True:
            page = self._read(TrajectoryList, "GET", "/v1/trajectories", params=query)
            yield from page.data
            if not page.has_more or not page.data:
                return
            query["after"] = page.data[-1].id

    def cancel(self, trajectory_id: str) -> Trajectory:
        """Stop a trajectory; one that has ended stays as it is."""
        try:
            return self._read(Trajectory, "POST", f"{_path(trajectory_id)}/cancel")
        except Refused as error:
            if error.problem.kind != "trajectory-finished":
                raise
            return self.trajectory(trajectory_id)

    def tools(self) -> ToolList:
        """The tools on offer."""
        return self._read(ToolList, "GET", "/v1/tools")

    def tool_sources(self) -> list[ToolSourceInfo]:
        """The sources of tools, those that failed included."""
        return self._read(ToolSourceList, "GET", "/v1/tool-sources").data

    def add_tool_source(self, name: str, url: str, *, effect: str | None) -> ToolSourceInfo:
        """Register an OpenAPI document."""
        body = {"name": name, "kind": "openapi", "url": url} | ({} if effect is None else {"effect": effect})
        return self._read(ToolSourceInfo, "POST", "/v1/tool-sources", json=body)

    def remove_tool_source(self, name: str) -> None:
        """Withdraw a source and its tools."""
        self._send("DELETE", f"/v1/tool-sources/{quote(name, safe='')}")

    def _read(self, model: type[Model], method: str, path: str, **request: Any) -> Model:
        return parsed(model, self._send(method, path, **request))

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._reached():
            response = self._http.request(method, self.url + path, **request)
        require_success(response)
        return response

    def _resumed(self, method: str, path: str, position: _Position, **request: Any) -> Iterator[StreamEvent]:
        """The events of a stream; after a lost connection it is taken up behind the last event of the log."""
        attempts = 0
        while True:
            last = None
            for item in self._stream(method, path, position, **request):
                last = item.event
                if not isinstance(last, Reconnect):
                    attempts = 0
                yield item
                if isinstance(last, TrajectoryFinished):
                    return
            attempts += 1
            if position.trajectory_id is None or attempts > RESUME_ATTEMPTS:
                reason = last.reason if isinstance(last, Reconnect) else "the connection was lost"
                raise StreamBroken(reason, remedy=_remedy(position))
            time.sleep(self._resume_pause_s)
            position.resuming = True
            method, path, request = "GET", _events(position.trajectory_id), {}

    def _stream(self, method: str, path: str, position: _Position, **request: Any) -> Iterator[StreamEvent]:
        """One connection's events. A connection that breaks after it was made just ends."""
        headers = {"Accept": "text/event-stream"}
        if position.last_event_id:
            headers["Last-Event-ID"] = position.last_event_id
        try:
            with self._http.stream(method, self.url + path, headers=headers, **request) as response:
                if position.resuming and response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    return  # it is being restarted
                if not response.is_success:
                    response.read()
                    require_success(response)
                position.trajectory_id = position.trajectory_id or _created(response.headers)
                for event in EventSource(response).iter_sse():
                    position.last_event_id = event.id or position.last_event_id
                    with understood():
                        item = read_stream_event(event.event, event.data, event.id)
                    yield item
        except SSEError as error:
            raise NotUnderstood(f"{self._shown_url} does not answer with events", remedy="check the address") from error
        except httpx.HTTPError as error:
            if position.trajectory_id is None:
                raise self._unreachable(error) from error

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"no orchestrator answers at {self._shown_url}: {error}",
            remedy="start it with `alpha-umi up`, or name its address with --url",
        )


def parsed(model: type[Model], response: httpx.Response) -> Model:
    """The body of a response. Raises `NotUnderstood`."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        what = f"the answer of {response.request.url.copy_with(query=None)} cannot be read: {explain(error)}"
        raise NotUnderstood(what, remedy=SAME_VERSION) from error


def require_success(response: httpx.Response) -> None:
    """Raises `Refused` with the problem document of a response, or with what can be said without one."""
    if response.is_success:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        detail = f"status {response.status_code}, without a problem document: {response.text[:200]}"
        problem = Problem(
            type="about:blank", title="This is not the orchestrator", status=response.status_code, detail=detail
        )
    raise Refused(problem)


def _path(trajectory_id: str) -> str:
    return f"/v1/trajectories/{quote(trajectory_id, safe='')}"


def _events(trajectory_id: str) -> str:
    return f"{_path(trajectory_id)}/events"


def _created(headers: Mapping[str, str]) -> str | None:
    return headers.get("Location", "").rpartition("/")[2] or None


def _remedy(position: _Position) -> str:
    if position.trajectory_id is None:
        return "ask again"
    return f"`alpha-umi show {position.trajectory_id}` says how far it came"


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine only."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
