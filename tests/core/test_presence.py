"""Who lives, where nodes share a PostgreSQL: a connection that broke is nobody's death."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import tool_results
from support.nodes import start_host
from support.postgres import PostgresServer, postgres_server
from turnstone.core.errors import StoreError
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.store.postgres import PostgresStore

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of this file's own, since it is stopped at times."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


async def test_a_process_lives_as_long_as_it_has_the_store_open(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresStore, "settling", 2.0)  # a time, not a behaviour
    one, two = await PostgresStore.open(url), await PostgresStore.open(url)
    await one.be_present("node1")

    assert await two.lives("node1")
    assert await one.lives("node1")
    assert not await two.lives("node2")
    with pytest.raises(StoreError, match="another process of the node node1"):
        await two.be_present("node1")
    await one.aclose()
    await two.be_present("node1")
    await two.aclose()


async def test_a_process_that_was_killed_lives_for_a_grace_and_no_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import asyncio, sys\n"
        "from turnstone.core.store.postgres import PostgresStore\n"
        "async def main():\n"
        "    store = await PostgresStore.open(sys.argv[1])\n"
        "    await store.be_present('victim')\n"
        "    print('here', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    store = await PostgresStore.open(url)
    with subprocess.Popen(
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert await store.lives("victim")
        process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(20):
        while locks(url):
            await asyncio.sleep(0.02)
        assert await store.lives("victim")
        monkeypatch.setattr(PostgresStore, "grace", 0.2)  # a time, not a behaviour
        while await store.lives("victim"):
            await asyncio.sleep(0.02)
    await store.aclose()


def locks(url: str) -> list[int]:
    """The sessions that hold the lock on a node's id."""
    sql = (
        "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return [pid for (pid,) in connection.execute(sql).fetchall()]


async def test_a_node_that_idles_is_present_again_soon_after_its_connection_broke(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresStore, "beat", 0.05)  # a time, not a behaviour
    one, two = await PostgresStore.open(url), await PostgresStore.open(url)
    await one.be_present("node1")
    [held] = locks(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (held,))

    assert await two.lives("node1")
    async with asyncio.timeout(20):
        while locks(url) in ([held], []):
            await asyncio.sleep(0.02)
    await one.aclose()
    assert not await two.lives("node1")
    await two.aclose()


async def test_after_the_server_was_away_for_long_every_node_has_a_grace_to_come_back_in(
    server: PostgresServer, url: str
) -> None:
    one, two = await PostgresStore.open(url), await PostgresStore.open(url)
    await one.be_present("node1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE node SET seen = seen - 3600")  # so long it was away
    server.stop()
    server.start()

    assert await two.lives("node1")
    await one.aclose()
    await two.aclose()


async def test_a_node_lives_again_after_the_server_was_started_again(
    server: PostgresServer, url: str
) -> None:
    one, two = await PostgresStore.open(url), await PostgresStore.open(url)
    await one.be_present("node1")
    server.stop()
    server.start()

    await one.rows()
    assert await two.lives("node1")
    await one.aclose()
    await two.aclose()


def commands(body: dict[str, Any]) -> Reply:
    """A command that goes on until there is a file `go`, and an answer with what it printed."""
    results = tool_results(body)
    waiting = "touch here; until [ -e go ]; do sleep 0.02; done; echo finished"
    return text(results[-1][1]) if results else calls(call("bash", command=waiting))


async def test_while_the_database_is_started_again_no_node_takes_anything_from_one_that_works(
    tmp_path: Path, server: PostgresServer, url: str
) -> None:
    with ModelServer(commands) as model:
        one = await start_host(
            tmp_path / "one", model.base_url, url=url, node_id="one", auto_approve=True
        )
        idle = await one.create(CreateWorkstream())
        ws = await one.create(CreateWorkstream())
        await one.send(SendMessage(ws_id=ws.id, message="go", correlation_id="c1"))
        async with asyncio.timeout(PATIENCE):
            while not (one.engine.workspace / "here").exists():
                await asyncio.sleep(0.01)
        server.stop()
        server.start()

        two = await start_host(
            tmp_path / "two", model.base_url, url=url, node_id="two", retention=0.001
        )
        await two.sweep()
        await two.sweep()
        assert await two.list() == []
        (one.engine.workspace / "go").touch()
        async with asyncio.timeout(PATIENCE):
            while (ending := await one.ending(ws.id, "c1")) is None:
                await asyncio.sleep(0.01)
        listed = {info.id for info in await one.list()}
        await two.aclose()
        await one.aclose()

    assert (ending.outcome, ending.text.strip()) == ("done", "finished")
    assert listed == {idle.id, ws.id}
