"""Proxies before the node that it believes: who the client is, and whether it came by TLS.

Only what a trusted address says counts, since anybody can write these headers. Changes the
scope of a request, and nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.types import Scope

from turnstone.core.errors import ConfigurationError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """`trusted` are addresses and networks. Raises ConfigurationError for what is neither."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = [_network(text) for text in trusted]

    def seen_through(self, scope: Scope) -> Scope:
        """The scope as the proxy saw it: the last address that is none of ours, the scheme."""
        client = scope.get("client")
        if not self._networks or client is None or not self._trusts(client[0]):
            return scope
        headers = Headers(scope=scope)
        seen = dict(scope)
        scheme = headers.get("x-forwarded-proto", "").strip().lower()
        if scheme in ("http", "https"):
            seen["scheme"] = scheme
        chain = ",".join(headers.getlist("x-forwarded-for")).split(",")
        for named in reversed([address.strip() for address in chain if address.strip()]):
            if not _is_address(named):
                break
            seen["client"] = (named, 0)
            if not self._trusts(named):
                break
        return seen

    def _trusts(self, address: str) -> bool:
        if not _is_address(address):
            return False
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"server.trusted_proxies: {text!r} is no address and no network.",
            hint="Write addresses such as 127.0.0.1, and networks such as 10.0.0.0/8.",
        ) from None
