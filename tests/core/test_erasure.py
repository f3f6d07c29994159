"""What is erased is gone: from memory, from the store, and from the bytes of its files."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, call, calls, text
from modelserver.plans import echo, tool_results
from support.clocks import SetClock
from support.nodes import local_host, start_host
from turnstone.core import events as ev
from turnstone.core.errors import Erased, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.node import lock_process
from turnstone.core.store import SqliteStore, Store, WorkstreamRow

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

DAY = 86_400.0
LONG = "lorem ipsum dolor sit amet, consetetur. " * 400  # more than a page of the database


async def until(host: LocalHost, ws_id: str, kind: type[ev.Event], after: int = 1) -> ev.EventId:
    async with asyncio.timeout(PATIENCE):
        events = host.follow(ws_id, ev.EventId(after))
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, kind):
                    return ev.EventId.parse(event.id)
    raise AssertionError(f"no {kind.__name__} came")


async def turn(host: LocalHost, ws_id: str, message: str, cid: str) -> None:
    await host.send(SendMessage(ws_id=ws_id, message=message, correlation_id=cid))
    async with asyncio.timeout(PATIENCE):
        while await host.ending(ws_id, cid) is None:
            await asyncio.sleep(0.01)


def found(folder: Path, *words: str) -> set[str]:
    """Which of the words stand in any file of the store."""
    content = b"".join(path.read_bytes() for path in folder.glob("turnstone.db*") if path.is_file())
    return {word for word in words if word.encode() in content}


def secretive(body: dict[str, Any]) -> Any:
    if "secret" not in str(body["messages"]):
        return text(f"Nothing to hide. {LONG}")
    if body["messages"][-1]["role"] == "tool":
        return text(f"The answer-secret. {LONG}")
    return calls(call("bash", command="echo output-secret # header-secret"))


async def test_no_word_of_an_erased_workstream_is_left_in_the_files_of_the_store(
    tmp_path: Path,
) -> None:
    kinds = ("name", "message", "answer", "output", "header", "cid")
    words = [f"{kind}-secret" for kind in kinds]
    async with local_host(tmp_path, secretive) as host:
        kept = [await host.create(CreateWorkstream(name=f"kept-{n}")) for n in range(3)]
        ws = await host.create(CreateWorkstream(name="name-secret", auto_approve=True))
        for n in range(4):
            await turn(host, ws.id, f"message-secret {LONG}", f"cid-secret-{n}")
            await turn(host, kept[n % 3].id, f"kept-message-{n} {LONG}", f"kept-cid-{n}")
        assert found(tmp_path, *words) == set(words)

        await host.erase(ws.id)

        assert found(tmp_path, *words, ws.id, ws.session_id) == set()
        assert found(tmp_path, "kept-0", "kept-message-0") == {"kept-0", "kept-message-0"}


async def test_what_a_reader_of_the_file_kept_from_being_wiped_is_wiped_by_the_next_sweep(
    tmp_path: Path,
) -> None:
    async with local_host(tmp_path, echo) as host:
        ws = await host.create(CreateWorkstream())
        await turn(host, ws.id, "the-secret", "c1")
        with closing(sqlite3.connect(tmp_path / "turnstone.db")) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM record").fetchone()
            await host.erase(ws.id)
            assert found(tmp_path, "the-secret")
            other.execute("ROLLBACK")
        await host.sweep()
        assert not found(tmp_path, "the-secret")


async def test_after_an_erasure_and_a_restart_its_messages_do_not_run_again(
    tmp_path: Path,
) -> None:
    async with local_host(tmp_path, echo) as host:
        ws = await host.create(CreateWorkstream())
        await turn(host, ws.id, "once", "c1")
        await host.erase(ws.id)
    async with local_host(tmp_path, echo) as host:
        other = await host.create(CreateWorkstream())
        with pytest.raises(Erased, match="c1"):
            await host.send(SendMessage(ws_id=other.id, message="once", correlation_id="c1"))
        assert (await host.list()) == [other]


async def test_old_workstreams_are_erased_and_a_reader_of_the_node_is_told(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_host(tmp_path, echo, clock=clock, retention=90 * DAY) as host:
        idle, closed, young = [await host.create(CreateWorkstream()) for _ in range(3)]
        await turn(host, idle.id, "idle-secret", "c1")
        await turn(host, closed.id, "closed-secret", "c2")
        await host.close(closed.id)
        clock.advance(60 * DAY)
        await turn(host, young.id, "young-words", "c3")
        await host.sweep()
        assert found(tmp_path, "idle-secret", "closed-secret") == {"idle-secret", "closed-secret"}

        clock.advance(30 * DAY + 1)
        told = host.follow_all()
        assert isinstance(told, AsyncGenerator)
        async with aclosing(told), asyncio.timeout(PATIENCE):
            coming = asyncio.ensure_future(anext(told))
            await asyncio.sleep(0)
            await host.sweep()
            event = await coming

        assert isinstance(event, ev.WsClosed)
        assert (event.ws_id, event.reason) == (idle.id, "expired")
        assert [info.id for info in await host.list()] == [young.id]
        assert found(tmp_path, "idle-secret", "closed-secret", "young-words") == {"young-words"}
        with pytest.raises(UnknownWorkstream):
            await host.send(SendMessage(ws_id=idle.id, message="still there?"))


def asks(body: dict[str, Any]) -> Any:
    return text("done") if tool_results(body) else calls(call("bash", command="true"))


async def test_age_alone_never_erases_what_works_or_is_read(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_host(tmp_path, asks, clock=clock, retention=DAY) as host:
        asked, read = [await host.create(CreateWorkstream()) for _ in range(2)]
        await host.send(SendMessage(ws_id=asked.id, message="go"))
        await until(host, asked.id, ev.ApprovalAsked)
        events = host.follow(read.id)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            await anext(events)
            clock.advance(400 * DAY)
            await host.sweep()
            assert {info.id for info in await host.list()} == {asked.id, read.id}
        await host.sweep()
        assert [info.id for info in await host.list()] == [asked.id]


class Overtaken(SqliteStore):
    """Another process does something to what is old, just after it was looked at."""

    then: Callable[[Store, WorkstreamRow], Awaitable[object]]

    async def older(self, before: float) -> list[WorkstreamRow]:
        rows = await super().older(before)
        for row in rows:
            await Overtaken.then(self, row)
        return rows


@pytest.mark.parametrize(
    ("owner", "taker"), [("server", "other"), ("gone", "other"), ("server", "server")]
)
async def test_what_was_taken_over_since_it_was_looked_at_is_not_erased(
    tmp_path: Path, owner: str, taker: str
) -> None:
    clock = SetClock()
    other = lock_process(tmp_path / "turnstone.db")
    by = other.node_id if taker == "other" else taker

    async def taken(store: Store, row: WorkstreamRow) -> None:
        await store.acquire(row.ws_id, by)

    with ModelServer(echo) as model:
        Overtaken.then = taken
        host = await start_host(
            tmp_path, model.base_url, store=Overtaken, node_id="server", clock=clock, retention=DAY
        )
        store = await SqliteStore.open(tmp_path / "turnstone.db")
        ws = await host.create(CreateWorkstream())
        await store.acquire(ws.id, owner)
        clock.advance(2 * DAY)
        await host.sweep()

        kept = await store.row(ws.id)
        assert kept is not None
        assert kept.owner == by
        await store.aclose()
        await host.aclose()
    other.release()


async def test_what_was_used_since_it_was_looked_at_is_not_erased(tmp_path: Path) -> None:
    clock = SetClock()

    async def used(store: Store, row: WorkstreamRow) -> None:
        message = ev.MessageAccepted(message="new", correlation_id="c1", timestamp=clock.now())
        await store.append(row.ws_id, row.epoch, [message])

    with ModelServer(echo) as model:
        Overtaken.then = used
        host = await start_host(
            tmp_path, model.base_url, store=Overtaken, clock=clock, retention=DAY
        )
        store = await SqliteStore.open(tmp_path / "turnstone.db")
        ws = await host.create(CreateWorkstream())
        await store.acquire(ws.id, "gone")
        clock.advance(2 * DAY)
        await host.sweep()

        assert [r.type for r in await store.records(ws.id)][:2] == [
            "ws_created",
            "message_accepted",
        ]
        await store.aclose()
        await host.aclose()


async def test_without_a_retention_everything_is_kept(tmp_path: Path) -> None:
    clock = SetClock()
    async with local_host(tmp_path, echo, clock=clock) as host:
        ws = await host.create(CreateWorkstream())
        clock.advance(10_000 * DAY)
        await host.sweep()
        assert [info.id for info in await host.list()] == [ws.id]
