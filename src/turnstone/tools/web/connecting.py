"""One HTTP request to addresses that were checked: resolve once, judge all, connect to those.

The name is never resolved a second time, so an answer that changes cannot lead elsewhere. Uses
no proxy, sends no credentials, keeps no cookies and no connection. Follows no redirect.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from ipaddress import ip_address
from typing import Any, TypeAlias

import httpx2

from turnstone.core.errors import BlockedDestination
from turnstone.tools.web.addresses import Reach, judge
from turnstone.tools.web.urls import blocked_address, host_of, literal, port_of

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host, as texts. Raises OSError when it has none."""

#: Seconds for one address to take the connection, while there may be others.
CONNECT_TIMEOUT = 5.0

#: Addresses of one host that are tried.
_TRIED = 4

_HEADERS = {
    "User-Agent": "turnstone/1.0",
    "Accept": "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, "
    "application/xml;q=0.9, application/pdf;q=0.8, */*;q=0.1",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}


class Unreachable(Exception):
    """No connection, or one that broke; the text says why, in a few words."""


class NoAddress(Unreachable):
    """The name has none: nobody was asked for anything."""


#: Names that take for ever hold up other names, and nothing else that needs a thread.
_LOOKUPS = ThreadPoolExecutor(4, thread_name_prefix="names")


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


@cache
def _system_trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


class Connector:
    """Makes requests within `reach`. `trust` says which certificates are believed."""

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolver = resolve_by_system,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.reach = reach
        self._resolve = resolve
        self._trust = trust

    @asynccontextmanager
    async def get(self, url: httpx2.URL) -> AsyncIterator[httpx2.Response]:
        """The answer, its body unread and still encoded. `url` comes from `urls.parse`.

        Raises BlockedDestination before a byte is sent, Unreachable, and NoAddress of it.
        """
        addresses = await self._addresses(host_of(url), port_of(url))
        trust = self._trust or _system_trust()
        async with httpx2.AsyncHTTPTransport(
            verify=trust,
            limits=httpx2.Limits(max_keepalive_connections=0),
        ) as transport:
            response = await _first(transport, url, addresses)
            try:
                yield response
            except httpx2.HTTPError as error:
                raise Unreachable(_words(error)) from error
            finally:
                await response.aclose()

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Those of the host, each of them judged. One that may not be reached forbids them all."""
        fixed = literal(host)
        if fixed is not None:
            found: Sequence[str] = [str(fixed)]
        else:
            try:
                found = await self._resolve(host, port)
            except (OSError, UnicodeError) as error:
                raise NoAddress(f"the name {host} is not known ({error})") from error
        addresses = list(dict.fromkeys(found))
        if not addresses:
            raise NoAddress(f"the name {host} has no address")
        named = self.reach.opens(host)
        for address in addresses:
            verdict = judge(ip_address(address).packed, self.reach, named=named)
            if not verdict.allowed:
                shown = address if fixed is not None else f"{address}, the address of {host},"
                raise blocked_address(shown, verdict.reason)
        return addresses[:_TRIED]


async def _first(
    transport: httpx2.AsyncHTTPTransport, url: httpx2.URL, addresses: Sequence[str]
) -> httpx2.Response:
    """The answer of the first address that takes the connection."""
    problem: Exception | None = None
    for address in addresses:
        try:
            return await transport.handle_async_request(_request(url, address))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            problem = problem or error
        except httpx2.HTTPError as error:
            raise Unreachable(_words(error)) from error
    assert problem is not None
    raise Unreachable(_words(problem)) from problem


def _request(url: httpx2.URL, address: str) -> httpx2.Request:
    """`url`, asked of this address; name and certificate are those of the host all the same."""
    return httpx2.Request(
        "GET",
        url.copy_with(host=address),
        headers={"Host": url.netloc.decode("ascii"), **_HEADERS},
        extensions={
            "sni_hostname": host_of(url),
            "timeout": {"connect": CONNECT_TIMEOUT},
            "trace": _Peer(address),
        },
    )


class _Peer:
    """Looks, once a connection stands and before anything is sent, at whom it is with."""

    def __init__(self, address: str) -> None:
        self._address = ip_address(address)

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        if event != "connection.connect_tcp.complete":
            return
        stream = info["return_value"]
        peer = stream.get_extra_info("server_addr")
        if peer is None or ip_address(str(peer[0]).partition("%")[0]) != self._address:
            await stream.aclose()
            raise BlockedDestination(f"A connection to {self._address} led to {peer}.")


def _words(error: Exception) -> str:
    match error:
        case httpx2.ConnectTimeout():
            return "it does not take connections"
        case httpx2.TimeoutException():
            return "it does not answer"
        case _:
            return str(error) or type(error).__name__
