"""A network that fails: a TCP proxy that cuts every connection after so many bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def cutting_proxy(port: int, cut_after: Callable[[int], int]) -> AsyncIterator[str]:
    """The URL of a proxy for the server on `port` of this machine.

    `cut_after(number)` says how many bytes of the answers the connection of this number
    (from 0) lets through; then it is torn down, both ways.
    """
    running: set[asyncio.Task[None]] = set()
    closing = asyncio.Event()
    numbers = iter(range(1_000_000))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        there = asyncio.create_task(_pump(reader, up_writer, 1 << 40))
        back = asyncio.create_task(_pump(up_reader, writer, cut_after(next(numbers))))
        stop = asyncio.create_task(closing.wait())
        await asyncio.wait({there, back, stop}, return_when=asyncio.FIRST_COMPLETED)
        for one in (there, back, stop):
            one.cancel()
        await asyncio.wait({there, back, stop})
        for end in (writer, up_writer):
            end.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        closing.set()
        if running:
            await asyncio.wait(running)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int) -> None:
    try:
        while budget > 0 and (piece := await reader.read(min(budget, 65536))):
            budget -= len(piece)
            writer.write(piece)
            await writer.drain()
    except OSError:
        return
