"""Requests to a node somewhere else: a row of the endpoint table, and what comes back.

Holds no state of the node. Errors come back as the classes that the node raised.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from turnstone.api.endpoints import BY_NAME
from turnstone.api.problems import not_a_node, read_error
from turnstone.core.errors import (
    ConfigurationError,
    InvalidRequest,
    NodeUnavailable,
    NotAuthenticated,
)

#: Seconds for one request, as the peers of 0.2 had it (contract, section 0.2), and for making
#: a connection, which is done sooner or not at all.
TIMEOUT = 30.0
CONNECT_TIMEOUT = 5.0

#: Where the token of a program is from, if it does not say.
_ARGUMENT = "the argument token"

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)


class HttpCalls:
    """The part of `HttpHost` that talks: one client, and no row of the table."""

    def __init__(
        self, base_url: str, token: str | None = None, *, token_from: str = _ARGUMENT
    ) -> None:
        url = _checked(base_url)
        headers = [(b"authorization", _bearer(token, token_from))] if token else []
        self._token_from = token_from if token else ""
        self.base_url = base_url.rstrip("/")
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
            # Streams are long, and there may be one for each of many workstreams.
            limits=httpx2.Limits(max_connections=None),
            # A proxy for the world outside has nothing to say about this machine.
            trust_env=not _is_loopback(url.host),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _call(
        self,
        name: str,
        reply: type[ReplyT],
        body: msgspec.Struct | None = None,
        *,
        query: dict[str, str] | None = None,
        again: bool = False,
        **places: str,
    ) -> ReplyT:
        """`places`: what stands in the path, by its name there. `again`: the node takes the same request twice
        for one."""
        try:
            response = await self._request(name, body, query, **places)
        except _Interrupted:
            if not again:
                raise
            response = await self._request(name, body, query, **places)
        return decoded(response, reply, self.base_url)

    async def _request(
        self,
        row: str,
        body: msgspec.Struct | None,
        query: dict[str, str] | None = None,
        **places: str,
    ) -> httpx2.Response:
        endpoint = BY_NAME[row]
        path = endpoint.path.format_map({key: quote(text, safe="") for key, text in places.items()})
        _check_text(query or {})
        if body is not None:
            _check_text(msgspec.structs.asdict(body))
        content = msgspec.json.encode(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            response = await self._client.request(
                endpoint.method, path, content=content, headers=headers, params=query
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NodeUnavailable(
                f"No node answers at {self.base_url} ({_reason(error)}).",
                hint="Start one with turnstone-server, or give the address of one that runs.",
            ) from error
        except httpx2.TransportError as error:
            raise _Interrupted(
                f"The node at {self.base_url} did not answer: {_reason(error)}.",
                hint="It may be stopping, or very busy. Try again.",
            ) from error
        if response.status_code == 401:
            raise self._stranger()
        if response.status_code != 200:
            raise read_error(response.status_code, response.content, self.base_url)
        return response

    def _stranger(self) -> NotAuthenticated:
        if not self._token_from:
            return NotAuthenticated(
                f"The node at {self.base_url} asks for a token, and none was given.",
                hint="The node's own lies in a file beside its store, which its start names.",
            )
        return NotAuthenticated(
            f"The node at {self.base_url} does not know the token from {self._token_from}.",
            hint="Put one there that the node knows.",
        )


class _Interrupted(NodeUnavailable):
    """The request may have reached the node, or not."""


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def half_of_a_pair(field: str, value: object) -> str:
    """Why this value, or one of its list, is no text that can be sent; empty if it is one."""
    for text in value if isinstance(value, list) else [value]:
        try:
            str(text).encode()
        except UnicodeEncodeError as error:
            return (
                f"{field}: at character {error.start + 1} it has half of a surrogate pair, which"
                ' is no text. If it is from a file, decode that with errors="replace".'
            )
    return ""


def _check_text(fields: Mapping[str, object]) -> None:
    """Raises InvalidRequest for what no request can carry."""
    for field, value in fields.items():
        parts = value if isinstance(value, list) else []
        for n, part in enumerate(parts):
            if isinstance(part, msgspec.Struct):
                inner = msgspec.structs.asdict(part)
                _check_text({f"{field}[{n}].{name}": text for name, text in inner.items()})
        texts = [part for part in [value, *parts] if isinstance(part, str)]
        if problem := half_of_a_pair(field, texts):
            raise InvalidRequest(problem)


def decoded(response: httpx2.Response, reply: type[ReplyT], where: str) -> ReplyT:
    try:
        return msgspec.json.decode(response.content, type=reply)
    except msgspec.DecodeError as error:
        raise not_a_node(where, f"it sends no {reply.__name__}: {error}") from error


def object_of(response: httpx2.Response, where: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise not_a_node(where, "its /health is no JSON object") from error


def _bearer(token: str, where: str) -> bytes:
    if not token.strip().isprintable() or not token.strip():
        raise ConfigurationError(
            f"The token from {where} has characters that no token has.",
            hint="Look there for a line break.",
        )
    return b"Bearer " + token.strip().encode()


def _checked(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise _no_url(base_url) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise _no_url(base_url)
    return url


def _no_url(base_url: str) -> ConfigurationError:
    return ConfigurationError(
        f"{base_url!r} is not the address of a node.", hint="It looks like http://127.0.0.1:8080."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
