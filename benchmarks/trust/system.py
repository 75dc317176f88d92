"""The system under test: an orchestrator, scripted roles and a tool, each a process, and a client of the first."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.trust.process import Process
from benchmarks.trust.services import document, instruction
from benchmarks.trust.table import require

Json = dict[str, Any]
CREATE = "/v1/trajectories"
LARGE_BYTES = 2**20


@dataclass(frozen=True)
class Reply:
    """An answer of the orchestrator."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.text)


def new_key() -> str:
    """An API key of 256 bits."""
    return secrets.token_urlsafe(32)


class System:
    """Three processes. `operator`, `ann` and `ben` are the keys that the orchestrator accepts, if it has keys."""

    def __init__(self, folder: Path, roles: Process, tool: Process, orchestrator: Process, keys: Sequence[str]) -> None:
        self.folder = folder
        self.roles, self.tool, self.orchestrator = roles, tool, orchestrator
        self.keys = tuple(keys)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Start all three, and wait until they are ready."""
        for process in (self.roles, self.tool):
            process.start()
        await asyncio.gather(self.roles.ready("/readyz"), self.tool.ready("/readyz"))
        self.orchestrator.start()
        await self.orchestrator.ready("/readyz")

    @property
    def session(self) -> aiohttp.ClientSession:
        """A session without a bound of connections."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=300))
        return self._session

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 120,
    ) -> Reply:
        """Send a request; `key` is the operator's unless another is given."""
        own = dict(headers or {})
        if self.keys or key:
            own["Authorization"] = f"Bearer {key or self.keys[0]}"
        limit = aiohttp.ClientTimeout(total=timeout_s)
        sent: Json = {"json": body}
        if body is not None and len(text := json.dumps(body).encode()) > LARGE_BYTES:
            # aiohttp warns of large bodies that it sends at once.
            sent = {"data": io.BytesIO(text)}
            own["Content-Type"] = "application/json"
        async with self.session.request(
            method, self.orchestrator.url + path, headers=own, timeout=limit, **sent
        ) as response:
            return Reply(response.status, dict(response.headers), await response.text(errors="replace"))

    async def create(self, job: str, *, key: str | None = None, tools: Any = None, **script: Any) -> Reply:
        """Create a trajectory in the background."""
        body: Json = {"instruction": instruction(job, **script), "background": True}
        if tools is not None:
            body["tools"] = tools
        return await self.ask("POST", CREATE, body, key=key)

    async def create_many(self, count: int, *, key: str | None = None, **script: Any) -> list[str]:
        """The ids of `count` new trajectories. Raises `CheckInvalid` where one is refused."""
        replies = await asyncio.gather(*(self.create(f"job-{number}", key=key, **script) for number in range(count)))
        require(all(reply.status == 202 for reply in replies), str(Counter(reply.status for reply in replies)))
        return [reply.json()["id"] for reply in replies]

    async def end_of(self, trajectory_id: str, *, key: str | None = None, seconds: float = 60) -> Json:
        """A trajectory, once it has ended or waits for its client."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result: Json = (await self.ask("GET", f"{CREATE}/{trajectory_id}", key=key)).json()
            if result.get("status") != "running":
                return result
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{trajectory_id} did not end within {seconds:g} s")

    def statuses(self) -> Counter[str]:
        """How many trajectories the log has of each status. Reads the file: the orchestrator may be down."""
        return Counter(status for (status,) in self.rows("SELECT status FROM trajectories"))

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the event log."""
        uri = f"file:{self.folder}/log.db?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as log:
            return log.execute(statement, values).fetchall()

    async def settled(self, *, seconds: float, waiting: Sequence[str] = ("running",)) -> float:
        """Wait until no trajectory has one of these statuses. Returns the seconds it took, or raises `TimeoutError`."""
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            counts = await asyncio.to_thread(self.statuses)
            if not any(counts[status] for status in waiting):
                return time.monotonic() - started
            await asyncio.sleep(0.2)
        raise TimeoutError(f"after {seconds:g} s: {dict(self.statuses())}")

    async def roles_state(self) -> Json:
        """What the role process counted since its start."""
        async with self.session.get(f"{self.roles.url}/state") as response:
            state: Json = await response.json()
            return state

    async def close(self) -> None:
        """Kill everything."""
        if self._session is not None:
            await self._session.close()
        for process in (self.orchestrator, self.roles, self.tool):
            process.close()


@contextlib.asynccontextmanager
async def system(
    *,
    seconds: float = 0.0,
    slots: int = 10_000,
    keys: int = 0,
    sources: Sequence[Json] | None = None,
    module: Sequence[str] = ("orchestrator",),
    started: bool = True,
    before: Callable[[System], None] = lambda _: None,
    **settings: Any,
) -> AsyncIterator[System]:
    """A running system until the block ends. `seconds` and `slots` are of the roles; `settings` of the orchestrator."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roles = Process(["benchmarks.trust.services", "{port}", f"--seconds={seconds}", f"--slots={slots}"])
        tool = Process(["benchmarks.trust.services", "{port}"])
        own = [new_key() for _ in range(keys)]
        shipments = {"name": "shipments", "document": document(), "base_url": tool.url, "effect": "read"}
        path = folder / "sources.json"
        path.write_text(json.dumps({"sources": [shipments, *(sources or [])]}), encoding="utf-8")
        orchestrator = Process(module)
        values = {
            "port": orchestrator.port,
            "database_url": f"sqlite:///{folder}/log.db",
            **{f"{role}_url": roles.url for role in ("planner", "caller", "summarizer")},
            "tool_sources": path,
            "allow_loopback_tools": "true",
            "log_level": "WARNING",
            "api_keys": ",".join(own),
            # A scripted trajectory repeats its call.
            "max_repeats": 64,
            "max_steps": 64,
            **settings,
        }
        orchestrator.environment |= {f"ALPHA_UMI_{name.upper()}": str(value) for name, value in values.items()}
        result = System(folder, roles, tool, orchestrator, own)
        try:
            before(result)
            if started:
                await result.start()
            yield result
        finally:
            await result.close()
