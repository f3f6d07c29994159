"""A gate between a process and its Redis, which knows each command and each script by its name.

At a command of a given name it can do something before that is passed on, or after Redis has
carried it out and before the reply is: kill the process, stop it, lose the reply. It changes
no byte of what it lets through.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

import redis as redis_py

from turnstone.mq.lua import Script, script

When = Literal["before", "after"]

#: Seconds for a trap to be sprung, on a machine that is busy with other tests.
PATIENCE = 60.0

#: Files of the scripts' folder that are parts of others.
_PARTS = {"prelude", "strays"}

#: Bytes of a command in which the type of an event is looked for.
_EVENT_FIELD = 3


@dataclass
class Trap:
    """What happens at the command number `number` of the name `step` that contains `about`; or,
    with `told`, at the first whose reply contains that.

    Its connection is cut, `before` the command is passed on or `after` it was carried out and
    without its reply; but where it is `kept`, it waits for that and is passed on then. `act` is
    called first.
    """

    step: str
    when: When = "before"
    number: int = 1
    about: bytes = b""
    told: bytes = b""
    act: Callable[[], object] = lambda: None
    kept: asyncio.Event | None = None
    sprung: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, command: Command, reply: bytes) -> bool:
        if command.name != self.step or self.sprung.is_set():
            return False
        if self.about not in command.raw or self.told not in reply:
            return False
        self.number -= 1
        return self.number == 0


@dataclass(frozen=True)
class Command:
    name: str
    raw: bytes


class Gate:
    """Where the process believes Redis to be: `port`. `passed` counts commands by their names."""

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.passed: Counter[str] = Counter()
        self._upstream = upstream
        self._traps: list[Trap] = []
        self._connections: set[asyncio.StreamWriter] = set()

    def set(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap

    async def sprung(self, trap: Trap) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await trap.sprung.wait()
        except TimeoutError:
            raise AssertionError(f"no {trap.step} came; there were {dict(self.passed)}") from None

    def cut(self) -> None:
        """Every connection that there is, without a word."""
        for writer in list(self._connections):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, up_writer}
        self._connections |= ends
        asked: deque[Command] = deque()
        there = asyncio.create_task(self._there(reader, up_writer, asked))
        back = asyncio.create_task(self._back(up_reader, writer, asked))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            self._connections -= ends
            for end in ends:
                end.transport.abort()

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[Command]
    ) -> None:
        """Returns when the connection is to end."""
        while raw := await _value(reader):
            command = Command(named(raw), raw)
            self.passed[command.name] += 1
            if await self._stops(command, "before", b""):
                return
            asked.append(command)
            writer.write(raw)
            await writer.drain()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[Command]
    ) -> None:
        while raw := await _value(reader):
            if await self._stops(asked.popleft(), "after", raw):
                return
            writer.write(raw)
            await writer.drain()

    async def _stops(self, command: Command, when: When, reply: bytes) -> bool:
        for trap in self._traps:
            if trap.when == when and trap.matches(command, reply):
                trap.act()
                trap.sprung.set()
                if trap.kept is None:
                    return True
                await trap.kept.wait()
        return False


@asynccontextmanager
async def gate_to(port: int) -> AsyncIterator[Gate]:
    """A gate before the Redis on this port of this machine, until the block ends."""
    gate = Gate(port)
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        await gate.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def load_scripts(port: int) -> None:
    """Give Redis all scripts, so that each is asked for once, and not again with its source."""
    with redis_py.Redis(host="127.0.0.1", port=port) as client:
        for name in scripts():
            client.script_load(script(name).source)


@cache
def scripts() -> dict[str, Script]:
    """All scripts that are run, by their names."""
    folder = files("turnstone.mq").joinpath("scripts")
    names = {file.name.removesuffix(".lua") for file in folder.iterdir() if ".lua" in file.name}
    return {name: script(name) for name in sorted(names - _PARTS)}


@cache
def _by_digest() -> dict[bytes, str]:
    return {one.sha.encode(): name for name, one in scripts().items()}


def named(raw: bytes) -> str:
    """What a command is called: a script by its file; `wait` and `held` with their lane, `emit`
    with the type of its event; any other by its first word."""
    parts = _parts(raw)
    word = parts[0].upper()
    if word == b"BLMOVE":
        return "wait shared" if parts[2].endswith(b":x:stage") else "wait directed"
    if word != b"EVALSHA":
        return word.decode().lower()
    name = _by_digest().get(parts[1], "unknown script")
    if name == "held":
        return "held shared" if b":x:ps:" in parts[3] else "held directed"
    if name == "emit":
        keys = int(parts[2])
        envelope = parts[3 + keys + _EVENT_FIELD]
        return f"emit {json.loads(envelope)['type']}"
    return name


def _parts(raw: bytes) -> list[bytes]:
    """The words of a command: an array of bulk strings, as clients send it."""
    found, at = [], raw.index(b"\r\n") + 2
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        length = int(raw[at + 1 : end])
        found.append(raw[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return found


async def _value(reader: asyncio.StreamReader) -> bytes:
    """The bytes of one value of the protocol; empty at the end of the connection."""
    try:
        raw = await reader.readuntil(b"\r\n")
        kind, size = raw[:1], raw[1:-2]
        if kind in b"$=!" and int(size) >= 0:
            raw += await reader.readexactly(int(size) + 2)
        elif kind in b"*~>%" and int(size) > 0:
            for _ in range(int(size) * (2 if kind == b"%" else 1)):
                raw += await _value(reader)
    except (asyncio.IncompleteReadError, OSError):
        return b""
    return raw
