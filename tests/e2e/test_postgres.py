"""Turnstone on PostgreSQL, by the public ways: the program, and nodes that share a database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from modelserver import ModelServer, hold, text
from modelserver.plans import echo
from support.postgres import PostgresServer, postgres_server
from turnstone.core import events as ev
from turnstone.core.config import load_settings
from turnstone.core.errors import StoreError
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store.postgres import PostgresStore
from turnstone.wiring import build_local_host, find_model

PATIENCE = 60.0


async def node(
    home: Path, url: str, model: ModelServer, node_id: str = "", *, days: int = 0
) -> LocalHost:
    """A server node with its own files in `home`. `days`: how long it keeps what is idle."""
    (home / "work").mkdir(parents=True, exist_ok=True)
    flags: dict[str, object] = {
        "store.url": url,
        "store.path": home / "state" / "turnstone.db",
        "tools.workspace": home / "work",
        "api.base_url": model.base_url,
        "model.name": "scripted-model",
        "bridge.node_id": node_id,
        "session.retention_days": days,
    }
    settings = load_settings("turnstone-server", flags=flags, env={"HOME": str(home)}, cwd=home)
    return await build_local_host(settings, await find_model(settings), "server")


async def until(host: LocalHost, ws_id: str, found: Callable[[ev.Event], bool]) -> ev.Event:
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, ev.EventId(1)):
            if found(event):
                return event
    raise AssertionError("it did not come")


def test_the_program_answers_and_keeps_everything_in_the_database(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.database()
    (tmp_path / "work").mkdir()
    arguments = ["--store-url", url, "--model", "practice", "-p", "hello"]

    done = subprocess.run(
        [Path(sys.executable).with_name("turnstone"), *arguments],
        cwd=tmp_path / "work",
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*.db"))


async def test_a_node_leaves_the_turns_of_one_that_lives_alone_and_takes_up_those_of_a_dead_one(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.database()
    gate = threading.Event()
    async with AsyncExitStack() as stack:
        slow = stack.enter_context(ModelServer(lambda body: hold(text("slow"), gate)))
        quick = stack.enter_context(ModelServer(echo))
        one = await node(tmp_path / "one", url, slow)
        ws = await one.create(CreateWorkstream())
        await one.send(SendMessage(ws_id=ws.id, message="hello", correlation_id="c1"))
        await until(one, ws.id, lambda event: isinstance(event, ev.StepStarted))

        two = await node(tmp_path / "two", url, quick)
        assert await two.left_behind() == []
        assert await two.list() == []
        await two.aclose()
        gate.set()
        await one.aclose()  # the turn stays open

        three = await node(tmp_path / "three", url, quick)
        stack.push_async_callback(three.aclose)
        ended = await until(three, ws.id, lambda event: isinstance(event, ev.TurnEnded))

    assert isinstance(ended, ev.TurnEnded)
    assert ended.text in ("hello", "slow")


async def test_retention_takes_nothing_from_a_node_that_lives_on_another_machine(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.database()
    with ModelServer(echo) as model:
        one = await node(tmp_path / "one", url, model)
        ws = await one.create(CreateWorkstream())
        with psycopg.connect(url) as connection:  # as if its last record were from 1970
            connection.execute("UPDATE workstream SET updated = 0, checksum = NULL")

        two = await node(tmp_path / "two", url, model, days=1)
        await two.sweep()
        assert [info.id for info in await one.list()] == [ws.id]
        await one.aclose()
        await two.sweep()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT ws_id FROM workstream").fetchall() == []
        await two.aclose()


async def test_a_node_that_does_nothing_is_known_to_live_after_the_database_was_started_again(
    tmp_path: Path,
) -> None:
    with postgres_server() as server, ModelServer(echo) as model:
        url = server.database()
        one = await node(tmp_path / "one", url, model)
        server.stop()
        server.start()
        beside = await PostgresStore.open(url)
        async with asyncio.timeout(PATIENCE):
            while not await beside.lives(one.node_id):
                await asyncio.sleep(0.1)  # it is the database that says so, to who asks
        await beside.aclose()
        await one.aclose()


async def test_two_nodes_of_one_name_do_not_share_a_database(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.database()
    with ModelServer(echo) as model:
        one = await node(tmp_path / "one", url, model, "same")
        with pytest.raises(StoreError, match="another process of the node same"):
            await node(tmp_path / "two", url, model, "same")
        await one.aclose()
        await (await node(tmp_path / "two", url, model, "same")).aclose()
