"""Which network addresses may be connected to. Pure: the bytes of an address in, a verdict out.

Judges what a socket is about to connect to, never how somebody spelled it. Resolves nothing.
An address is fine only if it is globally reachable and stands for no other machine than it
says: IPv4 addresses that are wrapped into IPv6 ones are judged too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

#: Where web servers listen.
PORTS: Final = frozenset({80, 443, 8080, 8443})


@dataclass(frozen=True, slots=True)
class Reach:
    """How far fetching may reach.

    `networks` and `hosts` are what a person has opened besides the public addresses. A host
    (exact, or `.suffix` for all below it) may have private and loopback addresses; only a
    network can open anything else, as link-local addresses with their metadata services.
    """

    ports: frozenset[int] = PORTS
    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()

    def opens(self, host: str) -> bool:
        """Whether a person has named this host, as given by `urls.host_of`."""
        return any(matches(host, pattern) for pattern in self.hosts)


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    reason: str = ""  # why not: what kind of address it is, as `a loopback address`


PUBLIC: Final = Reach()

_PRIVATE = "a private address"
_LOOPBACK = "a loopback address"
_SHARED = "an address of a provider's inner network"
#: Kinds that a named host may have.
_INNER: Final = frozenset({_PRIVATE, _LOOPBACK, _SHARED})

_METADATA = "the address of a cloud's metadata service"
_LINK_LOCAL = "a link-local address"
_DOCUMENTATION = "an address for documentation"
_MULTICAST = "a multicast address"
_RESERVED = "a reserved address"
_UNSPECIFIED = "an address that stands for this machine"

#: The first network that holds an address says what it is. Cloud services first.
_SPECIAL: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("169.254.169.254/32", _METADATA),
        ("100.100.100.200/32", _METADATA),
        ("168.63.129.16/32", _METADATA),
        ("192.0.0.192/32", _METADATA),
        ("fd00:ec2::254/128", _METADATA),
        ("fd20:ce::254/128", _METADATA),
        ("fd00:c1::a9fe:a9fe/128", _METADATA),
        ("0.0.0.0/8", _UNSPECIFIED),
        ("10.0.0.0/8", _PRIVATE),
        ("100.64.0.0/10", _SHARED),
        ("127.0.0.0/8", _LOOPBACK),
        ("169.254.0.0/16", _LINK_LOCAL),
        ("172.16.0.0/12", _PRIVATE),
        ("192.0.0.0/24", _RESERVED),
        ("192.0.2.0/24", _DOCUMENTATION),
        ("192.88.99.0/24", "an address of 6to4 relays"),
        ("192.168.0.0/16", _PRIVATE),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", _DOCUMENTATION),
        ("203.0.113.0/24", _DOCUMENTATION),
        ("224.0.0.0/4", _MULTICAST),
        ("240.0.0.0/4", _RESERVED),
        ("::/128", _UNSPECIFIED),
        ("::1/128", _LOOPBACK),
        ("fc00::/7", _PRIVATE),
        ("fe80::/10", _LINK_LOCAL),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", _MULTICAST),
        ("64:ff9b::/96", "a translated address (NAT64)"),
        ("64:ff9b:1::/48", "a translated address (NAT64)"),
        ("2002::/16", "a tunnelled address (6to4)"),
        ("2001::/32", "a tunnelled address (Teredo)"),
        ("2001::/23", _RESERVED),
        ("2001:db8::/32", _DOCUMENTATION),
        ("3fff::/20", _DOCUMENTATION),
        ("2620:4f:8000::/48", _RESERVED),
    )
)

#: All of IPv6 that has been given out for the public.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

#: Where an IPv4 address stands in the bytes of an IPv6 one, by network.
_WRAPPED: Final = (
    (IPv6Network("64:ff9b::/96"), 12),
    (IPv6Network("64:ff9b:1::/48"), 12),
    (IPv6Network("::ffff:0:0:0/96"), 12),
    (IPv6Network("2002::/16"), 2),
    (IPv6Network("2001::/32"), 4),
)
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def judge(packed: bytes, reach: Reach = PUBLIC, *, named: bool = False) -> Verdict:
    """Whether the address of 4 or 16 bytes may be connected to. ValueError for other lengths.

    `named`: it belongs to a host that a person has opened by its name.
    """
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return judge(address.ipv4_mapped.packed, reach, named=named)
    if not any(address in network for network in reach.networks):
        kind = _kind(address)
        if kind and not (named and kind in _INNER):
            return Verdict(allowed=False, reason=kind)
    for inner in _wrapped(packed):
        verdict = judge(inner, reach, named=named)
        if not verdict.allowed:
            reason = f"an address that stands for {ip_address(inner)}, {verdict.reason}"
            return Verdict(allowed=False, reason=reason)
    return Verdict(allowed=True)


def _kind(address: IPv4Address | IPv6Address) -> str:
    """What makes the address no public one; empty if it is one."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return "an address outside of the public ones"
    return ""


def _wrapped(packed: bytes) -> Iterator[bytes]:
    """The IPv4 addresses that packets to this IPv6 address may end at."""
    if len(packed) != 16:
        return
    address = IPv6Address(packed)
    for network, start in _WRAPPED:
        if address in network:
            yield packed[start : start + 4]
    if address in _TEREDO:
        yield bytes(byte ^ 0xFF for byte in packed[12:])
    if packed[8:12] in _ISATAP or (packed[:12] == bytes(12) and int(address) > 1):
        yield packed[12:]


def matches(host: str, pattern: str) -> bool:
    """`pattern` is a host, or `.suffix`: all hosts below it, and not itself."""
    return host.endswith(pattern) if pattern.startswith(".") else host == pattern
