"""What a reader is told, over every way to a node: in this process, and over HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import tool_results
from support.hosts import Told, read, said, texts
from turnstone.core import events as ev
from turnstone.core.errors import UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host, SendMessage

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0


def asks_for_bash(body: dict[str, Any]) -> Reply:
    results = tool_results(body)
    return text(results[-1][1]) if results else calls(call("bash", command="echo 42"))


async def test_a_late_reader_gets_the_question_that_waits_after_the_history(
    host: Host, model: Told
) -> None:
    model.plan = asks_for_bash
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read(host, ws.id, ev.ApprovalAsked)

    late = await read(host, ws.id, ev.ApprovalAsked)
    assert [e.type for e in late] == ["connected", "history", "approval_asked"]
    assert {e.id for e in late} == {late[0].id}


async def follow_to_the_end(host: Host, ws_id: str) -> list[ev.Event]:
    return [event async for event in host.follow(ws_id, ev.EventId(1))]


async def test_a_new_reader_starts_from_connected_and_the_history(host: Host) -> None:
    ws = await host.create(CreateWorkstream(name="named"))
    [first] = await read(host, ws.id, ev.Connected)
    assert isinstance(first, ev.Connected)
    assert (first.name, first.state, first.model) == ("named", "idle", "scripted-model")

    await said(host, ws.id, "hello")
    connected, history = await read(host, ws.id, ev.History)
    assert isinstance(history, ev.History)
    assert [(m.role, m.content) for m in history.messages] == [
        ("user", "hello"),
        ("assistant", "hello"),
    ]


async def test_two_readers_one_of_them_late_get_the_same_ids_and_text(
    host: Host, model: Told
) -> None:
    gate = threading.Event()
    answer = "a long answer, in many pieces, " * 10
    model.plan = lambda body: hold(text(answer), gate, before=20)
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    early = asyncio.create_task(read(host, ws.id, ev.TurnEnded, ev.EventId(1)))
    try:
        before = await read(host, ws.id, ev.Content, ev.EventId(1))
    finally:
        gate.set()
    late = await read(host, ws.id, ev.TurnEnded, ev.EventId.parse(before[-1].id))

    async with asyncio.timeout(PATIENCE):
        whole = await early
    assert texts(whole) == answer
    assert [*before, *late] == whole


async def test_a_reader_whose_place_is_gone_is_told_and_gets_a_snapshot(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    last = await said(host, ws.id, "hello")

    for gone in (ev.EventId(0), ev.EventId(last.seq + 1000)):
        seen = await read(host, ws.id, ev.History, gone)
        assert [e.type for e in seen] == ["truncated", "connected", "history"]
        assert {e.id for e in seen} == {str(last)}


async def test_the_global_stream_tells_creations_states_and_closings(host: Host) -> None:
    seen: list[ev.Event] = []

    async def follow_all() -> None:
        # From the far past: the first event says that this is gone, and so that we are there.
        async for event in host.follow_all(ev.EventId(0)):
            seen.append(event)
            there.set()
            if isinstance(event, ev.WsClosed):
                return

    there = asyncio.Event()
    following = asyncio.create_task(follow_all())
    async with asyncio.timeout(PATIENCE):
        await there.wait()
        ws = await host.create(CreateWorkstream(name="watched"))
        await said(host, ws.id)
        await host.close(ws.id)
        await following

    assert seen[0].type == "truncated"
    assert {e.ws_id for e in seen[1:]} == {ws.id}
    assert [e.name for e in seen if isinstance(e, ev.WsCreated)] == ["watched"]
    states = [e.state for e in seen if isinstance(e, ev.WsState)]
    assert states[-1] == "idle"
    assert "thinking" in states
    ids = [ev.EventId.parse(e.id) for e in seen]
    assert ids == sorted(set(ids))


async def test_a_closed_workstream_is_gone_and_its_readers_end(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    reading = asyncio.create_task(read(host, ws.id, ev.WsClosed))
    everything = asyncio.create_task(follow_to_the_end(host, ws.id))
    await asyncio.sleep(0)
    await read(host, ws.id, ev.Connected)
    await host.close(ws.id)

    async with asyncio.timeout(PATIENCE):
        assert (await reading)[-1].type == "ws_closed"
        assert (await everything)[-1].type == "ws_closed"
    assert await host.list() == []
    with pytest.raises(UnknownWorkstream):
        await host.send(SendMessage(ws_id=ws.id, message="hello"))
