"""Names that resolve, do not, or never: in their own threads, once at a time, within a deadline."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from alpha_umi.web.keys import CURRENT_OWNER
from orchestrator.tools import lookups
from orchestrator.tools.egress import Egress, OutboundRequest
from orchestrator.tools.errors import ConnectionFailed
from orchestrator.tools.lookups import LookupTimedOut, ThreadedLookups


class NameServer:
    """Stands in for `getaddrinfo`: names with `slow` are answered once `answers` is set, with `no` not at all."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.lookups: Counter[str] = Counter()

    def getaddrinfo(self, host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.lookups[host] += 1
        if "slow" in host:
            self.answers.wait()
        if "no" in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.answers.set()


def resolver(server: NameServer, *, timeout_s: float = 20, **more: Any) -> ThreadedLookups:
    return ThreadedLookups(timeout_s=timeout_s, getaddrinfo=server.getaddrinfo, **more)


async def test_a_name_is_looked_up(server: NameServer) -> None:
    (address,) = await resolver(server).resolve("a.example", 80)
    assert (address["host"], address["port"], address["hostname"]) == ("127.0.0.1", 80, "a.example")


async def test_the_system_s_names() -> None:
    assert {each["host"] for each in await ThreadedLookups().resolve("localhost", 80)} <= {"127.0.0.1", "::1"}


async def test_a_failure_counts_for_a_while(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    names = resolver(server)
    for _ in range(3):
        with pytest.raises(OSError, match="not known"):
            await names.resolve("no.example")
    assert server.lookups == {"no.example": 1}
    monkeypatch.setattr(lookups, "TTL_S", 0.0)
    names = resolver(server)
    for _ in range(3):
        with pytest.raises(OSError, match="not known"):
            await names.resolve("no.example")
    assert server.lookups == {"no.example": 4}


async def test_a_slow_name_ends_at_the_deadline_and_is_looked_up_once(server: NameServer) -> None:
    names = resolver(server, timeout_s=0.2)
    results = await asyncio.gather(*(names.resolve("slow.example") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, LookupTimedOut) for result in results)
    with pytest.raises(LookupTimedOut):
        await names.resolve("slow.example")
    assert server.lookups == {"slow.example": 1}
    # Its answer counts once it comes, for those who ask then.
    server.answers.set()
    while names._running:
        await asyncio.sleep(0.01)
    assert await names.resolve("slow.example")


async def test_slow_names_delay_neither_others_nor_the_loop_s_own_threads(server: NameServer) -> None:
    names = resolver(server, timeout_s=30)
    slow = [asyncio.create_task(names.resolve(f"slow{number}.example")) for number in range(40)]
    while len(server.lookups) < 40:
        await asyncio.sleep(0.01)
    assert await names.resolve("a.example")
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    server.answers.set()
    await asyncio.gather(*slow)


async def test_no_owner_takes_all_look_ups(server: NameServer) -> None:
    names = resolver(server, timeout_s=0.5, max_lookups=4)
    CURRENT_OWNER.set("ann")
    slow = [asyncio.create_task(names.resolve(f"slow{number}.example")) for number in range(4)]
    while len(server.lookups) < 3:
        await asyncio.sleep(0.01)
    with pytest.raises(LookupTimedOut):
        await names.resolve("a.example")
    CURRENT_OWNER.set("bob")
    assert await names.resolve("a.example")
    assert sorted(map(type, await asyncio.gather(*slow, return_exceptions=True)), key=str) == [LookupTimedOut] * 4


async def test_the_number_of_threads_is_bounded(server: NameServer) -> None:
    names = resolver(server, timeout_s=0.2, max_lookups=2)
    for name in ("slow1.example", "slow2.example", "slow3.example"):
        with pytest.raises(LookupTimedOut):
            await names.resolve(name)
    assert set(server.lookups) == {"slow1.example", "slow2.example"}
    server.answers.set()
    while names._running:
        await asyncio.sleep(0.01)
    assert await names.resolve("other.example")


@pytest.mark.parametrize(
    ("host", "timeout_s", "reason"),
    [("no.example", 20, "cannot be resolved$"), ("slow.example", 0.2, "no name server answered in time")],
)
async def test_a_call_says_that_the_name_could_not_be_looked_up(
    server: NameServer, host: str, timeout_s: float, reason: str
) -> None:
    address = f"http://{host}/"
    async with Egress(allow_loopback=True, resolver=resolver(server, timeout_s=timeout_s)) as egress:
        with pytest.raises(ConnectionFailed, match=reason):
            await egress.send(OutboundRequest("GET", address, within=address), timeout_s=30)
