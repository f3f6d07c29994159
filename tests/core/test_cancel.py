"""A cancel, wherever the message stands: it ends once, and nothing of it goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.held_tools import HeldTool
from support.nodes import local_node, start_host
from support.stores import UnsteadyStore, journal
from support.watching import PATIENCE, ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core.errors import TurnstoneError, UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost


def asks(body: dict[str, Any]) -> Reply:
    return text("done") if tool_results(body) else calls(call("bash", command="sleep 600"))


async def endings(folder: Path, ws_id: str) -> list[str]:
    """The messages that have ended, by the journal."""
    records = await journal(folder, ws_id)
    return [r.correlation_id for r in records if isinstance(r, ev.TurnEnded)]


@asynccontextmanager
async def busy_with(
    folder: Path, tool: HeldTool, store: type[UnsteadyStore] = UnsteadyStore
) -> AsyncIterator[tuple[LocalHost, str, UnsteadyStore]]:
    """A node whose first message `c1` runs a call that is held."""

    def plan(body: dict[str, Any]) -> Reply:
        asked = [m["content"] for m in body["messages"] if m["role"] == "user"]
        held = asked == ["go"] and not tool_results(body)
        return calls(call("wait", key="k")) if held else text(" / ".join(asked))

    with ModelServer(plan) as model:
        host = await start_host(folder, model.base_url, store=store, tools={"wait": tool})
        ws = await host.create(CreateWorkstream())
        await send(host, ws.id, "go", "c1")
        await tool.runs("k")
        try:
            yield host, ws.id, UnsteadyStore.of(folder)
        finally:
            await host.aclose()


async def test_while_the_model_streams_what_was_streamed_is_void(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(_: dict[str, Any]) -> Reply:
        return hold(text("half of an answer"), gate, before=2)

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await until(node.host, ws.id, ev.Content, "c1")
        assert await node.host.cancel(ws.id, "c1")
        ended, seen = await until(node.host, ws.id, ev.TurnEnded, "c1")
        gate.set()
        late = await snapshot(node.host, ws.id)
        node.model.plan = echo
        await send(node.host, ws.id, "again", "c2")
        await ending(node.host, ws.id, "c2")

        assert await endings(tmp_path, ws.id) == ["c1", "c2"]
    assert (ended.outcome, ended.text) == ("cancelled", "")
    assert [e.type for e in seen][-3:] == ["stream_reset", "cancel_requested", "turn_ended"]
    [history] = [e for e in late if isinstance(e, ev.History)]
    assert [m.content for m in history.messages] == ["go"]
    assert [m["content"] for m in node.model.requests[-1]["messages"]][1:] == ["go", "again"]


async def test_while_a_command_runs_its_processes_are_gone(tmp_path: Path) -> None:
    script = "sleep 600 & echo $$ > pids; echo $! >> pids; echo there; wait"

    def plan(body: dict[str, Any]) -> Reply:
        return calls(call("bash", command=script))

    async with local_node(tmp_path, plan, auto_approve_tools=frozenset({"bash"})) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        first, _ = await until(node.host, ws.id, ev.Event, "c1")
        async for event in node.host.follow(ws.id, ev.EventId.parse(first.id)):
            if isinstance(event, ev.ApprovalAsked):
                await node.host.approve(Answer(ws_id=ws.id, approved=True))
            if isinstance(event, ev.ToolOutput):
                break
        assert await node.host.cancel(ws.id)
        ended, seen = await until(node.host, ws.id, ev.TurnEnded, "c1")

        assert await endings(tmp_path, ws.id) == ["c1"]
        assert _sleepers(node.workspace) == []
    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert (finished.status, ended.outcome) == ("cancelled", "cancelled")
    assert "may have run partly" in finished.output


def _sleepers(workspace: Path) -> list[str]:
    """Processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == workspace and "sleep" in (
                process / "cmdline"
            ).read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


async def test_while_a_question_waits_it_is_void(tmp_path: Path) -> None:
    async with local_node(tmp_path, asks) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        asked, _ = await until(node.host, ws.id, ev.ApprovalAsked, "c1")
        assert await node.host.cancel(ws.id, "c1")
        ended = await ending(node.host, ws.id, "c1")
        with pytest.raises(UnknownRequest):
            await node.host.approve(Answer(ws_id=ws.id, request_id=asked.request_id, approved=True))

        assert not await node.host.cancel(ws.id, "c1")
        assert await endings(tmp_path, ws.id) == ["c1"]
    assert ended.outcome == "cancelled"


@pytest.mark.parametrize("busy", ["queue", "steer"])
async def test_while_it_waits_it_ends_at_once_and_the_model_never_reads_it(
    tmp_path: Path, busy: Any
) -> None:
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (host, ws_id, _):
        await send(host, ws_id, "no, wait", "c2", busy=busy)
        await send(host, ws_id, "next", "c3")
        assert await host.cancel(ws_id, "c2")
        ended = await ending(host, ws_id, "c2")  # while the other still runs
        [info] = await host.list()
        again = await send(host, ws_id, "no, wait", "c2", busy=busy)
        tool.let_go("k")
        last = await ending(host, ws_id, "c3")

        assert await endings(tmp_path, ws_id) == ["c2", "c1", "c3"]
        assert not await host.cancel(ws_id, "c2")
        assert not await host.cancel(ws_id, "never sent")
    assert (ended.outcome, ended.begun, ended.steps) == ("cancelled", False, 0)
    assert (info.state, info.queued) == ("running", 1)
    assert again == "c2"
    assert last.text == "go / next"


async def test_a_reader_keeps_what_streams_while_another_message_is_taken_back(
    tmp_path: Path,
) -> None:
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (host, ws_id, _):
        tool.going["k"]("printed")
        await until(host, ws_id, ev.ToolOutput)
        await send(host, ws_id, "no, wait", "c2")
        assert await host.cancel(ws_id, "c2")
        late = await snapshot(host, ws_id)
        tool.let_go("k")

    assert [e.text for e in late if isinstance(e, ev.ToolOutput)] == ["printed"]


async def test_a_message_that_is_being_taken_back_gets_no_turn(tmp_path: Path) -> None:
    """The turn before it ends while the record that ends the message waits to be written."""
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (host, ws_id, store):
        await send(host, ws_id, "no, wait", "c2")
        store.held = ev.TurnEnded
        tool.let_go("k")
        async with asyncio.timeout(PATIENCE):
            await store.writing.wait()
        cancelling = asyncio.create_task(host.cancel(ws_id, "c2"))
        await asyncio.sleep(0)
        store.gate.set()

        assert await cancelling
        await ending(host, ws_id, "c1")
        await send(host, ws_id, "next", "c3")
        assert (await ending(host, ws_id, "c3")).text == "go / next"
        assert sorted(await endings(tmp_path, ws_id)) == ["c1", "c2", "c3"]


async def test_one_that_a_step_takes_along_at_the_same_moment_has_one_end(tmp_path: Path) -> None:
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (host, ws_id, store):
        await send(host, ws_id, "rather left", "c2", busy="steer")
        store.held = ev.StepStarted
        tool.let_go("k")
        async with asyncio.timeout(PATIENCE):
            await store.writing.wait()
        cancelling = asyncio.create_task(host.cancel(ws_id, "c2"))
        await asyncio.sleep(0)
        store.gate.set()

        assert not await cancelling  # the step was first
        assert (await ending(host, ws_id, "c2")).text == "go / rather left"
        assert await endings(tmp_path, ws_id) == ["c1", "c2"]


@pytest.mark.parametrize("cid", ["c1", "c2"])
async def test_during_a_shutdown_it_ends_once_now_or_in_the_next_process(
    tmp_path: Path, cid: str
) -> None:
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (host, ws_id, _):
        await send(host, ws_id, "queued", "c2")
        told = await asyncio.gather(host.cancel(ws_id, cid), host.aclose(), return_exceptions=True)
    with ModelServer(echo) as model:
        again = await start_host(tmp_path, model.base_url, store=UnsteadyStore)
        ended = [
            await again.ending(ws_id, c) or await ending(again, ws_id, c) for c in ("c1", "c2")
        ]
        assert sorted(await endings(tmp_path, ws_id)) == ["c1", "c2"]
        await again.aclose()

    assert isinstance(told[0], bool | TurnstoneError)
    assert told[1] is None
    assert [e.correlation_id for e in ended] == ["c1", "c2"]


async def test_a_call_of_a_process_that_is_gone_is_unknown_even_if_its_turn_is_given_up(
    tmp_path: Path,
) -> None:
    tool = HeldTool()
    async with busy_with(tmp_path, tool) as (_, ws_id, _):
        pass
    with ModelServer(echo) as model:
        again = await start_host(tmp_path, model.base_url, tools={"wait": tool}, max_attempts=0)
        ended, seen = await until(again, ws_id, ev.TurnEnded, "c1", after=4)
        await again.aclose()

    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert (ended.outcome, finished.status) == ("failed", "unknown")
    assert "Check what has happened" in finished.output
