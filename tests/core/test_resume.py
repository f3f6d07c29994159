"""A session belongs to the process that lives; whose process is gone may be gone on with."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, hold, text
from modelserver.plans import echo, last_user_text
from oturn.transport.openai import OpenAITransport
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import NotOwner, TooManyWorkstreams
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_process
from turnstone.core.store import SqliteStore
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools


async def terminal(folder: Path, base_url: str) -> LocalHost:
    """A process on the store that is no server, and takes up nothing by itself."""
    sandbox = await find_sandbox()
    path = folder / "turnstone.db"
    engine = Engine(
        models=Models.one(OpenAITransport(base_url), "scripted-model", 32_768, None),
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=folder,
    )
    return await LocalHost.start(await SqliteStore.open(path), engine, lock_process(path))


async def test_a_session_of_a_process_that_runs_is_refused_and_taken_over_when_it_is_gone(
    tmp_path: Path,
) -> None:
    with ModelServer(echo) as model:
        first = await terminal(tmp_path, model.base_url)
        ws = await first.create(CreateWorkstream())
        await send(first, ws.id, "hello", "c1")
        await ending(first, ws.id, "c1")
        await first.close(ws.id)
        second = await terminal(tmp_path, model.base_url)
        with pytest.raises(NotOwner, match=f"belongs to node {first.node_id}, which runs"):
            await second.resume(ws.id)

        await first.aclose()
        resumed = await second.resume(ws.id)
        await send(second, ws.id, "again", "c2")
        told = await ending(second, ws.id, "c2")

        assert (resumed.id, told.text) == (ws.id, "again")
        assert [info.id for info in await second.list()] == [ws.id]
        await second.aclose()


async def test_a_turn_that_was_left_open_goes_on_with_its_session(tmp_path: Path) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        loop.call_soon_threadsafe(asked.set)
        return hold(text(last_user_text(body)), gate)

    with ModelServer(plan) as model:
        first = await terminal(tmp_path, model.base_url)
        ws = await first.create(CreateWorkstream())
        await send(first, ws.id, "hello", "c1")
        await asked.wait()
        await first.aclose()
        gate.set()
        second = await terminal(tmp_path, model.base_url)

        await second.resume(ws.session_id)

        assert (await ending(second, ws.id, "c1")).text == "hello"
        await second.aclose()


async def test_whoever_follows_the_node_is_told_of_a_session_that_goes_on(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        await node.host.close(ws.id)
        seen: list[ev.Event] = []

        async def read() -> None:
            async for event in node.host.follow_all():
                seen.append(event)
                if isinstance(event, ev.WsReopened):
                    return

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await node.host.resume(ws.id)
        async with asyncio.timeout(15):
            await reading

        assert seen[-1].ws_id == ws.id


async def test_where_there_is_no_room_nothing_is_opened(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo, max_workstreams=1) as node:
        ws = await node.host.create(CreateWorkstream())
        await node.host.close(ws.id)
        other = await node.host.create(CreateWorkstream())
        following = node.host.follow(other.id)
        await anext(following)  # whoever is followed does not sleep

        with pytest.raises(TooManyWorkstreams):
            await node.host.resume(ws.id)

        await following.aclose()  # type: ignore[attr-defined]
        assert (await node.host.resume(ws.id)).id == ws.id
