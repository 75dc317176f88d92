from __future__ import annotations

import pytest

from orchestrator.tools.addresses import may_connect

FORBIDDEN = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9
224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd12:3456::1 ff02::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::8.8.8.8
64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::a00:1 2002:7f00:1:: 2002:808:808::1 2001::1 2001:0:53aa:64c:0:1:2:3
2001:db8::1 2001:2::1 2001:10::1 3fff::1 100::1 5f00::1 4000::1 2606:4700:4700::1111%1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 172.15.0.1
172.32.0.1 223.255.255.1 2606:4700:4700::1111 2a00:1450::1
"""


@pytest.mark.parametrize("address", FORBIDDEN.split())
def test_what_is_not_public_is_refused_even_if_loopback_is_allowed(address: str) -> None:
    assert not may_connect(address)
    assert not may_connect(address, allow_loopback=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.255.254", "::1"])
def test_loopback_needs_permission(address: str) -> None:
    assert not may_connect(address)
    assert may_connect(address, allow_loopback=True)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_connect(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "::g"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert not may_connect(address, allow_loopback=True)


@pytest.mark.parametrize("address", ["10.0.0.1", "172.16.0.1", "192.168.255.1", "fc00::1", "fd12:3456::1"])
def test_a_private_network_needs_permission(address: str) -> None:
    assert not may_connect(address)
    assert may_connect(address, allow_private=True)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"],
)
def test_that_permission_is_for_nothing_else(address: str) -> None:
    assert not may_connect(address, allow_private=True)
