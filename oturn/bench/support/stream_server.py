"""A model server that streams prepared bytes, in a process of its own, as fast as it is read.

It decodes nothing but the length of a request and its model: "20000-events" asks for 20,000
chunks of text, each in an HTTP chunk of its own, as model servers send them; "-body" for the
same bytes without HTTP chunks; "-paced" for one write per chunk and a pause after it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator

#: Chunks a second of a paced stream: more than any model of today writes.
PACE = 1_000
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model": *"(\d+)-(\w+)"')
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@functools.cache
def events(count: int) -> tuple[bytes, ...]:
    """The whole stream: `count` chunks of text, the finish, the usage and `[DONE]`."""
    made = [_event([{"index": 0, "delta": {"content": ""}, "finish_reason": None}])]
    for number in range(count):
        delta = {"content": f" word{number % 1000}"}
        made.append(_event([{"index": 0, "delta": delta, "finish_reason": None}]))
    made.append(_event([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": count + 9}
    made.append(_event([], usage=usage))
    return (*made, b"data: [DONE]\n\n")


def _event(choices: list[object], **more: object) -> bytes:
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": choices,
        **more,
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def _response(count: int, form: str) -> bytes:
    if form == "body":
        body = b"".join(events(count))
        return _HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    chunked = b"transfer-encoding: chunked\r\n\r\n"
    if form == "paced":
        return _HEAD + chunked
    return _HEAD + chunked + b"".join(map(_http_chunk, events(count))) + b"0\r\n\r\n"


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while self._answer():
                pass

    def _answer(self) -> bool:
        length = 0
        while (line := self.rfile.readline().strip()) or not length:
            if not line:
                return False
            found = _LENGTH.match(line)
            length = int(found[1]) if found else length
        asked = _MODEL.search(self.rfile.read(length))
        assert asked is not None, "the model must be named like 20000-events"
        count, form = int(asked[1]), asked[2].decode()
        self.request.sendall(_response(count, form))
        if form == "paced":
            self._paced(events(count))
        return True

    def _paced(self, made: tuple[bytes, ...]) -> None:
        begun = time.monotonic()
        for number, event in enumerate(made):
            wait = begun + number / PACE - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.request.sendall(_http_chunk(event))
        self.request.sendall(b"0\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The base URL of a server that runs in another process until the block is left."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def main() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
