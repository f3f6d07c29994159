"""A PostgreSQL for tests: a real server, in a folder and on a socket of its own.

It refuses to run as root; a test that does so starts it as the user `postgres`, or `nobody`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from support.needs import give_up

#: Seconds for a server to come up, on a machine that is busy with other tests.
PATIENCE = 60.0


class PostgresServer:
    """One server, which listens on a socket in its folder, and on a port of 127.0.0.1."""

    def __init__(self) -> None:
        self._bin = _binaries()
        # Not below pytest's own folders, which the server's user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        user = _user()
        self._uid = None if user is None else user.pw_uid
        self._gid = None if user is None else user.pw_gid
        self._numbers = itertools.count(1)
        if self._uid is not None and self._gid is not None:
            os.chown(self.folder, self._uid, self._gid)
        self._start("initdb", "-D", self.data, "-U", "tester", "-A", "trust", "-E", "UTF8", "-N")
        if self._ended():
            raise RuntimeError(f"initdb fails: {self._log()}")

    @property
    def url(self) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"{self.url}/{name}"

    def start(self) -> None:
        """Start it (again, with the data that it has), and wait until it answers."""
        place = ["-D", str(self.data), "-k", str(self.folder), "-p", str(self.port)]
        limits = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=40"]
        process = self._start("postgres", *place, *limits)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(f"{self.url}/postgres", connect_timeout=5).close()
                return
            time.sleep(0.02)
        raise RuntimeError(f"postgres does not start: {self._log()}")

    def stop(self) -> None:
        """Stop it at once, as a machine does that loses its power; sessions end in the middle."""
        if self._process is not None:
            # Its children end with it, which a kill -9 would leave behind.
            self._process.send_signal(signal.SIGQUIT)
            self._ended()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._bin / program, *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
                user=self._uid,
                group=self._gid,
            )
        return self._process

    def _ended(self) -> int:
        """Wait for the process's end; its exit code."""
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-2_000:]


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs until the block ends."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


def waits(url: str, how: str) -> bool:
    """Whether another session of the database is in this state, or waits for this."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND %s IN (state, wait_event_type) AND query LIKE '%%FOR UPDATE'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        [count] = connection.execute(sql, (how,)).fetchone() or (0,)
    return bool(count)


def _binaries() -> Path:
    """Debian keeps them off the PATH, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if found:
        return found[-1].parent
    if on_path is None:
        give_up("postgres is not installed (Debian: apt-get install postgresql)")
    return Path(on_path).parent


def _user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    give_up("there is no user that PostgreSQL could run as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
