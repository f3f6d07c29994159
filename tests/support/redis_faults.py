"""What can happen to a Redis while programs use it: each fault begins, and ends, on a real server.

A fault is an async context manager: inside it the server is as the fault says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from support.redis import RedisServer

#: Makes the fault; the client is of the test's own, and stays connected where that is possible.
Begin: TypeAlias = Callable[[RedisServer, Any], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """`told`: what a worker's log must say of it (an expression); empty where it says nothing.
    `sends`: whether a client that begins to send meanwhile waits for its end. `options` are those
    of the server."""

    begin: Begin
    told: str = ""
    sends: bool = True
    options: tuple[str, ...] = ()


def _set(*steps: str, back: tuple[str, ...] = ()) -> Begin:
    """Commands that begin it, and those that end it."""

    @asynccontextmanager
    async def begin(server: RedisServer, client: Any) -> AsyncIterator[None]:
        for step in steps:
            await asyncio.to_thread(client.execute_command, *step.split())
        try:
            yield
        finally:
            for step in back:
                await asyncio.to_thread(client.execute_command, *step.split())

    return begin


@asynccontextmanager
async def _killed(server: RedisServer, client: Any) -> AsyncIterator[None]:
    server.kill()
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def _silent(server: RedisServer, client: Any) -> AsyncIterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.wake()


@asynccontextmanager
async def _loading(server: RedisServer, client: Any) -> AsyncIterator[None]:
    for number in range(40):
        client.set(f"ballast:{number}", "x" * 4_096)
    client.save()
    server.kill()
    slow = ("--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024")
    server.options = (*server.options, *slow)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        yield
    finally:
        await starting


@asynccontextmanager
async def _disk_full(server: RedisServer, client: Any) -> AsyncIterator[None]:
    (server.folder / "dump.rdb").mkdir()  # so that no snapshot can be written
    client.config_set("save", "3600 1")
    client.execute_command("BGSAVE")
    while client.info("persistence")["rdb_last_bgsave_status"] != "err":
        await asyncio.sleep(0.01)  # the failure is the state that is waited for
    try:
        yield
    finally:
        (server.folder / "dump.rdb").rmdir()
        client.execute_command("BGSAVE")
        while client.info("persistence")["rdb_last_bgsave_status"] != "ok":
            await asyncio.sleep(0.01)


_KILL = ("CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub")
_BESIDE_IT = "127.0.0.1 1"  # where no primary is

FAULTS = {
    "killed": Fault(
        _killed, "cannot be reached", options=("--appendonly", "yes", "--appendfsync", "always")
    ),
    "emptied": Fault(_killed, "cannot be reached"),
    "connections killed": Fault(_set(*_KILL * 3)),
    "paused": Fault(_set("CLIENT PAUSE 1500 ALL", back=("PING",))),
    "writes paused": Fault(_set("CLIENT PAUSE 1500 WRITE", back=("PING",))),
    "full": Fault(_set("CONFIG SET maxmemory 1", back=("CONFIG SET maxmemory 0",)), "is full"),
    "a replica": Fault(_set(f"REPLICAOF {_BESIDE_IT}", back=("REPLICAOF NO ONE",)), "is a replica"),
    "a replica without its primary": Fault(
        _set(
            "CONFIG SET replica-serve-stale-data no",
            f"REPLICAOF {_BESIDE_IT}",
            back=("REPLICAOF NO ONE",),
        ),
        "MASTERDOWN|Link with MASTER|is a replica",
    ),
    "without the replicas that it must have": Fault(
        _set("CONFIG SET min-replicas-to-write 1", back=("CONFIG SET min-replicas-to-write 0",)),
        "NOREPLICAS",
    ),
    "loading": Fault(_loading, "still loading"),
    "forgetful of scripts": Fault(_set("SCRIPT FLUSH")),
    "on a full disk": Fault(_disk_full, "MISCONF"),
    "used by another program": Fault(
        _set("DEL turnstone:inbound", "SET turnstone:inbound x", back=("DEL turnstone:inbound",)),
        "WRONGTYPE",
        sends=False,
    ),
    "with another password": Fault(
        _set(
            "ACL SETUSER default resetpass >other",
            *_KILL,
            back=("ACL SETUSER default nopass",),
        ),
        "asks for a password",
        sends=False,
    ),
    "with fewer rights": Fault(
        _set("ACL SETUSER default -eval -evalsha", back=("ACL SETUSER default +@all",)),
        "may not do this",
    ),
    "with fewer rights for scripts": Fault(
        _set("ACL SETUSER default -zrem", back=("ACL SETUSER default +@all",)),
        "may not do this",
    ),
    "silent": Fault(_silent, "did not answer in time", sends=False),
}


class Garbler:
    """Between a program and its Redis: passes bytes on, until it says what no Redis would."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._upstream = port
        self._says: bytes | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def says(self, words: bytes, *, unasked: bool = True) -> AsyncIterator[None]:
        """Everybody who is connected, or connects, hears this in the place of an answer, and
        `unasked` too."""
        self._says = words
        for writer in list(self._open) if unasked else ():
            with contextlib.suppress(OSError):
                writer.write(words)
        try:
            yield
        finally:
            self._says = None
            for writer in list(self._open):
                writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        back = asyncio.create_task(self._pass(up_reader, writer, answers=True))
        try:
            await self._pass(reader, up_writer, answers=False)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            self._open.discard(writer)
            writer.close()
            up_writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(self._says if answers and self._says is not None else data)


@asynccontextmanager
async def garbler_before(port: int) -> AsyncIterator[Garbler]:
    garbler = Garbler(port)
    server: Any = await asyncio.start_server(garbler.serve, "127.0.0.1", 0)
    garbler.port = server.sockets[0].getsockname()[1]
    try:
        yield garbler
    finally:
        server.close()
        async with garbler.says(b""):
            pass
        await server.wait_closed()
