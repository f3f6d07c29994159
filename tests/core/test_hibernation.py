"""Idle workstreams leave memory, are as they were, and nothing that works is ever touched."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Plan, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.clocks import SetClock
from support.nodes import start_host
from support.stores import UnsteadyStore
from turnstone.core import events as ev
from turnstone.core import prompts
from turnstone.core.clock import SystemClock
from turnstone.core.errors import StoreError, WorkstreamBusy
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

TIMEOUT = 7200.0


@dataclass
class Scene:
    """A node whose workstreams sleep after two hours of a clock that the test sets."""

    host: LocalHost
    store: UnsteadyStore
    model: ModelServer
    clock: SetClock

    async def sweep(self, seconds: float = TIMEOUT) -> int:
        """What is awake after this time, and the sweep that follows."""
        self.clock.advance(seconds)
        await self.host.sweep()
        return await self.awake()

    async def all_sleep(self) -> None:
        """Once what has just ended is over, all of them do."""
        async with asyncio.timeout(PATIENCE):
            while await self.sweep():
                await asyncio.sleep(0.01)

    async def awake(self) -> int:
        return (await self.host.health()).awake

    async def send(self, ws_id: str, message: str, cid: str) -> None:
        await self.host.send(SendMessage(ws_id=ws_id, message=message, correlation_id=cid))

    async def until(
        self, ws_id: str, kind: type[ev.Event], cid: str = "", after: int = 1
    ) -> list[ev.Event]:
        seen = []
        async with asyncio.timeout(PATIENCE):
            events = self.host.follow(ws_id, ev.EventId(after))
            assert isinstance(events, AsyncGenerator)
            async with aclosing(events):
                async for event in events:
                    seen.append(event)
                    if isinstance(event, kind) and cid in ("", event.correlation_id):
                        return seen
        raise AssertionError(f"no {kind.__name__} came: {seen}")


@asynccontextmanager
async def scene(folder: Path, plan: Plan = echo, **engine: Any) -> AsyncIterator[Scene]:
    clock = engine.setdefault("clock", SetClock())
    engine.setdefault("idle_timeout", TIMEOUT)
    with ModelServer(plan) as model:
        stores: list[UnsteadyStore] = []

        class Store(UnsteadyStore):
            def __init__(self, path: Path) -> None:
                super().__init__(path)
                stores.append(self)

        host = await start_host(folder, model.base_url, store=Store, **engine)
        try:
            yield Scene(host, stores[0], model, clock)
        finally:
            await host.aclose()


def asks(body: dict[str, Any]) -> Any:
    return text("done") if tool_results(body) else calls(call("bash", command="true"))


async def test_an_idle_workstream_sleeps_is_listed_as_it_was_and_goes_on_when_asked(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream(name="mine"))
        await s.send(ws.id, "the first", "c1")
        await s.until(ws.id, ev.TurnEnded)
        [before] = await s.host.list()
        assert await s.sweep(TIMEOUT - 1) == 1
        await s.all_sleep()
        slept = s.clock.now() - before.updated

        assert await s.host.list() == [before]
        assert await s.host.ending(ws.id, "c1") is not None
        assert await s.awake() == 0

        await s.send(ws.id, "the second", "c2")
        await s.until(ws.id, ev.TurnEnded, "c2")
        sent = [m["content"] for m in s.model.requests[-1]["messages"] if m["role"] != "system"]
        [after] = await s.host.list()
    assert sent == ["the first", "the first", "the second"]
    assert after.updated == pytest.approx(before.updated + slept)
    assert after.session_id == before.session_id


async def test_a_message_that_was_accepted_before_a_sleep_is_a_duplicate_after_it(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "once", "c1")
        await s.until(ws.id, ev.TurnEnded)
        await s.all_sleep()
        again = await s.host.send(SendMessage(ws_id=ws.id, message="once", correlation_id="c1"))
        assert again.duplicate
        assert [r.type for r in await s.store.records(ws.id)].count("message_accepted") == 1


async def test_what_runs_and_what_is_queued_behind_it_is_not_put_to_sleep(tmp_path: Path) -> None:
    gate = threading.Event()
    async with scene(tmp_path, lambda body: hold(text("done"), gate)) as s:
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "hello", "c1")
        await s.send(ws.id, "more", "c2")
        await s.until(ws.id, ev.StepStarted)
        assert await s.sweep() == 1
        assert (await s.host.list())[0].state == "thinking"
        gate.set()
        await s.until(ws.id, ev.TurnEnded, "c2")


async def test_a_question_that_waits_keeps_its_workstream_awake(tmp_path: Path) -> None:
    async with scene(tmp_path, asks) as s:
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "go", "c1")
        await s.until(ws.id, ev.ApprovalAsked)
        assert await s.sweep() == 1
        await s.host.approve(Answer(ws_id=ws.id, approved=False))
        await s.until(ws.id, ev.TurnEnded)
        await s.all_sleep()


async def test_a_reader_keeps_its_workstream_awake_until_it_leaves(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream())
        events = s.host.follow(ws.id)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            await anext(events)
            assert await s.sweep() == 1
        assert await s.sweep(TIMEOUT - 1) == 1  # idle only since the reader left
        await s.all_sleep()


async def test_a_message_whose_sender_is_gone_while_it_is_written_is_carried_on(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream())
        s.store.held = ev.MessageAccepted
        sending = asyncio.create_task(s.send(ws.id, "hello", "c1"))
        await s.store.writing.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert await s.sweep() == 1
        s.store.gate.set()
        await s.until(ws.id, ev.TurnEnded, "c1")


async def test_sends_that_cross_the_sleep_of_their_workstream_are_accepted_once_each(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with scene(tmp_path, idle_timeout=1.0) as s:
        ids = [(await s.host.create(CreateWorkstream())).id for _ in range(3)]
        slept = 0

        async def soon() -> None:
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)

        async def sweep_soon() -> bool:
            await soon()
            return await s.sweep(2.0) < len(ids)

        async def send_soon(cid: str) -> None:
            await soon()
            for _ in range(2):
                await s.send(ids[int(cid) % 3], f"message {cid}", cid)

        for round_ in range(40):
            cids = [str(3 * round_ + n) for n in range(3)]
            *_, one, two = await asyncio.gather(*map(send_soon, cids), sweep_soon(), sweep_soon())
            slept += bool(one or two)
            for cid in cids:
                await s.until(ids[int(cid) % 3], ev.TurnEnded, cid)
        kinds = [r.type for ws_id in ids for r in await s.store.records(ws_id)]
    assert slept > 5, "the rounds did not cross a sleep"
    assert kinds.count("message_accepted") == 120
    assert kinds.count("turn_ended") == 120


async def test_event_ids_rise_over_a_sleep_and_a_reader_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream())
        s.store.held = s.store.failing = ev.MessageAccepted
        s.store.failures = 1
        sending = asyncio.create_task(s.send(ws.id, "lost", "c1"))
        await s.store.writing.wait()
        with pytest.raises(WorkstreamBusy):
            await s.host.send(SendMessage(ws_id=ws.id, message="no", busy="reject"))
        s.store.gate.set()
        with pytest.raises(StoreError):
            await sending
        [told] = await s.until(ws.id, ev.BusyError)
        last = ev.EventId.parse(told.id)
        assert last == ev.EventId(1, 1)

        assert await s.sweep() == 0
        reader = s.host.follow(ws.id, last)
        assert isinstance(reader, AsyncGenerator)
        async with aclosing(reader):
            coming = asyncio.ensure_future(anext(reader))
            await s.send(ws.id, "hello", "c2")
            first = await coming
    assert isinstance(first, ev.MessageAccepted)
    assert ev.EventId.parse(first.id) > last


async def test_a_start_opens_only_what_has_work(tmp_path: Path) -> None:
    async with scene(tmp_path, asks) as s:
        for _ in range(5):
            await s.host.create(CreateWorkstream())
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "go", "c1")
        await s.until(ws.id, ev.ApprovalAsked)
    async with scene(tmp_path, asks) as s:
        assert await s.awake() == 1
        assert sorted(info.state for info in await s.host.list()) == ["attention"] + ["idle"] * 5


async def test_a_message_to_one_that_sleeps_is_taken_where_all_others_are_at_work(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, asks, max_workstreams=1) as s:
        one = await s.host.create(CreateWorkstream())
        two = await s.host.create(CreateWorkstream())
        await s.send(two.id, "go", "c1")
        await s.until(two.id, ev.ApprovalAsked)
        await s.send(one.id, "go", "c2")
        await s.until(one.id, ev.ApprovalAsked)
        assert await s.awake() == 2


async def test_with_the_timeout_off_nothing_sleeps_for_being_idle(tmp_path: Path) -> None:
    async with scene(tmp_path, idle_timeout=0.0) as s:
        await s.host.create(CreateWorkstream())
        assert await s.sweep(1e9) == 1


async def test_the_node_sweeps_by_itself(tmp_path: Path) -> None:
    async with scene(tmp_path, idle_timeout=0.05, clock=SystemClock()) as s:
        await s.host.create(CreateWorkstream())
        async with asyncio.timeout(PATIENCE):
            while await s.awake():
                await asyncio.sleep(0.01)
        assert len(await s.host.list()) == 1


async def test_a_global_reader_is_told_no_state_that_did_not_change(tmp_path: Path) -> None:
    """An idle state told before the turn has begun would end the wait of a peer of 0.2."""
    async with scene(tmp_path) as s:
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "one", "c1")
        await s.until(ws.id, ev.TurnEnded)
        await s.all_sleep()
        told = s.host.follow_all()
        assert isinstance(told, AsyncGenerator)
        async with aclosing(told), asyncio.timeout(PATIENCE):
            coming = asyncio.ensure_future(anext(told))
            await asyncio.sleep(0)
            await s.send(ws.id, "two", "c2")
            first = await coming
    assert isinstance(first, ev.WsState)
    assert first.state == "thinking"


async def test_a_workstream_stays_awake_while_its_title_is_asked_for(tmp_path: Path) -> None:
    gate, asked = threading.Event(), threading.Event()

    def plan(body: dict[str, Any]) -> Any:
        if body["messages"][0]["content"] != prompts.text("title"):
            return echo(body)
        asked.set()
        return hold(text("Pears"), gate)

    async with scene(tmp_path, plan, titles=True) as s:
        ws = await s.host.create(CreateWorkstream())
        await s.send(ws.id, "hello", "c1")
        await s.until(ws.id, ev.TurnEnded)
        assert await asyncio.to_thread(asked.wait, PATIENCE)
        await asyncio.sleep(0)
        assert await s.sweep() == 1
        gate.set()
        await s.until(ws.id, ev.Titled)
        await s.all_sleep()
        assert [info.title for info in await s.host.list()] == ["Pears"]
