"""One base URL over httpx2: how it is checked, asked, read within limits, and shown to people.

Knows nothing of what is asked or answered. What it tells never holds a key or a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from oturn.errors import ConfigError, ModelError

#: A server that is there accepts a connection at once; waiting longer only delays the message.
CONNECT_TIMEOUT = 10.0
#: How long an idle connection is kept. uvicorn (vLLM and many others) closes after 5 seconds; a
#: request sent into a connection that is just being closed would be lost.
KEEPALIVE_SECONDS = 3.0
#: After `[DONE]`, how long to wait for the end of the body, so that the connection can be reused.
DRAIN_SECONDS = 0.1
#: And how much is read for it: nothing of use follows.
DRAIN_BYTES = 64 * 1024
#: How much of a refusal is read: far more than is quoted, and no more than is worth holding.
MAX_ERROR_BYTES = 1024 * 1024


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
    return url


def path(base: httpx2.URL, name: str) -> str:
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


@functools.cache
def _tls(scheme: str) -> ssl.SSLContext:
    """One for all clients: loading the certificates takes tens of milliseconds, each time.

    For plain http none are loaded; TLS with that context would trust nobody.
    """
    if scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx2.create_ssl_context()


def is_plain_json(response: httpx2.Response) -> bool:
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


def broken(problem: httpx2.HTTPError, url: str, timeout: float | None) -> ModelError:
    """What it means that no answer came, or not all of it."""
    why = str(problem) or type(problem).__name__
    if isinstance(problem, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        text = f"Nothing answers at {url} ({why}): start the model server, or check the base URL."
        return ModelError("unreachable", text)
    if isinstance(problem, httpx2.TimeoutException):
        waited = "too long" if timeout is None else f"{timeout:g} s"
        text = f"{url} sent nothing for {waited}: try again, or allow more time (timeout)."
        return ModelError("timeout", text)
    text = f"The connection to {url} broke before the answer was whole ({why}): try again."
    return ModelError("broken", text)
