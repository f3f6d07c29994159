"""A node that stops and starts again goes on: with its turns, its questions, its workstreams."""

from __future__ import annotations

import threading
from pathlib import Path

from modelserver import hold, text
from modelserver.plans import echo
from support.nodes import local_node, start_host
from support.turns import bash_once, ending, kinds, turn, until_ended
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, SendMessage


async def test_a_node_that_starts_again_takes_its_open_turns_up(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, lambda body: hold(text("at last"), gate)) as node:
        ws = await node.host.create(CreateWorkstream(name="kept"))
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.StepStarted):
                break
        await node.host.aclose()
        gate.set()

        again = await start_host(tmp_path, node.model.base_url)
        events = await until_ended(again, ws.id, sent.correlation_id)
        [listed] = await again.list()
        await again.aclose()

    assert ending(events).text == "at last"
    assert "turn_resumed" in kinds(events)
    assert listed.name == "kept"
    assert listed.state == "idle"


async def test_readers_are_told_when_a_turn_goes_on_with_another_model(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(
        tmp_path, lambda body: hold(text("at last"), gate), model_name="small"
    ) as node:
        ws = await node.host.create(CreateWorkstream(name="kept"))
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.StepStarted):
                break
        await node.host.aclose()

        again = await start_host(tmp_path, node.model.base_url, model_name="large")
        gate.set()
        events = await until_ended(again, ws.id, sent.correlation_id)
        await again.aclose()

    told = [event.message for event in events if isinstance(event, ev.Info)]
    assert told == ["This turn was begun with the model small, and goes on with large."]


async def test_a_question_survives_a_restart_under_its_id(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("echo ran >> note")) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in node.host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.ApprovalAsked):
                asked = event
                break
        await node.host.aclose()

        again = await start_host(tmp_path, node.model.base_url)
        async for event in again.follow(ws.id):
            if isinstance(event, ev.ApprovalAsked):
                assert event.request_id == asked.request_id
                break
        await again.approve(Answer(ws_id=ws.id, request_id=asked.request_id, approved=True))
        events = await until_ended(again, ws.id, sent.correlation_id, ev.EventId.parse(asked.id))
        await again.aclose()

        assert (node.workspace / "note").read_text() == "ran\n"
    assert kinds(events).count("approval_asked") == 0
    assert ending(events).outcome == "done"


async def test_a_question_may_wait_through_any_number_of_restarts(tmp_path: Path) -> None:
    async with local_node(tmp_path, bash_once("echo ran >> note")) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go"))
        host = node.host
        for _ in range(6):
            async for event in host.follow(ws.id):
                if isinstance(event, ev.ApprovalAsked):
                    break
            await host.aclose()
            host = await start_host(tmp_path, node.model.base_url)
        await host.approve(Answer(ws_id=ws.id, approved=True))
        async for event in host.follow(ws.id):
            if isinstance(event, ev.TurnEnded) or (
                isinstance(event, ev.Connected) and event.state == "idle"
            ):
                break
        await host.aclose()

        assert (node.workspace / "note").read_text() == "ran\n"
    assert event.correlation_id in ("", sent.correlation_id)


async def test_a_node_that_is_given_another_id_keeps_its_workstreams(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream(name="kept"))
        await turn(node.host, ws.id, "one")
        await node.host.aclose()

        renamed = await start_host(tmp_path, node.model.base_url, node_id="server-12")
        [listed] = await renamed.list()
        events = await turn(renamed, ws.id, "two")
        await renamed.aclose()

    assert renamed.node_id == "server-12"
    assert listed.name == "kept"
    assert ending(events).text == "two"
