"""Which network addresses the orchestrator may connect to on behalf of tools.

Only public unicast addresses, and loopback or a private network where the operator allows it. The rule
lists what is allowed (IPv6) and the registry of special-purpose blocks (IPv4). It does not use `ipaddress.is_global`,
whose meaning changed between patch releases of Python. Addresses that embed an IPv4 address (mapped, NAT64, 6to4,
Teredo) are refused, because a gateway decides where they lead.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# RFC 6890 and the IANA registry of IPv4 special-purpose addresses, multicast and the former class E.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
# Within global unicast: protocol assignments with Teredo and ORCHID, documentation, 6to4.
_NOT_PUBLIC_V6 = tuple(IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# RFC 1918 and RFC 4193: networks of one's own. Link-local addresses, where clouds keep their secrets, are none of them.
_PRIVATE_V4 = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_PRIVATE_V6 = IPv6Network("fc00::/7")
_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")
_LOOPBACK_V6 = IPv6Address("::1")


def may_connect(address: str, *, allow_loopback: bool = False, allow_private: bool = False) -> bool:
    """Whether a connection to this address, as the system writes it, is allowed. Anything unreadable is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return False
    if _is_loopback(parsed):
        return allow_loopback
    return _is_public(parsed) or (allow_private and _is_private(parsed))


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    return address in _LOOPBACK_V4 if isinstance(address, IPv4Address) else address == _LOOPBACK_V6


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in block for block in _PRIVATE_V4)
    return address in _PRIVATE_V6


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST_V6 and not any(address in block for block in _NOT_PUBLIC_V6)
