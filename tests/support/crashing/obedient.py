"""A node in a process of its own that does what it is told, and is killed while it does.

It answers an order when all is at rest: nothing runs but calls that are held, and its reader
has everything. What the reader sees is told at once, so that a kill takes none of it away.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from support.crashing.plans import KINDS, Counted, planned_model
from support.crashing.stores import AtWrite, KillingLate, KillingSqlite, KillingStore, When
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_server
from turnstone.core.transcript import Transcript
from turnstone.sandbox import Unconfined

WS = "aaaa0001"

#: Seconds for one order; more is a failure.
PATIENCE = 60.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["turnstone.core.local_host", "turnstone.core.store.postgres"])


class Doom(NamedTuple):
    """Die so many writes of the journal from now."""

    writes: int
    when: When


class Read(NamedTuple):
    """Follow behind this id; from the snapshot, where there is none."""

    after: str


Order: TypeAlias = (
    SendMessage | Answer | Doom | Read | Literal["cancel", "let go", "stop reading", "leave"]
)


class Begin(NamedTuple):
    folder: Path
    doom: Doom | None
    read: Read | None
    late: bool  # with a store that writes intents too late


class Seen(NamedTuple):
    """Of the reader: an event that it was given."""

    id: str
    type: str


class Rests(NamedTuple):
    """An order is carried out, and this came of it. `records` is the whole journal."""

    result: Any
    records: list[bytes]


class Died(Exception):
    """The process was killed before it could answer."""


class Obedient:
    """One life, as the one who gives the orders holds it. `seen` is added to."""

    def __init__(self, begin: Begin, seen: list[Seen]) -> None:
        self._seen = seen
        self._pipe, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_obey, args=(theirs, begin), daemon=True)
        self._process.start()
        theirs.close()

    def order(self, order: Order) -> Rests:
        """Raises Died; AssertionError if it breaks."""
        try:
            self._pipe.send(order)
        except OSError:
            self._ended()
        return self.answer()

    def answer(self) -> Rests:
        """What it says when it rests. Raises as `order` does."""
        try:
            while self._pipe.poll(2 * PATIENCE):
                told = self._pipe.recv()
                if isinstance(told, Rests):
                    return told
                assert isinstance(told, Seen), told
                self._seen.append(told)
        except (EOFError, ConnectionResetError):
            self._ended()
        raise AssertionError("the node does not come to rest")

    def kill(self) -> None:
        """With -9. What its reader had been told by then is read."""
        self._process.kill()
        try:
            self.answer()
        except Died:
            return
        self.kill()

    def leave(self) -> None:
        """Stop as a process does that is told to."""
        try:
            self.order("leave")
        finally:
            self._process.join()

    def _ended(self) -> None:
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL, "the node has broken by itself"
        raise Died


def _obey(pipe: Connection, begin: Begin) -> None:
    asyncio.run(_live(pipe, begin))


async def _live(pipe: Connection, begin: Begin) -> None:
    node = _Node(pipe, begin)
    order: Order | None = None
    while order != "leave":
        async with asyncio.timeout(PATIENCE):
            result = await (node.begin() if order is None else node.carry_out(order))
            pipe.send(Rests(result, await node.rest()))
        order = await asyncio.to_thread(pipe.recv)
    await node.leave()
    pipe.send(Rests(None, []))


class _Node:
    host: LocalHost
    store: KillingStore

    def __init__(self, pipe: Connection, begin: Begin) -> None:
        self._pipe = pipe
        self._begin = begin
        self._tools = {kind: Counted(kind, begin.folder / "effects") for kind in KINDS}
        self._reader: asyncio.Task[None] | None = None
        self._reached = ev.EventId(0)
        self._refused: list[str] = []

    async def begin(self) -> None:
        folder = self._begin.folder
        lock = lock_server(folder / "turnstone.db", "node")
        kind = KillingLate if self._begin.late else KillingSqlite
        self.store = await kind.open(folder / "turnstone.db")
        self._doom(self._begin.doom)
        engine = Engine(
            models=Models.one(planned_model(self._refused.append), "planned"),
            tools={str(kind): tool for kind, tool in self._tools.items()},
            confinement=Unconfined().confinement,
            workspace=folder,
            max_attempts=1000,
        )
        self.host = await LocalHost.start(self.store, engine, lock)
        await self.host.create(CreateWorkstream(ws_id=WS))
        self._read(self._begin.read)

    async def carry_out(self, order: Order) -> Any:
        match order:
            case SendMessage():
                return await self.host.send(order)
            case Answer():
                try:
                    return await self.host.approve(order)
                except UnknownRequest as refusal:
                    return str(refusal)
            case Doom():
                return self._doom(order)
            case Read():
                return self._read(order)
            case "stop reading":
                assert self._reader is not None
                self._reader.cancel()
                await asyncio.wait({self._reader})
                self._reader = None
            case "let go":
                self._tools["hold"].let_go()
            case "cancel":
                await self._cancel()
        return None

    async def rest(self) -> list[bytes]:
        """Wait until nothing goes on by itself; the journal then."""
        while True:
            held = self._held()
            records = await self.store.records(WS)
            transcript = Transcript()
            for record in records:
                transcript.apply(record)
            read = self._reader is None or self._reached >= ev.EventId.parse(records[-1].id)
            # What is held on both sides of the reading is in what was read.
            if held == self._held() and self._at_rest(transcript, held) and read:
                break
            if self._reader is not None and self._reader.done():
                await self._reader
            await asyncio.sleep(0.001)  # the journal is the state that is waited for
        assert not self._refused, self._refused
        return [ev.encode(record) for record in records]

    def _held(self) -> set[str]:
        return set(self._tools["hold"].held)

    def _at_rest(self, transcript: Transcript, held: set[str]) -> bool:
        if transcript.turn is None:
            return not transcript.waiting
        running = transcript.turn.running.keys()
        # Seen from the tool: an intent that is written too late is not in the journal yet.
        return transcript.question is not None or bool(held and running <= held)

    async def leave(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        await self.host.aclose()

    async def _cancel(self) -> None:
        transcript = Transcript()
        for record in await self.store.records(WS):
            transcript.apply(record)
        if await self.host.cancel(WS):
            cid = transcript.open_turn().message.correlation_id
            while await self.host.ending(WS, cid) is None:
                await asyncio.sleep(0.001)  # the ending is the state that is waited for

    def _doom(self, doom: Doom | None) -> None:
        if doom is not None:
            self.store.deadly = AtWrite(self.store.writes + doom.writes, doom.when)

    def _read(self, read: Read | None) -> None:
        if read is not None:
            after = ev.EventId.parse(read.after) if read.after else None
            self._reader = asyncio.create_task(self._follow(after))

    async def _follow(self, after: ev.EventId | None) -> None:
        self._reached = after or ev.EventId(0)
        events = self.host.follow(WS, after)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                self._pipe.send(Seen(event.id, event.type))
                self._reached = ev.EventId.parse(event.id)
