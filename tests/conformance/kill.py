"""kill -9 of the orchestrator while the official client reads the stream of a background response.

After the restart the client reads on with `starting_after`. What it has read then is the stored stream and, but for
times and random ids, the stream of a response of the same script that nothing interrupted. The places are random:
`KILL_SEED` repeats those of a run, `KILLS` says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
from support.orchestrator_process import OrchestratorProcess, free_port, orchestrator_process
from support.orchestrator_world import World, surroundings
from support.response_streams import check_stream, without_times
from support.scripted_roles import Reply, call, decide, say

from conformance.system import KEY, MODEL, System, until_ready
from conformance.table import Check

KILLS: Final = int(os.environ.get("KILLS", "50"))
CLIENT: Final = Path(__file__).parent / "resuming_client.py"
# Between two pieces of a text.
PAUSE_S: Final = 0.002
LIMIT_S: Final = 60
Json = dict[str, Any]
Events = list[Json]

ROOM: Final[Json] = {"type": "function", "name": "measure", "parameters": {"type": "object"}}
SHOP: Final[Json] = {"type": "alpha_umi:registered"}
REQUESTS: Final[Mapping[str, Json]] = {
    "chain": {"model": MODEL, "input": "Compare the lamp with the chair."},
    "search": {"model": f"{MODEL}-dfsdt", "input": "Compare the lamp with the chair, and search."},
    "function": {"model": MODEL, "input": "Measure the room for the lamp.", "tools": [SHOP, ROOM]},
}
ITEMS: Final = ("lamp", "chair")
# Points around commits and sends that each request passes at least that often.
FAILPOINTS: Final = {"create": 1, "intent": 1, "tool": 1, "outcome": 5, "role": 4}


@dataclass(frozen=True)
class Place:
    """Where the process is killed: after an event, while a tool runs, or at a failpoint. One of them is set."""

    event: int | None = None
    item: str | None = None
    failpoint: str | None = None

    def __str__(self) -> str:
        if self.event is not None:
            return f"after event {self.event}"
        return f"while the tool reads of the {self.item}" if self.item else f"at {self.failpoint}"


async def checks(_: System) -> Sequence[Check]:
    """A check for each kill."""
    seed = int(os.environ.get("KILL_SEED", random.randrange(10_000)))
    print(f"kill: KILL_SEED={seed} repeats these places")
    chosen = random.Random(seed)
    async with _killable() as system:
        uninterrupted = {name: await system.read(REQUESTS[name]) for name in REQUESTS}
        for events in uninterrupted.values():
            check_stream(events)
        return [await _check(system, number, chosen, uninterrupted) for number in range(1, KILLS + 1)]


async def _check(
    system: KillableSystem, number: int, chosen: random.Random, uninterrupted: Mapping[str, Events]
) -> Check:
    name = chosen.choice(list(REQUESTS))
    place = _place(chosen, len(uninterrupted[name]))
    title = f"{number}: {name}, {place}"
    try:
        events = await system.read(REQUESTS[name], place)
        stored = await system.read(REQUESTS[name] | {"stored": events[0]["response"]["id"]})
    except (RuntimeError, TimeoutError, httpx.HTTPError) as error:
        return Check(title, f"{type(error).__name__}: {error}")
    fault = _difference(without_times(events), without_times(uninterrupted[name])) or _difference(events, stored)
    return Check(title, fault)


def _place(chosen: random.Random, events: int) -> Place:
    match chosen.randrange(4):
        case 0:
            return Place(item="lamp")
        case 1:
            point = chosen.choice(list(FAILPOINTS))
            moment = chosen.choice(("before", "after"))
            kind = "send" if point in ("tool", "role") else "commit"
            return Place(failpoint=f"{point}.{moment}_{kind}:{chosen.randint(1, FAILPOINTS[point])}")
        case _:
            return Place(event=chosen.randrange(1, events))


def _difference(events: Events, others: Events) -> str | None:
    """The first event that is not the same."""
    for number, (event, other) in enumerate(zip(events, others, strict=False), start=1):
        if event != other:
            return f"event {number} is {event}, not {other}"
    return None if len(events) == len(others) else f"it has {len(events)} events, not {len(others)}"


class KillableSystem:
    """An orchestrator process that is killed and started again on its port, and one client process."""

    def __init__(self, world: World, client: asyncio.subprocess.Process, settings: Mapping[str, Any]) -> None:
        self._world = world
        self._client = client
        self._settings = settings
        self._stack = contextlib.ExitStack()
        self._running: OrchestratorProcess

    async def start(self, **settings: str) -> None:
        """Start it anew."""
        self._stack.close()
        context = orchestrator_process({**self._settings, **settings})
        self._running = await asyncio.to_thread(self._stack.enter_context, context)
        await until_ready(self._running.address)

    def close(self) -> None:
        """Kill it."""
        self._stack.close()

    async def read(self, request: Json, place: Place | None = None) -> Events:
        """What the client reads. Raises `RuntimeError` if the process was not killed at the place."""
        place = place or Place()
        if place.failpoint is not None:
            await self.start(failpoint=place.failpoint)
        elif not self._running.alive:
            # A check before this one failed.
            await self.start()
        if place.item is not None:
            self._world.shop.entered.clear()
            self._world.shop.gates[place.item] = asyncio.Event()
        reading = asyncio.create_task(self._read(request, place))
        try:
            async with asyncio.timeout(LIMIT_S):
                if place.item is not None:
                    await self._world.shop.entered.wait()
                    self._running.process.kill()
                if place != Place():
                    await self._killed(reading)
                    self._world.shop.gates.clear()
                    await self.start()
                return await reading
        finally:
            reading.cancel()

    async def _killed(self, reading: asyncio.Task[Events]) -> None:
        while self._running.alive:
            if reading.done() and self._running.alive:
                raise RuntimeError("the response ended before the kill")
            await asyncio.sleep(0.005)

    async def _read(self, request: Json, place: Place) -> Events:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        sent = request if "stored" in request else {**request, "extra_headers": {"Idempotency-Key": uuid.uuid4().hex}}
        self._client.stdin.write(json.dumps(sent).encode() + b"\n")
        events: Events = []
        while event := json.loads(await self._client.stdout.readline() or "{}"):
            if isinstance(event, str):
                raise RuntimeError(event)
            events.append(event)
            if len(events) == place.event:
                self._running.process.kill()
                self._running.process.join(5)
        if event is not None:
            raise RuntimeError("the client ended")
        return events


@contextlib.asynccontextmanager
async def _killable() -> AsyncIterator[KillableSystem]:
    from conformance.parts import ENVIRONMENT

    with tempfile.TemporaryDirectory() as folder:
        async with surroundings(Path(folder)) as world:
            world.roles.planner, world.roles.caller, world.roles.summarizer = _plan, _call, _summarize
            port = free_port()
            variables = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": KEY}
            client = await asyncio.create_subprocess_exec(
                *(ENVIRONMENT / "python", "-P", CLIENT),
                env={**os.environ, **variables},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**24,
            )
            system = KillableSystem(world, client, {**world.environment(), "api_keys": KEY, "port": port})
            try:
                await system.start()
                yield system
            finally:
                system.close()
                with contextlib.suppress(ProcessLookupError):
                    client.kill()
                await client.wait()


def _plan(request: Json) -> Reply:
    history = request["history"]
    observed = [turn["content"] for turn in history if turn["role"] == "observation"]
    if len(observed) < len(ITEMS):
        thought = f"I do not know yet what the {ITEMS[len(observed)]} costs, and the shop knows it."
        return _paced(decide(thought, "caller"))
    if "search" in history[0]["content"] and not history[-1]["content"].startswith("This is not the first time"):
        return _paced(decide("This does not lead to an answer, so I go back.", "give up"))
    return _paced(decide("Now I know both prices and can compare them.", "conclusion"))


def _call(request: Json) -> Reply:
    observed = sum(turn["role"] == "observation" for turn in request["history"])
    if observed and any(tool["name"] == ROOM["name"] for tool in request["tools"]):
        return call(ROOM["name"], wall="the longest one", unit="m")
    return call("look_up", item=ITEMS[observed % len(ITEMS)])


def _summarize(request: Json) -> Reply:
    return _paced(say("The chair costs more than the lamp, which is 40. " * 3))


def _paced(reply: Reply) -> Reply:
    return replace(reply, pause_s=PAUSE_S)
