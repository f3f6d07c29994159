"""What the web tools of a node have to work with. Data, and the reading of [web]."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from turnstone.tools.web.addresses import PUBLIC, Network, Reach
from turnstone.tools.web.services import SearchService

_HOST = re.compile(r"\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9.]+(/.*)?")
_RIGHT = (
    "it must be a network as 10.0.0.0/8, an address, a host as wiki.lan, or .lan for all hosts"
    " below it."
)
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class WebAccess:
    reach: Reach = PUBLIC
    service: SearchService | None = None  # searches


def read_reach(allowed: Iterable[str], ports: Iterable[str]) -> Reach:
    """[web] allow_private and ports. ValueError with a sentence that begins with the key."""
    networks: list[Network] = []
    hosts: list[str] = []
    for entry in allowed:
        network = _network(entry)
        if network is not None:
            networks.append(network)
        else:
            hosts.append(_host(entry))
    return Reach(frozenset(map(_port, ports)), tuple(networks), tuple(hosts))


def _network(entry: str) -> Network | None:
    """None for what is written as the name of a host."""
    if ":" not in entry and not _NUMBER.fullmatch(entry):
        return None
    try:
        return ip_network(entry.strip("[]"))
    except ValueError as error:
        raise ValueError(f"allow_private has {entry!r} ({error}); {_RIGHT}") from None


def _host(entry: str) -> str:
    try:
        name = (
            entry.lower().encode("idna").decode("ascii") if not entry.isascii() else entry.lower()
        )
    except UnicodeError:
        name = ""
    name = name.removesuffix(".")
    if not _HOST.fullmatch(name):
        raise ValueError(f"allow_private has {entry!r}; {_RIGHT}")
    return name


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65_536:
        raise ValueError(f"ports has {text!r}; a port is a number from 1 to 65535.")
    return int(text)
