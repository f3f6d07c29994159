"""A Redis for benchmarks: a `redis-server` of its own, which keeps nothing on disk."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from turnstone.mq.connection import RedisAddress

#: Seconds for it to take connections.
_PATIENCE = 10.0


@contextmanager
def redis_process() -> Iterator[RedisAddress]:
    """Start one; yields where it is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait(port)
            yield RedisAddress(host="127.0.0.1", port=port)
        finally:
            process.terminate()


def _wait(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
