"""One base URL over httpx2: how it is checked, asked, read within limits, and shown to people.

Knows nothing of what is asked or answered. What it tells never holds a key or a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from oturn.errors import ConfigError, ModelError
from oturn.transport.failures import Hide

#: A server that is there accepts a connection at once; waiting longer only delays the message.
CONNECT_TIMEOUT = 10.0
#: How long an idle connection is kept. uvicorn (vLLM and many others) closes after 5 seconds; a
#: request sent into a connection that is just being closed would be lost.
KEEPALIVE_SECONDS = 3.0
#: After `[DONE]`, how long to wait for the end of the body, so that the connection can be reused.
DRAIN_SECONDS = 0.1
#: And how much is read for it: nothing of use follows.
DRAIN_BYTES = 64 * 1024
#: Comments keep a connection alive, for so many times the silence that is endured.
COMMENTS_FACTOR = 10
#: Requests that share a client. What its pool does for one request grows with its connections: it
#: asks each idle one whether it is still open, some 40 µs.
SHARE = 8
#: How much of a refusal is read: far more than is quoted, and no more than is worth holding.
MAX_ERROR_BYTES = 1024 * 1024
#: How OpenSSL says that a connection came about, and TLS did not.
_TLS = re.compile(r"\bSSL\b|\bTLS\b|CERTIFICATE_", re.IGNORECASE)
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED")


def checked(base_url: str) -> httpx2.URL:
    """The base URL, parsed. Raises ConfigError with an example of a right one."""
    try:
        url = httpx2.URL(base_url.strip())
    except (httpx2.InvalidURL, ValueError, TypeError) as problem:
        raise ConfigError(f"The base URL {base_url!r} is no URL: {problem}") from problem
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"The base URL {base_url!r} is no web address: "
            "write it like http://localhost:8000/v1, with http:// or https://."
        )
    if url.port is not None and not 0 < url.port < 1 << 16:
        raise ConfigError(
            f"The base URL {base_url!r} has the port {url.port}, and ports go from 1 to 65535."
        )
    try:
        url.host.encode("idna")
    except UnicodeError as problem:
        raise ConfigError(f"The base URL {base_url!r} names no host: {problem}") from problem
    return url


def checked_timeout(timeout: object) -> float | None:
    """Seconds of silence. Raises ConfigError for anything but a number above 0, or None."""
    if timeout is None or (isinstance(timeout, int | float) and timeout > 0):
        return timeout
    raise ConfigError(
        f"The timeout {timeout!r} is none: give seconds above 0, or None to wait without end."
    )


def path(base: httpx2.URL, name: str) -> str:
    """The path of a URL below the base."""
    return f"{base.path.rstrip('/')}/{name}"


def shown(base: httpx2.URL, name: str) -> str:
    """The address as shown to people: without query and credentials."""
    address = base.copy_with(userinfo=b"", path=path(base, name), query=None, fragment=None)
    return str(address)


def headers(api_key: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of every request. Raises ConfigError for one that cannot be sent."""
    # No compression: a proxy that compresses also holds back what has not filled its buffer.
    made = {"content-type": "application/json", "accept-encoding": "identity"}
    if api_key and api_key.strip():
        made["authorization"] = f"Bearer {api_key.strip()}"
    made.update(extra or {})
    for name, value in made.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(
                f"The header {name!r} (the API key, if it is 'authorization') holds characters "
                "that cannot be sent: use plain ASCII on one line."
            )
    return made


def new_client(base: httpx2.URL, timeout: float | None) -> httpx2.AsyncClient:
    """A client that endures `timeout` seconds of silence (None: any), and shorter to connect."""
    connect = CONNECT_TIMEOUT if timeout is None else min(timeout, CONNECT_TIMEOUT)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(timeout, connect=connect),
        limits=httpx2.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_SECONDS),
        verify=_tls(base.scheme),
    )


class Clients:
    """As many clients as `SHARE` requests each need; none is made before it is used.

    One that was idle as long as connections are kept is closed when another request ends.
    """

    def __init__(self, base: httpx2.URL, timeout: float | None) -> None:
        self._base, self._timeout = base, timeout
        self._free: list[_Shared] = []  # that can take one more: the last used last
        self._all: set[_Shared] = set()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client for one request."""
        if not self._free:
            made = _Shared(new_client(self._base, self._timeout))
            self._all.add(made)
            self._free.append(made)
        shared = self._free[-1]
        shared.requests += 1
        if shared.requests == SHARE:
            self._free.pop()
        try:
            yield shared.client
        finally:
            if shared.requests == SHARE:
                self._free.append(shared)
            shared.requests -= 1
            shared.used = time.monotonic()
            await self._close_unused()

    async def aclose(self) -> None:
        """Close them all."""
        for shared in self._all:
            await shared.client.aclose()
        self._all.clear()
        self._free.clear()

    async def _close_unused(self) -> None:
        limit = time.monotonic() - KEEPALIVE_SECONDS
        for shared in [one for one in self._free if not one.requests and one.used < limit]:
            self._free.remove(shared)
            self._all.remove(shared)
            await shared.client.aclose()


@dataclass(eq=False, slots=True)
class _Shared:
    client: httpx2.AsyncClient
    requests: int = 0
    used: float = 0.0  # on the monotonic clock: when its last request ended


@functools.cache
def _tls(scheme: str) -> ssl.SSLContext:
    """One for all clients: loading the certificates takes tens of milliseconds, each time.

    For plain http none are loaded; TLS with that context would trust nobody.
    """
    if scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.create_ssl_context()


def is_plain_json(response: httpx2.Response) -> bool:
    """Whether an answer came in one piece, and not as a stream."""
    return str(response.headers.get("content-type", "")).startswith("application/json")


def chunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The bytes of an answer as they come, undone of compression if there is any."""
    if "content-encoding" in response.headers or response.is_stream_consumed:
        return response.aiter_bytes()
    return response.aiter_raw()  # the same, with less to do for each chunk


async def read(response: httpx2.Response, limit: int) -> bytes:
    """The body; of a larger one than `limit` bytes, a beginning that is longer than `limit`."""
    body = bytearray()
    async with contextlib.aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                break
    return bytes(body)


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of a body, if that is near."""
    left = DRAIN_BYTES
    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return


class Silence:
    """How long a server has sent nothing but comments (`: ping`), by this clock.

    A silence of `timeout` seconds ends a request by itself. Comments say that an answer is still
    being made, and are believed COMMENTS_FACTOR times as long; with None for ever.
    """

    def __init__(self, timeout: float | None, clock: Callable[[], float]) -> None:
        self._limit = None if timeout is None else COMMENTS_FACTOR * timeout
        self._clock = clock
        self._heard = 0
        self._since: float | None = None

    def too_long(self, heard: int, url: str) -> ModelError | None:
        """To be asked after each piece, with the number of events so far."""
        if heard != self._heard or self._limit is None:
            self._heard, self._since = heard, None
            return None
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since <= self._limit:
            return None
        text = (
            f"{url} kept the connection alive for {self._limit:g} s and sent nothing of an answer: "
            "try again, or allow more time (timeout)."
        )
        return ModelError("timeout", text)


def retry_after(given: httpx2.Headers) -> float | None:
    """Seconds, from Azure's header or from a number or a date (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(given[name]) * unit)
        except (KeyError, ValueError):
            pass
    try:
        moment = parsedate_to_datetime(given.get("retry-after", ""))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def about_tls(problem: httpx2.HTTPError) -> bool:
    """Whether there is somebody, with whom no TLS connection can be made."""
    return isinstance(problem, httpx2.ConnectError) and _TLS.search(str(problem)) is not None


def broken(
    problem: httpx2.HTTPError, url: str, timeout: float | None, hide: Hide = str
) -> ModelError:
    """What it means that no answer came, or not all of it."""
    why = hide(str(problem)) or type(problem).__name__
    if about_tls(problem):
        if _UNTRUSTED.search(why):
            text = f"The certificate of {url} is not trusted ({why}): check the address in it."
        else:
            text = f"{url} answers, but not with TLS ({why}): try http:// in the base URL."
        return ModelError("unreachable", text)
    if isinstance(problem, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        text = f"Nothing answers at {url} ({why}): start the model server, or check the base URL."
        return ModelError("unreachable", text)
    if isinstance(problem, httpx2.TimeoutException):
        waited = "too long" if timeout is None else f"{timeout:g} s"
        text = f"{url} sent nothing for {waited}: try again, or allow more time (timeout)."
        return ModelError("timeout", text)
    text = f"The connection to {url} broke before the answer was whole ({why}): try again."
    return ModelError("broken", text)
