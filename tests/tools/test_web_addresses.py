"""The rule about addresses: bytes in, verdict out; and what a person can open."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.web_attacks import ADDRESSES
from turnstone.core.errors import BlockedDestination
from turnstone.tools.text import visible
from turnstone.tools.web.access import read_reach
from turnstone.tools.web.addresses import PORTS, PUBLIC, Reach, judge, matches
from turnstone.tools.web.urls import host_of, literal, parse, port_of

ALL = Reach(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
WRAPPINGS = {
    "mapped": lambda v4: bytes(10) + b"\xff\xff" + v4,
    "compatible": lambda v4: bytes(12) + v4,
    "translated": lambda v4: bytes(8) + b"\xff\xff\0\0" + v4,
    "NAT64": lambda v4: bytes.fromhex("0064ff9b") + bytes(8) + v4,
    "local NAT64": lambda v4: bytes.fromhex("0064ff9b0001") + bytes(6) + v4,
    "6to4": lambda v4: b"\x20\x02" + v4 + bytes(10),
    "Teredo server": lambda v4: b"\x20\x01\0\0" + v4 + bytes(4) + b"\x77" * 4,
    "Teredo client": lambda v4: b"\x20\x01\0\0" + bytes([8] * 4 + [0] * 4) + flipped(v4),
    "ISATAP": lambda v4: bytes.fromhex("260647000000000000005efe") + v4,
}


def flipped(v4: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in v4)


def allowed(address: str, reach: Reach = PUBLIC, *, named: bool = False) -> bool:
    return judge(ip_address(address).packed, reach, named=named).allowed


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_forbidden_address_is_allowed_and_the_reason_is_told(address: str) -> None:
    verdict = judge(ip_address(address).packed)

    assert not verdict.allowed
    assert ADDRESSES[address] in verdict.reason


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 8.8.8.8 93.184.215.14 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.1.0.1 "
    "223.255.255.255 2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 "
    "::ffff:8.8.8.8 2606:4700::5efe:808:808".split(),
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert allowed(address)


@given(st.binary(min_size=4, max_size=4), st.sampled_from(sorted(WRAPPINGS)))
def test_no_wrapping_makes_a_forbidden_address_allowed(v4: bytes, wrapping: str) -> None:
    wrapped = judge(WRAPPINGS[wrapping](v4))
    if not judge(v4).allowed:
        assert not wrapped.allowed
        everything_of_v6 = Reach(networks=(ip_network("::/0"),))
        if int(IPv4Address(v4)) > 1 or wrapping != "compatible":  # :: and ::1 are no wrappings
            assert not judge(WRAPPINGS[wrapping](v4), everything_of_v6).allowed


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_whatever_is_allowed_is_global_to_the_standard_library_too(packed: bytes) -> None:
    address = ip_address(packed)
    verdict = judge(packed)

    assert bool(verdict.reason) is not verdict.allowed
    assert judge(packed, ALL).allowed
    if verdict.allowed:
        real = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
        assert real.is_global
        assert not (real.is_multicast or real.is_reserved or real.is_unspecified)


def test_the_standard_library_alone_would_let_these_through() -> None:
    let_through = [a for a in ADDRESSES if ip_address(a).is_global]

    assert {"168.63.129.16", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1"} <= set(let_through)


def test_a_network_opens_what_is_in_it_and_nothing_else() -> None:
    reach = read_reach(["10.1.0.0/16", "169.254.169.254", "::1", "64:ff9b::/96"], ["80"])

    for address in ("10.1.2.3", "169.254.169.254", "::1", "::ffff:10.1.2.3", "64:ff9b::808:808"):
        assert allowed(address, reach)
    for address in ("10.2.0.1", "169.254.169.253", "127.0.0.1", "64:ff9b::7f00:1", "::2"):
        assert not allowed(address, reach)


def test_a_named_host_may_be_inner_and_nothing_worse() -> None:
    for address in ("10.0.0.1", "127.0.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"):
        assert allowed(address, named=True)
    for address in ("169.254.169.254", "100.100.100.200", "fe80::1", "224.0.0.1", "0.0.0.0"):
        assert not allowed(address, named=True)


@pytest.mark.parametrize(
    ("host", "pattern", "same"),
    [
        ("wiki.lan", "wiki.lan", True),
        ("a.wiki.lan", "wiki.lan", False),
        ("a.wiki.lan", ".wiki.lan", True),
        ("wiki.lan", ".wiki.lan", False),
        ("evilwiki.lan", ".wiki.lan", False),
        ("wiki.lan.evil", "wiki.lan", False),
        ("wiki.lan.evil", ".lan", False),
    ],
)
def test_hosts_are_compared_whole_or_by_their_end(host: str, pattern: str, same: bool) -> None:
    assert matches(host, pattern) is same


def test_what_a_person_writes_is_read() -> None:
    reach = read_reach(["Wiki.LAN.", ".intern", "10.0.0.0/8", "[fd00::1]", "büro.lan"], ["443"])

    assert reach.hosts == ("wiki.lan", ".intern", "xn--bro-hoa.lan")
    assert [str(network) for network in reach.networks] == ["10.0.0.0/8", "fd00::1/128"]
    assert reach.ports == {443}
    assert read_reach([], ["80", "443", "8080", "8443"]).ports == PORTS


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("10.0.0.1/8", "host bits set"),
        ("300.1.1.1", "does not appear to be"),
        ("127.1", "does not appear to be"),
        ("wiki lan", "it must be a network"),
        ("http://wiki.lan", "does not appear to be"),
        ("*.lan", "it must be a network"),
        (".", "it must be a network"),
    ],
)
def test_what_cannot_be_read_is_told(entry: str, said: str) -> None:
    with pytest.raises(
        ValueError, match=f"allow_private has {entry!r}".replace("*", r"\*")
    ) as told:
        read_reach([entry], [])
    assert said in str(told.value)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "8O", "８０"])
def test_a_port_is_a_number_of_a_port(port: str) -> None:
    with pytest.raises(ValueError, match="ports has"):
        read_reach([], [port])


#: Pieces of which misleading addresses are made.
_PIECES = st.sampled_from(
    "http:// https:// // / \\ @ : # ? % %00 %2f .. . [ ] :: ::1 127.0.0.1 0x7f 2130706433 "
    "good.example :80 :22 user:pass ① 。 ü \u200b \u202e \r\n \t ; & = -".split(" ")
)


@settings(max_examples=300)
@given(st.lists(_PIECES | st.text(max_size=3), max_size=10).map("".join))
def test_any_text_is_refused_in_words_or_names_one_plain_host(text: str) -> None:
    try:
        url = parse(f"http://{text}", PUBLIC)
    except BlockedDestination as refused:
        assert visible(str(refused)) == str(refused)
        return
    host = host_of(url)
    assert re.fullmatch(r"[a-z0-9_.:-]+", host)
    assert port_of(url) in PORTS
    assert not url.userinfo
    assert url.scheme in ("http", "https")
    address = literal(host)
    assert address is None or judge(address.packed).allowed
    # What is shown, hashed and fetched is read again as the same.
    assert parse(str(url), PUBLIC) == url
