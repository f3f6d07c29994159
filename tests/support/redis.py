"""A Redis for tests: a real `redis-server`, on a free port and a socket of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.needs import require
from turnstone.mq.connection import RedisAddress

#: Seconds for a server to come up, on a machine that is busy with other tests.
PATIENCE = 60.0

#: Attempts to get a free port: another process may take it between the look and the start.
_ATTEMPTS = 5


class RedisServer:
    """One server. `options` as on its command line; without `--appendonly yes` it keeps nothing."""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "redis.sock")

    @property
    def address(self) -> RedisAddress:
        """By its port, as programs of people reach it."""
        return RedisAddress(host="127.0.0.1", port=self.port)

    def client(self) -> redis.Redis:
        """A client of the test's own; close it."""
        return redis.Redis(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        """Start it (again, on the same port and folder) and wait until it answers."""
        again = self.port
        for _ in range(_ATTEMPTS):
            self._launch(again or free_port())
            if self._comes_up():
                return
        raise RuntimeError(f"redis-server does not start: {self._log()}")

    def pause(self) -> None:
        """It answers nobody, and its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self, port: int) -> None:
        self.port = port
        place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        quiet = ["--save", "", "--unixsocket", self.socket, "--logfile", "redis.log"]
        self._process = subprocess.Popen([require("redis-server"), *place, *quiet, *self.options])

    def _comes_up(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        once = Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=self.socket, retry=once) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    client.ping()
                    return True
                except redis.AuthenticationError:
                    return True
                except (redis.ConnectionError, redis.BusyLoadingError):
                    time.sleep(0.01)
        return False

    def _log(self) -> str:
        path = self.folder / "redis.log"
        return path.read_text()[-2_000:] if path.exists() else "it wrote no log"


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server that runs until the block ends."""
    server = RedisServer(*options)
    try:
        server.start()
        yield server
    finally:
        server.close()


def free_port() -> int:
    """Low enough for a cluster's second port, which is 10,000 higher."""
    port = 65_535
    while port > 55_535:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return port
