"""The orchestrator's REST surface against a simple model, with stops and crashes at any point.

After every step: every acknowledged trajectory is listed once, newest first; ended trajectories do not change; a
trajectory ends as its course defines, or as cancelled after a cancel request. At the end: every trajectory has ended,
each of its streams has the same rows once and in order, the last row is the state that the API returns, and the shop
executed no write twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from httpx_sse import connect_sse
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pysqlite3 import dbapi2 as sqlite3
from support.fuzz_depth import DEEP
from support.openapi_documents import openapi_document
from support.orchestrator_world import World, surroundings
from support.restarted_orchestrator import RestartedOrchestrator, Row, follow, row_of
from support.scripted_courses import COURSES, Courses, course_of, item_of

pytestmark = pytest.mark.slow

Json = dict[str, Any]
SETTINGS = settings(
    max_examples=500 if DEEP else 12,
    stateful_step_count=50 if DEEP else 20,
    derandomize=not DEEP,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
ENDED = {"completed", "gave_up", "failed", "cancelled", "exhausted"}
END_S = 30

any_course = st.sampled_from(sorted(COURSES))
brief_course = st.sampled_from(sorted(name for name, course in COURSES.items() if course.held_by is None))
# A search whose branches may be as long as the longest course goes its way as a chain does.
any_strategy = st.sampled_from([{}, {"strategy": "dfsdt", "max_depth": 6}])
any_number = st.integers(0, 30)


@dataclass
class Known:
    """The model's state of an acknowledged trajectory."""

    document: Json
    rows: Future[list[Row]]
    may_be_cancelled: bool = False

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def instruction(self) -> str:
        return str(self.document["instruction"])

    def take(self, document: Json) -> None:
        """A newer reading, which must be a possible one."""
        known, self.document = self.document, document
        if known["status"] in ENDED:
            assert document == known
        for name in ("id", "object", "instruction", "tools", "strategy", "metadata", "created_at"):
            assert document[name] == known[name], name
        thoughts = [[step["thought"] for step in version["steps"]] for version in (known, document)]
        assert thoughts[1][: len(thoughts[0])] == thoughts[0]
        possible = {"running", course_of(self.instruction).status} | ({"cancelled"} if self.may_be_cancelled else set())
        assert document["status"] in possible
        assert (document["finished_at"] is None) == (document["status"] not in ENDED)


class RestSurface(RuleBasedStateMachine):
    """One orchestrator, from its first start to its last stop."""

    def __init__(self, world: World, portal: BlockingPortal, courses: Courses) -> None:
        super().__init__()
        self.world, self.portal, self.courses = world, portal, courses
        self.known: list[Known] = []
        self.sources: dict[str, str] = {"shop": "file"}

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        world = dataclasses.replace(self.world, folder=Path(self.folder.name))
        self.orchestrator = RestartedOrchestrator(world.environment())

    @rule(course=brief_course, strategy=any_strategy)
    def create_and_wait(self, course: str, strategy: Json) -> None:
        response = self.post("/v1/trajectories", instruction=self.courses.instruction(course), **strategy)
        assert (response.status_code, response.json()["status"]) == (200, COURSES[course].status)
        self.acknowledged(response.json())

    @rule(course=any_course, strategy=any_strategy, some_tools=st.booleans())
    def create_in_background(self, course: str, strategy: Json, some_tools: bool) -> None:
        tools = {"tools": ["order", "look_up", "reserve"]} if some_tools else {}
        response = self.post(
            "/v1/trajectories",
            instruction=self.courses.instruction(course),
            background=True,
            metadata={"a": "b"},
            **tools,
            **strategy,
        )
        assert response.status_code == 202
        assert response.json()["metadata"] == {"a": "b"}
        self.acknowledged(response.json())

    @rule(course=brief_course, strategy=any_strategy)
    def create_and_stream(self, course: str, strategy: Json) -> None:
        body = {"instruction": self.courses.instruction(course), "stream": True, **strategy}
        with connect_sse(self.http, "POST", "/v1/trajectories", json=body) as source:
            rows = [row for event in source.iter_sse() if (row := row_of(event))]
        self.acknowledged(rows[-1].json())
        assert rows == self.stream(self.known[-1])

    @rule()
    def create_a_stream_and_leave(self) -> None:
        body = {"instruction": self.courses.instruction("waits for the planner"), "stream": True}
        with connect_sse(self.http, "POST", "/v1/trajectories", json=body) as source:
            first = next(source.iter_sse())
        document = self.http.get(f"/v1/trajectories/{first.json()['trajectory_id']}").json()
        self.acknowledged(document).may_be_cancelled = True

    @rule(
        change=st.sampled_from(
            [{"tools": ["nothing"]}, {"tools": [5]}, {"max_steps": 0}, {"max_depth": 4}, {"instruction": " "}, {"x": 1}]
        )
    )
    def create_badly(self, change: Json) -> None:
        assert self.post("/v1/trajectories", **{"instruction": "answers #0"} | change).status_code == 422

    @rule(limit=st.integers(1, 5), status=st.sampled_from(["running", *sorted(ENDED)]))
    def list_by_status(self, limit: int, status: str) -> None:
        assert {document["status"] for document in self.listed(limit=limit, status=status)} <= {status}

    @precondition(lambda self: self.known)
    @rule(pick=any_number, after=any_number)
    def resume_a_stream(self, pick: int, after: int) -> None:
        known = self.picked(pick)
        if known.document["status"] in ENDED:
            rows = self.stream(known)
            last = rows[-1].id
            if after <= last:
                assert self.stream(known, after=after) == [row for row in rows if row.id > after]
            else:
                headers = {"Last-Event-ID": str(after)}
                assert self.http.get(f"/v1/trajectories/{known.id}/events", headers=headers).status_code == 410

    @precondition(lambda self: self.known)
    @rule(pick=any_number)
    def cancel(self, pick: int) -> None:
        known = self.picked(pick)
        had_ended = known.document["status"] in ENDED
        response = self.http.post(f"/v1/trajectories/{known.id}/cancel")
        assert response.status_code in ({409} if had_ended else {200, 409})
        known.may_be_cancelled |= response.status_code == 200
        known.take(self.http.get(f"/v1/trajectories/{known.id}").json())
        assert known.document["status"] in ENDED
        assert (response.status_code == 200) <= (response.json() == known.document)

    @precondition(lambda self: self.known)
    @rule(pick=any_number)
    def release(self, pick: int) -> None:
        self.portal.call(self.courses.release, self.picked(pick).instruction)

    @rule(name=st.sampled_from(["a", "b"]))
    def add_tool_source(self, name: str) -> None:
        operation = {"operationId": f"look_up_{name}", "responses": {"200": {"description": "fine"}}}
        document = openapi_document({f"/items/{name}": {"get": operation}})
        response = self.post("/v1/tool-sources", name=name, document=document, base_url=self.world.shop_url)
        assert response.status_code == (409 if name in self.sources else 201)
        self.sources[name] = "api"

    @rule(name=st.sampled_from(["a", "b", "nobody"]))
    def remove_tool_source(self, name: str) -> None:
        response = self.http.delete(f"/v1/tool-sources/{name}")
        assert response.status_code == (204 if self.sources.pop(name, None) else 404)

    @rule()
    def restart(self) -> None:
        self.orchestrator.stop()
        self.orchestrator.start()

    @rule()
    def crash(self) -> None:
        self.orchestrator.kill()
        self.orchestrator.start()

    @rule(courses=st.lists(any_course, min_size=1, max_size=4))
    def crash_upon_the_first_of_several_acknowledgements(self, courses: list[str]) -> None:
        bodies = [{"instruction": self.courses.instruction(course), "background": True} for course in courses]
        with ThreadPoolExecutor() as pool:
            waiting = [pool.submit(self.http.post, "/v1/trajectories", json=body) for body in bodies]
            next(as_completed(waiting))
            self.orchestrator.kill()
        self.orchestrator.start()
        acknowledged = {done.result().json()["id"] for done in waiting if done.exception() is None}
        known = {one.id for one in self.known}
        new = [document for document in self.listed() if document["id"] not in known]
        assert acknowledged <= {document["id"] for document in new}
        assert {document["instruction"] for document in new} <= {body["instruction"] for body in bodies}
        for document in reversed(new):
            self.acknowledged(document)

    @invariant()
    def what_was_acknowledged_is_listed_newest_first(self) -> None:
        listed = self.listed(limit=4)
        assert [document["id"] for document in listed] == [known.id for known in reversed(self.known)]
        for known, document in zip(reversed(self.known), listed, strict=True):
            known.take(document)

    @invariant()
    def tool_sources_persist(self) -> None:
        listed = self.http.get("/v1/tool-sources").json()["data"]
        assert {source["name"]: source["origin"] for source in listed} == self.sources
        tools = [tool["name"] for tool in self.http.get("/v1/tools").json()["data"]]
        own = [f"look_up_{name}" for name in self.sources if name != "shop"]
        assert sorted(tools) == sorted(["look_up", "order", "reserve", *own])

    def teardown(self) -> None:
        with self.folder, contextlib.closing(self.orchestrator), self.followed():
            for known in self.known:
                self.portal.call(self.courses.release, known.instruction)
            for known in self.known:
                self.check_the_end(known, known.rows.result(END_S))
            self.orchestrator.stop()
            self.check_the_log()

    def check_the_end(self, known: Known, rows: list[Row]) -> None:
        """The follower's rows, those of a new stream and what is read are the same; the effects are as promised."""
        assert rows == self.stream(known)
        ids = [row.id for row in rows]
        assert ids == sorted(set(ids))
        assert [row.event for row in rows if row.event in ("trajectory.created", "trajectory.finished")] == [
            rows[0].event,
            rows[-1].event,
        ]
        known.take(self.http.get(f"/v1/trajectories/{known.id}").json())
        assert rows[-1].json() == known.document
        self.check_effects(known)

    def check_effects(self, known: Known) -> None:
        """Writes with a key were sent under one key a step, writes without one once a step at most."""
        item = item_of(known.instruction)
        made = [step["action"]["name"] for step in known.document["steps"] if step["action"] is not None]
        reserved = [key for name, key in self.world.shop.executed("reserve") if name == item]
        assert len(set(reserved)) <= made.count("reserve")
        ordered = [name for name, _ in self.world.shop.executed("order") if name == item]
        assert len(ordered) <= made.count("order")
        observations = [
            step["observation"] for step in known.document["steps"] if (step["action"] or {}).get("name") == "order"
        ]
        assert len(ordered) >= sum(seen is not None and not seen["is_error"] for seen in observations)

    def check_the_log(self) -> None:
        """Its rows are numbered without a gap."""
        with contextlib.closing(sqlite3.connect(Path(self.folder.name, "log.db"))) as database:
            rows = database.execute(
                "SELECT trajectory_id, count(*), min(seq), max(seq) FROM events GROUP BY 1"
            ).fetchall()
        assert {row[0] for row in rows} == {known.id for known in self.known}
        assert all((count, lowest) == (highest, 1) for _, count, lowest, highest in rows)

    @property
    def http(self) -> httpx.Client:
        return self.orchestrator.http

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def acknowledged(self, document: Json) -> Known:
        """Record an acknowledged trajectory, and follow its stream."""
        rows = self.portal.start_task_soon(follow, self.orchestrator, document["id"])
        self.known.append(Known(document, rows))
        return self.known[-1]

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Cancel all followers at the end of the block."""
        try:
            yield
        finally:
            for known in self.known:
                known.rows.cancel()

    def picked(self, pick: int) -> Known:
        return self.known[pick % len(self.known)]

    def listed(self, *, limit: int = 100, status: str | None = None) -> list[Json]:
        """Every page of the list, one after the other."""
        query: Json = {"limit": limit, "include": "steps"} | ({} if status is None else {"status": status})
        documents: list[Json] = []
        while True:
            page = self.http.get("/v1/trajectories", params=query).json()
            documents += page["data"]
            if not page["has_more"]:
                return documents
            query["after"] = documents[-1]["id"]

    def stream(self, known: Known, *, after: int | None = None) -> list[Row]:
        """The rows of a trajectory that has ended; none after the last one (204)."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with connect_sse(self.http, "GET", f"/v1/trajectories/{known.id}/events", headers=headers) as source:
            if source.response.status_code == 204:
                return []
            return [row for event in source.iter_sse() if (row := row_of(event))]


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread of its own."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.mark.timeout(7_200)
def test_the_rest_surface_keeps_what_it_promises(portal: BlockingPortal, tmp_path: Path) -> None:
    with portal.wrap_async_context_manager(surroundings(tmp_path)) as world:
        courses = Courses(world.roles, world.shop)
        run_state_machine_as_test(lambda: RestSurface(world, portal, courses), settings=SETTINGS)
