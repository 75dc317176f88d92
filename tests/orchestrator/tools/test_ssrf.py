"""No spelling of a forbidden address, and no name that leads to one, opens a connection."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.tools.egress import Egress, OutboundRequest
from orchestrator.tools.errors import EgressError, RequestRefused

LOOPBACK_V4 = """
127.0.0.1 127.0.0.2 127.1 127.0.1 127.255.255.254 2130706433 017700000001 0x7f000001 0X7F000001 0x7f.1 0x7f.0x0.0x0.0x1
0177.0.0.1 0177.0.0.01 0177.1 00177.0.0.1 127.0x0.0.1 127.00.00.01 127.000.000.001 0x7f.0.1 127.0.0.1. localhost.
localhost LOCALHOST 0 0.0.0.0 0x0 00 0.0 000.000.000.000 127.65535 127.0.65535 127.0xffff
①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 127．0．0．1 127｡0｡0｡1 ⓛocalhost ℓocalhost 127.0.0.1%00 127.0.0.%31
%31%32%37.0.0.1
"""
LOOPBACK_V6 = """
[::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [0::1] [::] [0:0:0:0:0:0:0:0] [::127.0.0.1]
[::7f00:1]
[::ffff:127.0.0.1] [::FFFF:127.0.0.1] [::ffff:7f00:1] [::ffff:7f00:0001] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0:127.0.0.1]
[::ffff:0.0.0.0] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1]
[2001:0:7f00:1::] [::1%lo] [::1%25lo] [::1%1] [::1%251] [fe80::1%lo] [fe80::1%25lo] [fe80::1] [::1 [::1]] [::1]. [[::1]]
"""
ELSEWHERE = """
169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 [::ffff:169.254.169.254] 10.0.0.1 192.168.1.1 172.16.0.1
100.64.0.1 224.0.0.1 255.255.255.255 [fd00::1] [ff02::1]
"""
AUTHORITIES = """
user@127.0.0.1 user:pw@127.0.0.1 public.example@127.0.0.1 127.0.0.1\\@public.example
127.0.0.1#@public.example public.example\\@127.0.0.1
"""
NAMES = {
    "localtest.example": [["127.0.0.1"]],
    "six.example": [["::1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "zero.example": [["0.0.0.0"]],
    "metadata.example": [["169.254.169.254"]],
    "both.example": [["93.184.215.14", "127.0.0.1"]],
    "later.example": [["2606:4700:4700::1111", "fd00::1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "localhost": [["127.0.0.1", "::1"]],
    "localhost.": [["127.0.0.1"]],
}
HOSTS = [*" ".join((LOOPBACK_V4, LOOPBACK_V6, ELSEWHERE, AUTHORITIES)).split(), *NAMES]
OTHER_SCHEMES = [
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "HTTP:127.0.0.1:{port}",
    "http:///127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
]


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A port that is open on every address of this machine, both families where there are both."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=family == socket.AF_INET6) as server:
        server.setblocking(False)
        yield server


def connections(server: socket.socket) -> int:
    """How many connections wait in the listener's queue."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


async def attempt(egress: Egress, url: str) -> Exception | None:
    try:
        await egress.send(OutboundRequest("GET", url, within=url), timeout_s=0.5)
    except EgressError as error:
        return error
    return None


def test_the_table_is_large() -> None:
    assert len({*HOSTS, *OTHER_SCHEMES}) >= 110


async def test_no_spelling_reaches_this_machine(table_resolver: Callable[..., Any]) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        async with Egress(resolver=table_resolver(NAMES)) as egress:
            for host in HOSTS:
                error = await attempt(egress, f"http://{host}:{port}/")
                assert isinstance(error, EgressError), host
                assert connections(server) == 0, host
            for template in OTHER_SCHEMES:
                assert isinstance(await attempt(egress, template.format(port=port)), RequestRefused), template
                assert connections(server) == 0, template


async def test_the_listener_would_have_noticed(table_resolver: Callable[..., Any]) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        async with Egress(allow_loopback=True, resolver=table_resolver(NAMES)) as egress:
            await attempt(egress, f"http://127.0.0.1:{port}/")
            await attempt(egress, f"http://localtest.example:{port}/")
        assert connections(server) == 2


async def test_allowing_loopback_allows_nothing_else(table_resolver: Callable[..., Any]) -> None:
    async with Egress(allow_loopback=True, resolver=table_resolver(NAMES)) as egress:
        for host in [*ELSEWHERE.split(), "0.0.0.0", "[::]", "metadata.example", "later.example"]:
            assert isinstance(await attempt(egress, f"http://{host}:9/"), EgressError), host


async def test_a_name_that_changes_its_mind_is_checked_at_every_connection(
    table_resolver: Callable[..., Any],
) -> None:
    resolver = table_resolver({"rebinding.example": [["127.0.0.1"], ["10.0.0.1"]]})
    with listening() as first, listening() as second:
        async with Egress(allow_loopback=True, resolver=resolver) as egress:
            await attempt(egress, f"http://rebinding.example:{first.getsockname()[1]}/")
            error = await attempt(egress, f"http://rebinding.example:{second.getsockname()[1]}/")
        assert isinstance(error, RequestRefused)
        assert (connections(first), connections(second)) == (1, 0)
    # One look-up a connection: what was checked is what is connected to.
    assert resolver.lookups == ["rebinding.example"] * 2


async def test_the_error_names_no_internal_address(table_resolver: Callable[..., Any]) -> None:
    async with Egress(resolver=table_resolver({"internal.example": [["10.11.12.13"]]})) as egress:
        error = await attempt(egress, "http://internal.example/secret-path?key=secret")
    assert isinstance(error, RequestRefused)
    assert "10.11.12.13" not in str(error)
    assert "secret" not in str(error)


async def test_a_neighbours_name_opens_neither_its_numbers_nor_other_names(table_resolver: Callable[..., Any]) -> None:
    resolver = table_resolver(
        {
            "other": [["10.1.2.3"]],
            "neighbour": [["127.0.0.1"], ["169.254.169.254"], ["10.1.2.3", "127.0.0.1"]],
        }
    )
    async with Egress(private_hosts=["neighbour"], resolver=resolver) as egress:
        for host in ("other", "10.1.2.3", "[::ffff:10.1.2.3]", "neighbour", "neighbour", "neighbour"):
            assert isinstance(await attempt(egress, f"http://{host}:9/"), RequestRefused), host
