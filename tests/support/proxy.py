"""A TCP proxy that can lose replies: what the server has done, its client never learns. It can
lose commands too: then there is nothing that was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes both ways until `lose` is called; then the next reply, and its connection,
    are gone, while the command before it was carried out."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.lost = 0  # replies, so far
        self._upstream = (host, port)
        self._losing = 0
        self._wanted = b""
        self._told = b""
        self._arrives = True
        self._after = b""
        self._moves = asyncio.Event()
        self._moves.set()

    def stand_still(self) -> None:
        """Pass nothing on until `move`; connections are taken, and stay."""
        self._moves.clear()

    def move(self) -> None:
        self._moves.set()

    def lose(
        self,
        replies: int = 1,
        *,
        to: bytes = b"",
        told: bytes = b"",
        after: bytes = b"",
        arrives: bool = True,
    ) -> None:
        """Lose the next replies: `to` commands that contain these bytes only, and only where these
        are `told` in them; and none before a command came that contains those of `after`. Where
        none of these commands `arrives`, they are lost themselves."""
        self._losing = replies
        self._told = told
        self._wanted = to
        self._after = after
        self._arrives = arrives

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        asked = bytearray()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._there(reader, up_writer, asked))
                group.create_task(self._back(up_reader, writer, asked))
        except* _Cut:
            pass
        finally:
            writer.close()
            up_writer.close()

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytearray
    ) -> None:
        while data := await _some(reader):
            asked += data
            if self._after in data:
                self._after = b""
            if not self._arrives:
                self._cut(asked, self._told)
            await self._moves.wait()
            writer.write(data)
        raise _Cut

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytearray
    ) -> None:
        while data := await _some(reader):
            self._cut(asked, data)
            asked.clear()
            await self._moves.wait()
            writer.write(data)
        raise _Cut

    def _cut(self, asked: bytearray, reply: bytes) -> None:
        if not self._losing or self._after:
            return
        if self._wanted in asked and self._told in reply:
            self._losing -= 1
            self.lost += 1
            raise _Cut


class _Cut(Exception):
    """This connection ends here, in both directions."""


async def _some(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
