"""Fetches one page: checked addresses, redirects one by one, a limit on what is read.

Returns bytes and says what they are; decides nothing about their content, and runs nothing.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

import httpx2

from turnstone.core.errors import BlockedDestination
from turnstone.tools.web.addresses import PUBLIC, Reach
from turnstone.tools.web.connecting import Connector, Resolver, resolve_by_system
from turnstone.tools.web.content import Kind, kind_of
from turnstone.tools.web.urls import host_of, parse

#: Bytes of a page that are read, after decompression.
MAX_BODY = 10_000_000

MAX_REDIRECTS = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Bytes that are decompressed at a time.
_PIECE = 65_536
#: For zlib: expect the header of gzip.
_GZIP = 31


class FetchFailed(Exception):
    """There is no page; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Page:
    url: str  # where it was in the end
    kind: Kind
    charset: str  # as the server says it; may be empty, or nonsense
    body: bytes
    whole: bool  # not cut at the limit


class Fetcher:
    def __init__(
        self,
        reach: Reach = PUBLIC,
        *,
        resolve: Resolver = resolve_by_system,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.reach = reach
        self._connector = Connector(reach, resolve=resolve, trust=trust)

    async def get(self, address: str, *, hosts: Collection[str] | None = None) -> Page:
        """The page at this address. With `hosts`, redirects to any other host are not followed.

        Sets no time limit. Raises FetchFailed, `connecting.Unreachable` and BlockedDestination.
        """
        url = parse(address, self.reach)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._connector.get(url) as response:
                location = response.headers.get("location", "")
                if response.status_code not in _REDIRECTS or not location:
                    return await _page(url, response)
            target = self._redirected(url, location)
            if hosts is not None and host_of(target) not in hosts:
                raise FetchFailed(
                    f"{url} redirects to another host: {target}. It was not followed; fetch"
                    " that address if it is the right one."
                )
            url = target
        raise FetchFailed(f"{address} redirects more than {MAX_REDIRECTS} times.")

    def _redirected(self, url: httpx2.URL, location: str) -> httpx2.URL:
        try:
            target = parse(str(url.join(location)), self.reach)
        except httpx2.InvalidURL:
            raise BlockedDestination(f"{url} redirects to something that is no address.") from None
        if url.scheme == "https" and target.scheme == "http":
            raise BlockedDestination(f"{url} redirects from https to http: {target}.")
        return target


async def _page(url: httpx2.URL, response: httpx2.Response) -> Page:
    if response.status_code >= 300 or response.status_code < 200:
        reason = httpx2.codes.get_reason_phrase(response.status_code)
        raise FetchFailed(f"{url} answers with HTTP {response.status_code} {reason}".rstrip() + ".")
    kind, charset = kind_of(response.headers.get("content-type", ""))
    if kind is None:
        raise FetchFailed(
            f"{url} is of the type {response.headers['content-type'][:100]!r}, and holds no text."
        )
    body, whole = await _body(url, response)
    return Page(str(url), kind, charset, body, whole)


async def _body(url: httpx2.URL, response: httpx2.Response) -> tuple[bytes, bool]:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    pieces: AsyncGenerator[bytes] = _pieces(response)
    if encoding in ("gzip", "x-gzip"):
        pieces = _unzipped(pieces)
    elif encoding not in ("", "identity"):
        raise FetchFailed(
            f"{url} is compressed in a way that was not asked for: {encoding[:40]!r}."
        )
    body = bytearray()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                body += piece
                if len(body) > MAX_BODY:
                    return bytes(body[:MAX_BODY]), False
    except zlib.error:
        raise FetchFailed(f"{url} is compressed, and the compressed data is broken.") from None
    return bytes(body), True


async def _pieces(response: httpx2.Response) -> AsyncGenerator[bytes]:
    async for piece in response.aiter_raw():
        yield piece


async def _unzipped(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Never more at a time than a piece: a bomb goes off in small portions, and is stopped."""
    member = zlib.decompressobj(wbits=_GZIP)
    begun = False
    async with aclosing(pieces):
        async for piece in pieces:
            rest, begun = piece, True
            while rest:
                if member.eof:  # another gzip member follows the one that has ended
                    member = zlib.decompressobj(wbits=_GZIP)
                yield member.decompress(rest, _PIECE)
                rest = member.unused_data if member.eof else member.unconsumed_tail
    yield member.flush()
    if begun and not member.eof:
        raise zlib.error("the data ends too early")
