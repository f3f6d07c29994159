"""A model for benchmarks, in a process of its own: every answer is N tokens, one each T ms.

    python modelprocess.py TOKENS MILLISECONDS [stamped]

Prints its port. Stamped, a token is the time at which it was sent, in ns of the machine's monotonic
clock, which all processes share. Speaks just enough chat-completions over HTTP/1.1 to be asked by a node, and
costs as little as it can, so that what is measured beside it is the node.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@contextmanager
def model_process(tokens: int, milliseconds: float, *, stamped: bool = False) -> Iterator[str]:
    """Start one; yields its base URL."""
    command = [sys.executable, __file__, str(tokens), str(milliseconds)]
    command += ["stamped"] if stamped else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def _chunk(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "model": "bench", "choices": [choice]}
    return _chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tokens: int,
    pause: float,
    stamped: bool,
) -> None:
    token = _event({"content": "token "})
    last = _event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            await reader.readexactly(length)
            writer.write(_HEAD + _event({"role": "assistant"}))
            loop = asyncio.get_running_loop()
            due = loop.time()
            for _ in range(tokens):
                due += pause
                await asyncio.sleep(max(0.0, due - loop.time()))
                writer.write(_event({"content": f"{time.monotonic_ns()} "}) if stamped else token)
            writer.write(last)
            await writer.drain()
    writer.close()


async def _serve(tokens: int, pause: float, stamped: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, tokens, pause, stamped)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, len(sys.argv) > 3))
