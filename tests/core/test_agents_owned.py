"""Sub-agents and the process that owns them: taken over with their tree, lost to another one,
closed before the one above them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer
from support.nodes import local_node, start_host
from support.teams import Touch, children, of_kind, team
from support.watching import PATIENCE, ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core.endpoint import transport_to
from turnstone.core.engine import Engine
from turnstone.core.errors import NotOwner, StoreError
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_process
from turnstone.core.store import Appended, SqliteStore
from turnstone.core.tool import Tool
from turnstone.sandbox import find_sandbox
from turnstone.tools.task import Task


def tools(*others: Tool) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in (Task(), *others)}


async def asking(host: Host, line: str = "sub [ask one; say 1]; say done") -> tuple[str, str]:
    """A workstream whose sub-agent asks, and its message."""
    ws = await host.create(CreateWorkstream(auto_approve_tools=["task"]))
    cid = await send(host, ws.id, line)
    await until(host, ws.id, ev.ApprovalAsked)
    return ws.id, cid


async def asks_again(host: LocalHost, ws_id: str) -> ev.ApprovalAsked:
    async with asyncio.timeout(PATIENCE):
        while not (found := of_kind(await snapshot(host, ws_id), ev.ApprovalAsked)):
            await asyncio.sleep(0.01)
    return found[0]


async def test_all_trees_that_a_terminal_left_are_taken_over_with_what_is_below_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch = Touch()
    path = tmp_path / "turnstone.db"
    with ModelServer(team) as model:
        (tmp_path / "workspace").mkdir()
        engine = Engine(
            models=Models.one(transport_to(model.base_url), "scripted-model", 32_768),
            tools=tools(touch),
            confinement=(await find_sandbox()).confinement,
            workspace=(tmp_path / "workspace").resolve(),
        )
        host = await LocalHost.start(await SqliteStore.open(path), engine, lock_process(path))
        trees = [await asking(host) for _ in range(6)]
        await host.aclose()

        host = await start_host(tmp_path, model.base_url, tools=tools(touch))
        for ws_id, cid in trees:
            again = await asks_again(host, ws_id)
            answer = Answer(ws_id=ws_id, request_id=again.request_id, approved=False)
            await host.approve(answer)
            assert (await ending(host, ws_id, cid)).outcome == "done"
        await host.aclose()

    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_cancel_ends_a_turn_whose_sub_agent_another_process_has_taken(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, team, tools=tools(Touch())) as node:
        ws_id, cid = await asking(node.host)
        [child] = await children(node.host, ws_id)
        await node.host._store.acquire(child.id, "another")
        await node.host.cancel(ws_id)
        ended = await ending(node.host, ws_id, cid)
        row = await node.host._store.row(child.id)

    assert ended.outcome == "cancelled"
    assert row is not None and (row.owner, row.open_turns) == ("another", 1)


async def test_the_call_of_a_sub_agent_that_another_process_has_taken_is_unknown(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, team, tools=tools(Touch())) as node:
        ws_id, cid = await asking(node.host)
        [child] = await children(node.host, ws_id)
        [question] = of_kind(await snapshot(node.host, ws_id), ev.ApprovalAsked)
        await node.host._store.acquire(child.id, "another")
        with pytest.raises(NotOwner):
            await node.host.approve(
                Answer(ws_id=ws_id, request_id=question.request_id, approved=True)
            )
        ended = await ending(node.host, ws_id, cid)
        records = await node.host._store.records(ws_id)

    assert ended.outcome == "done"
    assert [e.status for e in of_kind(records, ev.ToolFinished)] == ["unknown"]


class Read(SqliteStore):
    """Keeps which journals were read from their beginning to their end at a stretch."""

    whole: list[str]

    async def records(self, ws_id: str, after: int = 0, limit: int | None = None) -> list[Any]:
        if not after and limit is None:
            self.whole.append(ws_id)
        return await super().records(ws_id, after, limit)


async def test_a_sub_agent_is_known_by_its_first_record(tmp_path: Path) -> None:
    with ModelServer(team) as model:
        host = await start_host(tmp_path, model.base_url, store=Read, tools=tools(Touch()))
        assert isinstance(host._store, Read)
        whole = host._store.whole = []
        ws_id, cid = await asking(host, "sub [say early]; sub [ask one]; say done")
        await host.cancel(ws_id)
        ended = await ending(host, ws_id, cid)
        await host.aclose()

    assert ended.outcome == "cancelled"
    assert whole == []


class Ends(SqliteStore):
    """A process that ends before it has written that this workstream is closed."""

    last = ""

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[ev.Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        if ws_id == self.last and of_kind(events, ev.WsClosed):
            raise StoreError("The disk is gone.")
        return await super().append(ws_id, epoch, events, summary)


async def test_a_workstream_is_closed_behind_all_that_is_below_it(tmp_path: Path) -> None:
    with ModelServer(team) as model:
        host = await start_host(tmp_path, model.base_url, store=Ends, tools=tools(Touch()))
        store = host._store
        assert isinstance(store, Ends)
        ws_id, _ = await asking(host, "sub [say early]; sub [ask one]")
        below = [child.id for child in await children(host, ws_id)]
        store.last = ws_id
        with pytest.raises(StoreError, match="The disk is gone"):
            await host.close(ws_id)
        left = {row.ws_id for row in await store.rows()}
        store.last = ""
        await host.close(ws_id)
        rows = await store.rows()
        await host.aclose()

    assert len(below) == 2
    assert left == {ws_id}
    assert rows == []


async def test_sub_agents_that_an_earlier_process_owned_are_closed_with_the_one_above(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, team, tools=tools(Touch())) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"]))
        cid = await send(node.host, ws.id, "sub [say early]; say done")
        await ending(node.host, ws.id, cid)
        [child] = await children(node.host, ws.id)
        await node.host._store.acquire(child.id, "an-earlier-one")
        await node.host.close(ws.id)
        rows = await node.host._store.rows()

    assert rows == []
