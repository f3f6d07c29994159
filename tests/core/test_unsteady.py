"""Things that cross: a close, a cancel, a sender or a failing disk, in the middle of a write."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Plan, Reply, call, calls, die_after, hold, text
from modelserver.plans import echo, tool_results
from support.nodes import start_host
from support.stores import UnsteadyStore
from turnstone.core import events as ev
from turnstone.core import journal as journal_module
from turnstone.core import workstream as workstream_module
from turnstone.core.errors import TurnstoneError, UnknownWorkstream, WorkstreamBusy
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.sandbox import Confinement, Level

PATIENCE = 60.0

CONFINED = Confinement(Level.L3, "L3 (for a test)")


class Scene:
    """A node on an unsteady store, with one workstream."""

    def __init__(
        self, host: LocalHost, store: UnsteadyStore, model: ModelServer, ws_id: str
    ) -> None:
        self.host = host
        self.store = store
        self.model = model
        self.ws_id = ws_id

    async def send(self, text: str, cid: str) -> None:
        await self.host.send(SendMessage(ws_id=self.ws_id, message=text, correlation_id=cid))

    async def until(self, kind: type[ev.Event], cid: str = "") -> ev.Event:
        async with asyncio.timeout(PATIENCE):
            async for event in self.host.follow(self.ws_id, ev.EventId(1)):
                if isinstance(event, kind) and cid in ("", event.correlation_id):
                    return event
        raise AssertionError(f"no {kind.__name__} came")

    async def records(self) -> list[str]:
        return [r.type for r in await self.store.records(self.ws_id)]


@asynccontextmanager
async def scene(folder: Path, plan: Plan, **engine: Any) -> AsyncIterator[Scene]:
    with ModelServer(plan) as model:
        host = await start_host(folder, model.base_url, store=UnsteadyStore, **engine)
        ws = await host.create(CreateWorkstream())
        try:
            yield Scene(host, UnsteadyStore.of(folder), model, ws.id)
        finally:
            await host.aclose()


async def open_gate(scene: Scene) -> None:
    """Let the held write go on, once whatever crosses it has had its turn."""
    for _ in range(20):
        await asyncio.sleep(0)
    scene.store.gate.set()


@pytest.mark.parametrize("held", [ev.TurnEnded, ev.StepFinished, ev.StepStarted])
async def test_a_close_that_meets_a_write_waits_for_it(
    tmp_path: Path, held: type[ev.Event]
) -> None:
    async with scene(tmp_path, echo) as s:
        s.store.held = held
        await s.send("hello", "c1")
        await s.store.writing.wait()
        await asyncio.gather(s.host.close(s.ws_id), s.host.close(s.ws_id), open_gate(s))

        records = await s.records()
        row = await s.store.row(s.ws_id)
        assert records.count("turn_ended") == 1
        assert records[-1] == "ws_closed"
        assert row is not None
        assert (row.closed, row.open_turns) == (True, 0)
        with pytest.raises(UnknownWorkstream):
            await s.send("again", "c2")


async def test_two_closes_at_once_give_every_call_one_result(tmp_path: Path) -> None:
    async with scene(tmp_path, lambda body: calls(call("bash", command="true"))) as s:
        await s.send("go", "c1")
        await s.until(ev.ApprovalAsked)
        await asyncio.gather(s.host.close(s.ws_id), s.host.close(s.ws_id))

        records = await s.records()
    assert records.count("tool_finished") == 1
    assert records.count("turn_ended") == 1
    assert records.count("ws_closed") == 1


async def test_a_message_that_crosses_a_close_is_refused_or_told_its_end(tmp_path: Path) -> None:
    async with scene(tmp_path, echo) as s:
        s.store.held = ev.MessageAccepted
        sending = asyncio.create_task(s.send("hello", "c1"))
        await s.store.writing.wait()
        await asyncio.gather(s.host.close(s.ws_id), open_gate(s))
        await sending

        records = await s.records()
    assert records == [
        "ws_created",
        "message_accepted",
        "cancel_requested",
        "turn_ended",
        "ws_closed",
    ]


async def test_a_close_that_fails_leaves_the_workstream_open(tmp_path: Path) -> None:
    async with scene(tmp_path, echo) as s:
        s.store.failing, s.store.failures = ev.WsClosed, 1
        with pytest.raises(TurnstoneError, match="disk is full"):
            await s.host.close(s.ws_id)

        await s.send("still there?", "c1")
        await s.until(ev.TurnEnded, "c1")
        await s.host.close(s.ws_id)


async def test_a_cancel_that_comes_too_late_leaves_the_next_message_alone(tmp_path: Path) -> None:
    async with scene(tmp_path, echo) as s:
        s.store.held = ev.TurnEnded
        await s.send("one", "c1")
        await s.store.writing.wait()

        assert not await s.host.cancel(s.ws_id)
        s.store.gate.set()
        await s.until(ev.TurnEnded, "c1")
        await s.send("two", "c2")
        ended = await s.until(ev.TurnEnded, "c2")

    assert isinstance(ended, ev.TurnEnded)
    assert (ended.outcome, ended.text) == ("done", "two")


async def test_a_sender_that_asks_again_is_told_that_its_message_was_taken(tmp_path: Path) -> None:
    gate = threading.Event()
    async with scene(tmp_path, lambda body: hold(text("done"), gate)) as s:
        first = SendMessage(ws_id=s.ws_id, message="one", correlation_id="c1", busy="reject")
        await s.host.send(first)
        again = await s.host.send(first)
        other = SendMessage(ws_id=s.ws_id, message="two", busy="reject")
        with pytest.raises(WorkstreamBusy):
            await s.host.send(other)
        gate.set()
        await s.until(ev.TurnEnded, "c1")

        assert again.duplicate
        assert (await s.records()).count("message_accepted") == 1


async def test_of_senders_that_want_an_idle_workstream_one_gets_it(tmp_path: Path) -> None:
    async with scene(tmp_path, echo) as s:
        told = await asyncio.gather(
            *(
                s.host.send(SendMessage(ws_id=s.ws_id, message=str(n), busy="reject"))
                for n in range(3)
            ),
            return_exceptions=True,
        )

    assert sorted(getattr(t, "code", "taken") for t in told) == ["busy", "busy", "taken"]


@pytest.mark.parametrize("failing", [ev.StepStarted, ev.StepFinished, ev.TurnEnded])
async def test_a_turn_that_could_not_be_recorded_goes_on_when_it_can(
    tmp_path: Path, failing: type[ev.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workstream_module, "RETRY", 0.01)  # a time, not a behaviour
    async with scene(tmp_path, echo) as s:
        s.store.failing, s.store.failures = failing, 2
        await s.send("hello", "c1")
        complaint = await s.until(ev.Error)
        ended = await s.until(ev.TurnEnded, "c1")

    assert isinstance(complaint, ev.Error)
    assert complaint.correlation_id == "c1"
    assert "goes on by itself" in complaint.message
    assert "disk is full" in complaint.message
    assert isinstance(ended, ev.TurnEnded)
    assert ended.text == "hello"


async def test_what_a_tool_has_done_is_recorded_once_the_store_takes_records_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY", 0.01)  # a time, not a behaviour

    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(results[0][1]) if results else calls(call("bash", command="echo once >> made"))

    async with scene(tmp_path, plan, auto_approve=True, confinement=CONFINED) as s:
        s.store.failing, s.store.failures = ev.ToolFinished, 3
        await s.send("go", "c1")
        complaint = await s.until(ev.Error)
        finished = await s.until(ev.ToolFinished, "c1")
        ended = await s.until(ev.TurnEnded, "c1")

    assert isinstance(complaint, ev.Error)
    assert "goes on by itself" in complaint.message
    assert isinstance(finished, ev.ToolFinished)
    assert finished.status == "ok"
    assert isinstance(ended, ev.TurnEnded)
    assert ended.outcome == "done"
    assert (s.host.engine.workspace / "made").read_text() == "once\n"


async def test_text_of_a_step_that_failed_is_taken_back_from_everybody(tmp_path: Path) -> None:
    async with scene(tmp_path, lambda body: die_after(text("half an answer " * 9), 6)) as s:
        await s.send("hello", "c1")
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE):
            async for event in s.host.follow(s.ws_id, ev.EventId(1)):
                seen.append(event.type)
                if isinstance(event, ev.TurnEnded):
                    break

    assert "content" in seen
    assert seen.index("stream_reset") > seen.index("content")
    assert seen[-4:] == ["stream_reset", "step_failed", "error", "turn_ended"]


async def test_a_message_sent_twice_is_in_the_queue_once(tmp_path: Path) -> None:
    gate = threading.Event()
    async with scene(tmp_path, lambda body: hold(text("done"), gate)) as s:
        await s.send("one", "c1")
        await s.until(ev.StepStarted)
        for _ in range(3):
            await s.send("two", "c2")
        [listed] = await s.host.list()
        gate.set()
        await s.until(ev.TurnEnded, "c2")

        assert listed.queued == 1
        assert len(s.model.requests) == 2


async def test_one_damaged_workstream_does_not_keep_the_others_from_work(tmp_path: Path) -> None:
    async with scene(tmp_path, lambda body: calls(call("bash", command="true"))) as s:
        other = await s.host.create(CreateWorkstream())
        for ws_id in (s.ws_id, other.id):
            await s.host.send(SendMessage(ws_id=ws_id, message="go"))
            async for event in s.host.follow(ws_id, ev.EventId(1)):
                if isinstance(event, ev.ApprovalAsked):
                    break
        await s.host.aclose()
        with sqlite3.connect(tmp_path / "turnstone.db") as connection:
            connection.execute(
                "UPDATE record SET body = x'7b' WHERE ws_id = ? AND seq = 2", (s.ws_id,)
            )
        connection.close()
        s.model.plan = lambda body: text("done") if tool_results(body) else text("?")

        again = await start_host(tmp_path, s.model.base_url)
        await again.approve(Answer(ws_id=other.id, approved=True))
        async with asyncio.timeout(PATIENCE):
            async for event in again.follow(other.id):
                if isinstance(event, ev.TurnEnded):
                    break
        with pytest.raises(TurnstoneError, match="damaged"):
            await again.send(SendMessage(ws_id=s.ws_id, message="hello?"))
        await again.aclose()

    assert isinstance(event, ev.TurnEnded)
    assert event.outcome == "done"
