"""Nodes with queue workers as processes of their own, forked from one that has imported all.

So a life costs a fork. `python -m support.queue_farm` reads orders (`Order`) as lines of JSON and
has one thread; `Farm` is how a test sees it. Nothing in a node knows that it is watched: what is
done to one is done from outside, or by its tool, its store and its host, which are the test's.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import msgspec

from support.queue_life import Order, live

#: Seconds for a node to be ready, or gone; more is a failure.
PATIENCE = 40.0

_PR_SET_PDEATHSIG = 1


class Process:
    """One node (or bridge) that was forked. It may die at any moment, and that is no failure."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.descriptor = -1  # of the process, whoever has its number by now
        self._began: Future[None] = Future()
        self._ready: Future[None] = Future()
        self.rests = False
        self.answers = -1  # of a client: how many were right

    def told(self, word: str, number: int) -> None:
        match word:
            case "pid":
                with suppress(ProcessLookupError):
                    self.descriptor = os.pidfd_open(number)
                self._began.set_result(None)
            case "ready":
                self._ready.set_result(None)
            case "rests":
                self.rests = bool(number)
            case "answers":
                self.answers = number

    async def began(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wrap_future(self._began)

    async def ready(self) -> None:
        """Wait until its worker takes work. Raises AssertionError if it dies before that."""
        wanted = asyncio.create_task(_of(self._ready))
        dead = asyncio.create_task(self.gone())
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait({wanted, dead}, return_when=asyncio.FIRST_COMPLETED)
            assert self._ready.done(), f"it died early: {self.log()}"
        finally:
            wanted.cancel()
            dead.cancel()
            await asyncio.gather(wanted, dead, return_exceptions=True)

    @property
    def alive(self) -> bool:
        return self._began.done() and self.descriptor >= 0 and not _ended(self.descriptor)

    def signal(self, number: signal.Signals) -> None:
        """Send it this signal, if it still lives."""
        if self.descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    async def gone(self) -> None:
        """Wait for its death."""
        await self.began()
        while self.alive:
            await asyncio.sleep(0.005)  # the process is the state that is waited for

    async def at_rest(self) -> None:
        """Wait until it says, from now on, that none of its workstreams is at work."""
        self.rests = False
        async with asyncio.timeout(PATIENCE):
            while not self.rests:
                await asyncio.sleep(0.01)  # the node is the state that is waited for

    async def end(self) -> None:
        self.kill()
        async with asyncio.timeout(PATIENCE):
            await self.gone()

    def log(self) -> str:
        path = Path(self.order.folder) / "node.log"
        return path.read_text(errors="replace")[-4_000:] if path.exists() else ""


async def _of(future: Future[None]) -> None:
    await asyncio.wrap_future(future)


def _ended(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


class Farm:
    """Starts nodes. Use `farm`."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        self._program = program
        self._numbers = count()
        self._processes: dict[int, Process] = {}
        assert program.stdout is not None
        threading.Thread(target=self._listen, args=(program.stdout,), daemon=True).start()

    async def start(self, order: Order) -> Process:
        """A process that was just begun; wait for what of it is needed."""
        number = next(self._numbers)
        process = self._processes[number] = Process(order)
        assert self._program.stdin is not None
        line = {"number": number, "order": msgspec.to_builtins(order)}
        self._program.stdin.write(json.dumps(line).encode() + b"\n")
        self._program.stdin.flush()
        await process.began()
        return process

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            if process.descriptor >= 0:
                os.close(process.descriptor)
                process.descriptor = -1

    def _listen(self, stdout: IO[bytes]) -> None:
        for line in stdout:
            told = json.loads(line)
            self._processes[told["number"]].told(told["word"], told["value"])


@contextmanager
def farm() -> Iterator[Farm]:
    """A farm until the block ends, and all its processes with it."""
    program = subprocess.Popen(
        [sys.executable, "-m", "support.queue_farm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with program:
        here = Farm(program)
        try:
            yield here
        finally:
            here.close()
            program.kill()


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need not be waited for
    for line in sys.stdin.buffer:
        wanted: dict[str, Any] = json.loads(line)
        number = wanted["number"]
        child = os.fork()
        if child == 0:
            _be(number, msgspec.convert(wanted["order"], Order))
        _tell(number, "pid", child)


def _be(number: int, order: Order) -> None:
    """In the child. Never returns."""
    code = 70
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        Path(order.folder).mkdir(parents=True, exist_ok=True)
        log = os.open(
            Path(order.folder) / "node.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        live(order, lambda word, value: _tell(number, word, value))
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell(number: int, word: str, value: int) -> None:
    line = json.dumps({"number": number, "word": word, "value": value})
    os.write(1, line.encode() + b"\n")  # at once, so that lines of two processes do not mix


if __name__ == "__main__":
    main()
