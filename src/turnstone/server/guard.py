"""What holds for every request before anybody looks at who sends it.

It came to a name of ours (against DNS rebinding), a page that makes it is ours (against
forged requests), and what goes back cannot be framed, sniffed or scripted. Decides nothing
about tokens.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnstone.api.problems import ForeignHost, ForeignOrigin

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types dompurify turnstone"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), "
        "display-capture=(), clipboard-write=(self)"
    ),
}


class AllowedHosts:
    """The names under which this node may be spoken to, by the `Host` header."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = _LOOPBACK | {name.lower().strip("[]") for name in names}
        self._addresses = False

    def listen_on(self, address: str) -> None:
        """Allow what a server that listens there is called by.

        Off loopback that is any address as well: a page cannot make a browser say an address
        that it did not come from, so only names can be rebound.
        """
        self._names |= {address.lower().strip("[]")}
        if not is_loopback(address):
            self._addresses = True
            self._names |= {socket.gethostname().lower()}

    def check(self, headers: Headers) -> None:
        """Raises ForeignHost."""
        given = headers.getlist("host")
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        name = match[1].lower().strip("[]") if match else ""
        if name in self._names or (self._addresses and _is_address(name)):
            return
        raise ForeignHost(
            f"This node is not reached under the name {name or 'given'}.",
            hint="Use its address, or add the name to [server] allowed_hosts.",
        )


def check_origin(headers: Headers) -> None:
    """Raises ForeignOrigin if a browser says that a page of somebody else makes this request.

    Programs send neither header, and prove themselves by a token that no browser adds.
    """
    site = headers.get("sec-fetch-site", "none").lower()
    origins = headers.getlist("origin")
    ours = all(_netloc(origin) == headers.get("host", "").lower() for origin in origins)
    if ours and site in ("same-origin", "none"):
        return
    raise ForeignOrigin(
        "This request was made by a page of another site, and was not carried out.",
        hint="Open the page of this node itself.",
    )


def secured(app: ASGIApp) -> ASGIApp:
    """The same app, with the security headers on every answer."""

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await app(scope, receive, sender)

    return with_headers


def is_loopback(address: str) -> bool:
    """Whether what listens there can be reached from this machine only."""
    bare = address.strip("[]")
    if bare.lower() == "localhost":
        return True
    return _is_address(bare) and ipaddress.ip_address(bare).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None for `null` and whatever else is none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
