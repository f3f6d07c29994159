"""Sessions on PostgreSQL whose process is gone, or stands still: they hold nobody up for long."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from support.postgres import PostgresServer, waits
from turnstone.core.events import MessageAccepted, WsCreated
from turnstone.core.store import WorkstreamRow
from turnstone.core.store.postgres import PostgresStore

WS = "aaaa0001"

#: Writes to the workstream without end, as the node `victim`.
WRITES = """
import asyncio, sys
from turnstone.core.events import StepStarted
from turnstone.core.store.postgres import PostgresStore

async def main():
    store = await PostgresStore.open(sys.argv[1])
    await store.be_present("victim")
    print("here", flush=True)
    while True:
        await store.append("aaaa0001", 1, [StepStarted()])

asyncio.run(main())
"""


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(url)
    row = WorkstreamRow(ws_id=WS, session_id="s" * 12, created=1.0, owner="node", epoch=1)
    await store.create(row, WsCreated())
    yield store
    await store.aclose()


@contextmanager
def writing(url: str) -> Iterator[subprocess.Popen[str]]:
    """The process that writes, until it is killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield process
        finally:
            process.kill()


async def test_who_stands_still_in_the_middle_of_a_write_is_ended_and_holds_nobody_up(
    url: str, store: PostgresStore
) -> None:
    with writing(url) as process:
        async with asyncio.timeout(20):
            while True:  # until it is stopped where it holds the lock on the row
                process.send_signal(signal.SIGSTOP)
                if waits(url, "idle in transaction"):
                    break
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.001)

        assert (await store.acquire(WS, "other")).epoch == 2

        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 1  # it writes no more
    records = await store.records(WS)
    message = MessageAccepted(message="hello", correlation_id="c1")
    assert (await store.append(WS, 2, [message])).events[0].id == f"{len(records) + 1}-0"


async def test_who_was_killed_while_it_waited_for_a_lock_is_known_to_be_gone(
    url: str, store: PostgresStore
) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM workstream FOR UPDATE")
        with writing(url) as process:
            async with asyncio.timeout(20):
                while not waits(url, "Lock"):
                    await asyncio.sleep(0.01)  # the session is the state that is waited for
            process.kill()

        await store.be_present("victim")


async def test_a_write_that_is_still_on_its_way_is_waited_for_and_not_overlooked(
    url: str, store: PostgresStore
) -> None:
    with psycopg.connect(url) as slow:
        slow.execute("SELECT 1 FROM workstream FOR UPDATE")
        slow.execute("INSERT INTO record VALUES ('aaaa0001', 2, 'x', '', '{}')")
        settling = asyncio.create_task(store.settle(WS, 1, 1))
        async with asyncio.timeout(20):
            while not waits(url, "Lock"):
                await asyncio.sleep(0.01)
        assert not settling.done()
        slow.execute("DELETE FROM record WHERE seq = 2")
        slow.commit()

    assert await settling == []
