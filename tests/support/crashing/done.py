"""What a node is killed in the middle of, and what must be true after: a class for each deed.

Memories kept and deleted by a turn, an import, a fork, the erasure of a tree of sub-agents, and
a turn with sub-agents one of which has an effect.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from oturn.transport.base import ModelRequest
from oturn.transport.scripted import Reply, ScriptedCall, ScriptedTransport, call, call_tools, say
from support.clocks import SetClock
from support.crashing import family
from support.crashing.journals import of_the_ids
from support.crashing.turn import faults
from support.watching import ending
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.importing import take_over_02
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_process, lock_server
from turnstone.core.store import SqliteStore
from turnstone.core.store.store02 import read_02
from turnstone.core.transcript import Transcript
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

WS, CID = "aaaa0001", "the-message"


class Deed(Protocol):
    """`folder` is the same in all of these."""

    async def lay_out(self, folder: Path) -> None:
        """What is there before."""

    async def live(self, folder: Path) -> None:
        """Do it."""

    async def after(self, folder: Path) -> None:
        """What the next process does, where the first was killed."""

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        """What there is, in a word; and what is wrong with it."""


class Remembering:
    """A turn that keeps two memories, and deletes a third."""

    _STEPS = (
        (
            ("call_one", call("remember", key="one", value="first")),
            ("call_two", call("remember", key="two", value="second")),
        ),
        (
            ("call_again", call("remember", key="two", value="better")),
            ("call_forget", call("forget", key="old")),
        ),
    )

    async def lay_out(self, folder: Path) -> None:
        host = await _started(folder)
        await host.remember("old", "to be forgotten", "user")
        await host.aclose()

    async def live(self, folder: Path) -> None:
        host = await _started(folder, _scripted(folder, lambda _: self._STEPS))
        names = ["remember", "forget"]
        await host.create(CreateWorkstream(ws_id=WS, auto_approve_tools=names))
        await host.send(SendMessage(ws_id=WS, message="Do it.", correlation_id=CID))
        await ending(host, WS, CID)
        await host.aclose()

    async def after(self, folder: Path) -> None:
        await self.live(folder)

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        store = await _store(folder)
        try:
            kept = await store.memories(None)
            records = await store.records(WS)
        finally:
            await store.aclose()
        found = _refused(folder) + _of_a_turn(records)
        values = {memory.key: memory.value for memory in kept}
        if values != {"one": "first", "two": "better"} or len(kept) != 2:
            found.append(f"what is remembered is {kept}")
        found += [
            f"{m.key} was kept again" for m in kept if m.key == "one" and m.updated > m.created
        ]
        status = {e.call_id: e.status for e in records if isinstance(e, ev.ToolFinished)}
        if set(status.values()) != {"ok"} or len(status) != 4:
            found.append(f"the calls ended so: {status}")
        return "done", found


class Importing:
    """A database of 0.2 is taken over."""

    async def lay_out(self, folder: Path) -> None:
        with closing(sqlite3.connect(folder / ".turnstone.db")) as connection, connection:
            connection.executescript("""
                CREATE TABLE memories (key TEXT PRIMARY KEY, value TEXT, created TEXT,
                    updated TEXT);
                CREATE TABLE conversations (id INTEGER PRIMARY KEY, session_id TEXT,
                    timestamp TEXT, role TEXT, content TEXT, tool_name TEXT, tool_args TEXT,
                    tool_call_id TEXT);
                CREATE TABLE sessions (session_id TEXT PRIMARY KEY, alias TEXT UNIQUE, title TEXT,
                    created TEXT, updated TEXT);
                INSERT INTO memories VALUES ('one', 'a value', '', ''), ('two', 'b', '', '');
                INSERT INTO sessions VALUES ('5e5500000001', 'mine', 'A title', '', '');
            """)
            for number, session in enumerate(("5e5500000001", "5e5500000002")):
                connection.executemany(
                    "INSERT INTO conversations VALUES (NULL, ?, '', ?, ?, ?, ?, ?)",
                    [
                        (session, "user", f"needle{number}a", None, None, None),
                        (session, "tool_call", None, "bash", "{}", "a"),
                        (session, "tool_result", f"needle{number}b", "bash", None, "a"),
                        (session, "assistant", f"needle{number}c", None, None, None),
                    ],
                )
        await (await _store(folder)).aclose()

    async def live(self, folder: Path) -> None:
        lock = lock_process(folder / "turnstone.db")
        store = await _store(folder)
        found = read_02(folder / ".turnstone.db")
        await take_over_02(store, found, lock.node_id, SetClock(), "old")
        await store.aclose()
        lock.release()

    async def after(self, folder: Path) -> None:
        await self.live(folder)

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        store = await _store(folder)
        try:
            sessions = await store.sessions(100)
            kept = {memory.key: memory.value for memory in await store.memories(None)}
            hits = [
                (place + letter, len(await store.search(f"needle{place}{letter}", 10)))
                for place in "01"
                for letter in "abc"
            ]
            [alias] = await store.resolve("mine")
            journals = [await store.records(session.ws_id) for session in sessions]
        finally:
            await store.aclose()
        found = [fault for records in journals for fault in of_the_ids(records)]
        ids = sorted(session.session_id for session in sessions)
        if ids != ["5e5500000001", "5e5500000002"]:
            found.append(f"the sessions are {ids}")
        if alias.session_id != "5e5500000001":
            found.append(f"the name is that of {alias.session_id}")
        if kept != {"one": "a value", "two": "b"}:
            found.append(f"what is remembered is {kept}")
        found += [f"needle{name} is found {times} times" for name, times in hits if times != 1]
        for records in journals:
            transcript = _replayed(records)
            found += faults(transcript.messages)
            if len(transcript.history) != 4 or not isinstance(records[-1], ev.WsClosed):
                found.append(f"a session has {len(transcript.history)} messages")
        return "done", found


class Forking:
    """A conversation is gone on from in another workstream."""

    async def lay_out(self, folder: Path) -> None:
        await _one_turn(folder)

    async def live(self, folder: Path) -> None:
        host = await _started(folder)
        await host.fork(WS)
        await host.aclose()

    async def after(self, folder: Path) -> None:
        host = await _started(folder)
        await host.aclose()

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        store = await _store(folder)
        try:
            source = await store.records(WS)
            forks = [await store.records(r.ws_id) for r in await store.rows() if r.ws_id != WS]
        finally:
            await store.aclose()
        found = [fault for records in (source, *forks) for fault in of_the_ids(records)]
        if len(forks) > 1:
            found.append(f"there are {len(forks)} forks")
        was = _replayed(source)
        found += [
            f"a fork has {len(fork.history)} messages of {len(was.history)}"
            for fork in map(_replayed, forks)
            if fork.messages != was.messages or _said(fork.history) != _said(was.history)
        ]
        return ("forked" if forks else "as it was"), found


def _said(history: Sequence[ev.HistoryMessage]) -> list[tuple[str, str, str]]:
    """Without what belongs to the journal that it was said in, as the ids of messages."""
    return [(message.role, message.content, message.tool_call_id) for message in history]


class Erasing:
    """A workstream with three sub-agents is erased."""

    async def lay_out(self, folder: Path) -> None:
        await family.live(family.Life(folder), lambda _: None)

    async def live(self, folder: Path) -> None:
        host = await _started(folder)
        await host.erase(WS)
        await host.aclose()

    async def after(self, folder: Path) -> None:
        host = await _started(folder)
        await host.aclose()

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        store = await _store(folder)
        try:
            rows = [*await store.rows(), *await store.older(float("inf"))]
            hits = len(await store.search("run the command", 10))
        finally:
            await store.aclose()
        left = len({row.ws_id for row in rows})
        found = [] if left in (0, 4) else [f"of four workstreams, {left} are there"]
        if bool(left) != bool(hits):
            found.append(f"of {left} workstreams, {hits} messages are found")
        files = [path for path in folder.rglob("*") if path.is_file()]
        if not left:
            words = b"run the command"
            found += [f"words are left in {p.name}" for p in files if words in p.read_bytes()]
        return ("there" if left else "gone"), found


class WithSubAgents:
    """The turn of `support.crashing.family`."""

    async def lay_out(self, folder: Path) -> None:
        await (await _store(folder)).aclose()

    async def live(self, folder: Path) -> None:
        def tell(told: Any) -> None:
            if told.faults:
                (folder / "refused").write_text("; ".join(told.faults))

        await family.live(family.Life(folder), tell)

    async def after(self, folder: Path) -> None:
        await self.live(folder)

    async def look(self, folder: Path) -> tuple[str, list[str]]:
        found = await family.faults_in(folder)
        return "done", [*_refused(folder), *found]


DEEDS: dict[str, Deed] = {
    "remember": Remembering(),
    "import": Importing(),
    "fork": Forking(),
    "erase": Erasing(),
    "sub-agents": WithSubAgents(),
}


async def _store(folder: Path) -> SqliteStore:
    return await SqliteStore.open(folder / "turnstone.db")


async def _started(folder: Path, model: Callable[[ModelRequest], Reply] | None = None) -> LocalHost:
    sandbox = Unconfined()
    engine = Engine(
        models=Models.one(ScriptedTransport(model or (lambda _: say("I heard."))), "strict"),
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=(folder / "workspace").resolve(),
        max_attempts=1000,
    )
    lock = lock_server(folder / "turnstone.db", "node")
    return await LocalHost.start(await _store(folder), engine, lock)


async def _one_turn(folder: Path) -> None:
    host = await _started(folder)
    await host.create(CreateWorkstream(ws_id=WS))
    await host.send(SendMessage(ws_id=WS, message="hello " * 50, correlation_id=CID))
    await ending(host, WS, CID)
    await host.aclose()


def _scripted(
    folder: Path, steps_of: Callable[[str], tuple[tuple[tuple[str, ScriptedCall], ...], ...]]
) -> Callable[[ModelRequest], Reply]:
    """A strict model that makes these calls, step by step."""

    def reply(request: ModelRequest) -> Reply:
        if wrong := faults(request.messages):
            (folder / "refused").write_text("; ".join(wrong))
        said = next(m["content"] for m in request.messages if m["role"] == "user")
        done = sum(m["role"] == "assistant" for m in request.messages)
        steps = steps_of(said)
        if done < len(steps):
            made = (ScriptedCall(c.name, c.arguments, call_id) for call_id, c in steps[done])
            return call_tools(*made)
        return say("It is done.")

    return reply


def _refused(folder: Path) -> list[str]:
    path = folder / "refused"
    return [path.read_text()] if path.exists() else []


def _replayed(records: list[ev.AnyEvent]) -> Transcript:
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
    return transcript


def _of_a_turn(records: list[ev.AnyEvent]) -> list[str]:
    """What must hold of a workstream whose one turn is over."""
    transcript = _replayed(records)
    found = [*of_the_ids(records), *faults(transcript.messages)]
    endings = [e.outcome for e in records if isinstance(e, ev.TurnEnded)]
    if endings != ["done"] or transcript.waiting:
        found.append(f"the endings are {endings}")
    results = Counter(e.call_id for e in records if isinstance(e, ev.ToolFinished))
    return [*found, *(f"{call_id} has {n} results" for call_id, n in results.items() if n != 1)]
