"""Turnstone's programs as real processes, in a home of their own. Ends what it starts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from turnstone.api.http_host import HttpHost
from turnstone.api.token import find_token

#: Seconds for a program to start or stop; more is a failure.
PATIENCE = 60.0

_URL = re.compile(r"http://127\.0\.0\.1:\d+")


class Server:
    """A `turnstone-server` (or `turnstone up`) that runs; `url` is where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home
        self.url = ""
        self.printed = ""

    @property
    def token(self) -> str:
        found = find_token(self.home / ".local/share/turnstone")
        assert found is not None, "the server has made no token"
        return found

    def client(self) -> HttpHost:
        return HttpHost(self.url, self.token)

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        await self._stop(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        return await self._stop(signal.SIGTERM)

    async def _stop(self, how: signal.Signals) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def server(
    home: Path, *arguments: str, program: str = "turnstone-server"
) -> AsyncIterator[Server]:
    """A server on a free port, with its settings, store and token below `home`."""
    process = await start(home, program, "--port", "0", *arguments)
    running = Server(process, home)
    try:
        await _until_listening(running)
        yield running
    finally:
        await running.kill()


async def start(
    home: Path, program: str, *arguments: str, cwd: Path | None = None, **variables: str
) -> asyncio.subprocess.Process:
    """A program of ours as a process, stdout and stderr as pipes."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    return await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name(program.split(maxsplit=1)[0]),
        *program.split()[1:],
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=cwd or home,
    )


async def run(
    home: Path, program: str, *arguments: str, cwd: Path | None = None, **variables: str
) -> tuple[int, str, str]:
    """Run a program of ours to its end: exit code, stdout, stderr."""
    process = await start(home, program, *arguments, cwd=cwd, **variables)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def _until_listening(running: Server) -> None:
    stdout = running.process.stdout
    stderr = running.process.stderr
    assert stdout is not None
    assert stderr is not None
    async with asyncio.timeout(PATIENCE):
        while "  store " not in running.printed:  # the last line of the greeting
            line = (await stdout.readline()).decode()
            if not line:
                complaint = (await stderr.read()).decode()
                raise AssertionError(f"the server ended before it listened: {complaint}")
            running.printed += line
            found = _URL.search(line)
            if found is not None and not running.url:
                running.url = found[0]
