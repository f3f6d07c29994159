"""Bytes over a socket, for tests that send what no HTTP client would."""

from __future__ import annotations

import asyncio

PATIENCE = 60.0


async def exchange(port: int, *pieces: str | bytes, half_close: bool = False) -> tuple[str, bytes]:
    """The first answer's head and all that came behind it, to these pieces sent one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece if isinstance(piece, bytes) else piece.encode("latin-1"))
            await writer.drain()
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            read = await reader.read()
    finally:
        writer.close()
    head, _, rest = read.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest
