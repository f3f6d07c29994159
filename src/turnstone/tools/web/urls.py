"""Addresses of pages: read strictly, so that a person sees where a request will go.

What a socket may connect to is judged elsewhere, by its bytes; nothing is resolved here. This
refuses spellings that exist to mislead, whatever they stand for.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import httpx2

from turnstone.core.errors import BlockedDestination
from turnstone.tools.text import visible
from turnstone.tools.web.addresses import Reach, judge

#: Characters of an address; some servers take no more than 8,000.
MAX_URL = 8_000

_START = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_AUTHORITY = re.compile(r"//(?P<authority>[^/?#]+)")
_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)
#: A host, and a port of digits. Other parsers find other hosts in what is not of this form.
_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:[0-9]{1,5})?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHOWN = 120


def parse(text: str, reach: Reach) -> httpx2.URL:
    """The address, without its fragment. BlockedDestination says what is wrong with it."""
    text = text.strip(" ")
    if len(text) > MAX_URL:
        raise BlockedDestination(
            f"The address has {len(text):,} characters; {MAX_URL:,} can be used."
        )
    _check_characters(text)
    scheme = _START.fullmatch(text)
    if scheme is None or scheme["scheme"].lower() not in _DEFAULT_PORTS:
        raise _blocked(text, "does not begin with http:// or https://")
    authority = _AUTHORITY.match(scheme["rest"])
    if authority is None:
        raise _blocked(text, "names no host")
    if "@" in authority["authority"]:
        raise _blocked(text, "has a user name or password in it")
    if "%" in authority["authority"]:
        raise _blocked(text, "has a % in the name of its host")
    if not _PORT.fullmatch(authority["authority"]):
        raise _blocked(text, "has a host or port of no valid form")
    try:
        url = httpx2.URL(text).copy_with(fragment=None)
        host = host_of(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise _blocked(text, "is not a valid one") from None
    _check_host(text, host, reach)
    port = port_of(url)
    if port not in reach.ports:
        listed = ", ".join(str(number) for number in sorted(reach.ports))
        raise _blocked(text, f"has the port {port}; those that may be used are {listed}")
    return url


def host_of(url: httpx2.URL) -> str:
    """The host in the one form that rules compare: ASCII, lower case, no dot at the end; of an
    IP address the shortest spelling, and IPv4 where it is that in the clothes of IPv6."""
    host = url.raw_host.decode("ascii").lower().removesuffix(".")
    address = literal(host)
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address)
    return host


def port_of(url: httpx2.URL) -> int:
    return url.port if url.port is not None else _DEFAULT_PORTS[url.scheme]


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is, if it is one and no name."""
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except AddressValueError:
        return None


def _check_characters(text: str) -> None:
    """Raises BlockedDestination for what no address holds, and parsers read differently."""
    for char in text:
        if char == "\\" or unicodedata.category(char)[0] in "CZ":
            raise _blocked(text, f"contains the character {visible(char)!r}, which no address has")


def _check_host(text: str, host: str, reach: Reach) -> None:
    address = literal(host)
    if address is not None:
        verdict = judge(address.packed, reach, named=reach.opens(host))
        if not verdict.allowed:
            raise blocked_address(str(address), verdict.reason)
    elif _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise _blocked(text, "has an IP address in an unusual form; write it as 93.184.215.14")
    elif not _NAME.fullmatch(host):
        raise _blocked(text, "has no valid name of a host")


def blocked_address(shown: str, reason: str) -> BlockedDestination:
    return BlockedDestination(
        f"{shown} is {reason}, which may not be fetched from.",
        hint="A person can open it with [web] allow_private.",
    )


def _blocked(text: str, why: str) -> BlockedDestination:
    shown = visible(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    return BlockedDestination(f"The address {shown} {why}.")
