"""JSON answers packed for clients that take gzip. Streams, and what is small, pass as they are."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnstone.server import encoding

#: Bytes from which packing is done beside the event loop: it takes a millisecond or more.
_LARGE = 64 * 1024


def packing(app: ASGIApp) -> ASGIApp:
    """The same app, with large JSON answers compressed."""

    async def packed(scope: Scope, receive: Receive, send: Send) -> None:
        accepted = encoding.accepts_gzip(Headers(scope=scope).get("accept-encoding", ""))
        await app(scope, receive, _Packer(send, accepted=accepted))

    return packed


class _Packer:
    def __init__(self, send: Send, *, accepted: bool) -> None:
        self._send = send
        self._accepted = accepted
        self._held: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_plain_json(message):
            self._held = message
            return
        held, self._held = self._held, None
        if held is not None:
            message = await self._packed(held, message)
            await self._send(held)
        await self._send(message)

    async def _packed(self, start: Message, body: Message) -> Message:
        content = body.get("body", b"")
        if body.get("more_body", False) or len(content) < encoding.WORTH:
            return body
        headers = MutableHeaders(scope=start)
        headers.add_vary_header("Accept-Encoding")
        if not self._accepted:
            return body
        if len(content) < _LARGE:
            content = encoding.compressed(content)
        else:
            content = await asyncio.to_thread(encoding.compressed, content)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(content))
        return {**body, "body": content}


def _is_plain_json(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    return (
        start["status"] != 304
        and headers.get("content-type") == "application/json"
        and "content-encoding" not in headers
        and "content-range" not in headers
    )
