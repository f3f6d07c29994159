"""A model for benchmarks, in a process of its own: every answer is N tokens, one each T ms.

    python modelprocess.py TOKENS MILLISECONDS [plain|stamped|markdown]

Prints its port. Stamped, a token is the time at which it was sent, in ns of the machine's monotonic
clock, which all processes share. In Markdown, tokens are those of a text with headings, lists,
tables and code, over and over. Speaks just enough chat-completions over HTTP/1.1 to be asked by a node, and
costs as little as it can, so that what is measured beside it is the node.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, repeat
from typing import Literal

Kind = Literal["plain", "stamped", "markdown"]

_TEXT = """## What the log says

The *first* service to fail was **billing**, at `12:04:09`; see [the notes](https://example.org/n).
It had asked for room on the disk three times before, and nobody had looked. All that came after
followed from it: mail could not be sent, the nightly report was not written, and two jobs waited.

| Service | Failed at | Cause |
| --- | --- | --- |
| billing | 12:04:09 | no room on the disk |
| mail | 12:05:40 | billing did not answer |

1. Free some room:
   - old logs in `/var/log`
   - images that nothing uses
2. Start it again, and look whether it stays.

```python
def restart(name: str, patience: float = 10.0) -> None:
    for attempt in range(3):
        print(f"restarting {name}, attempt {attempt}")
        if started(name, patience):
            return
    raise RuntimeError(f"{name} does not start")
```

> It is the second time this month. A limit for the logs would have been enough."""

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@contextmanager
def model_process(tokens: int, milliseconds: float, kind: Kind = "plain") -> Iterator[str]:
    """Start one; yields its base URL."""
    command = [sys.executable, __file__, str(tokens), str(milliseconds), kind]
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


def _pieces(kind: str) -> Iterator[bytes]:
    """Tokens as they are sent, without an end."""
    if kind == "plain":
        return repeat(_event({"content": "token "}))
    if kind == "stamped":
        return (_event({"content": f"{time.monotonic_ns()} "}) for _ in repeat(None))
    words = re.findall(r"\s*\S{1,6}", _TEXT)
    return cycle([*(_event({"content": word}) for word in words), _event({"content": "\n\n"})])


async def _answer(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tokens: int,
    pause: float,
    kind: str,
) -> None:
    last = _event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
            await reader.readexactly(length)
            writer.write(_HEAD + _event({"role": "assistant"}))
            loop = asyncio.get_running_loop()
            due = loop.time()
            pieces = _pieces(kind)
            for _ in range(tokens):
                due += pause
                await asyncio.sleep(max(0.0, due - loop.time()))
                writer.write(next(pieces))
            writer.write(last)
            await writer.drain()
    writer.close()


async def _serve(tokens: int, pause: float, kind: str = "plain") -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, tokens, pause, kind)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, *sys.argv[3:]))
