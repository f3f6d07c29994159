"""Workers and what nodes that are gone, or never were, have left: it is told, or run by others."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import hold, text
from modelserver.plans import echo
from support.clocks import SetClock
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from turnstone.core.host import CreateWorkstream, Host, SendMessage
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.worker import Worker


@asynccontextmanager
async def working(host: Host, work: MemoryWork, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(host, work, beat_every=0.05, **options)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        yield worker
    finally:
        await worker.aclose()
        await running


@pytest.mark.parametrize("sent_to", ["", "gone", "never"])
async def test_a_message_whose_node_is_not_there_is_told_or_run_by_any_as_its_sender_says(
    tmp_path: Path, sent_to: str
) -> None:
    broker = MemoryBroker()
    gone = MemoryWork(broker, "gone", lease=0.01)
    await gone.beat({})
    await gone.aclose()
    del broker.heartbeats["gone"]
    target = sent_to or "never"
    broker.send(message("one", "c1", target_node=target), sent_to)
    broker.send(message("two", "c2", target_node=target, if_unavailable="error"), sent_to)
    broker.send(message("three", "c3", target_node=target, if_unavailable="any"), sent_to)
    work = MemoryWork(broker, "n1", lost_after=0.05, unknown_after=0.05)
    async with local_node(tmp_path, echo) as node, working(node.host, work, target_wait=0.05):
        await until(lambda: all(result_in(broker, cid) for cid in ("c1", "c2", "c3")))

    outcomes = [
        (found.outcome, found.content)
        for cid in ("c1", "c2", "c3")
        if (found := result_in(broker, cid))
    ]
    assert outcomes == [("dead", []), ("dead", []), ("done", ["three"])]
    assert [letter.correlation_id for letter in broker.dead] == ["c1", "c2"]


class Counted(MemoryWork):
    """Says how often it looked for what others have left."""

    looks = 0

    async def answer_gone(self) -> int:
        self.looks += 1
        return await super().answer_gone()


async def test_of_many_workers_one_looks_for_what_others_have_left_until_its_time_is_over(
    tmp_path: Path,
) -> None:
    clock = SetClock()
    broker = MemoryBroker(clock=clock)
    works = [Counted(broker, f"n{number}", lease=1e9) for number in range(3)]

    def beats() -> int:
        shown = [json.loads(shown)["beats"] for _, shown in broker.heartbeats.values()]
        return min(shown) if len(shown) == len(works) else 0

    async with local_node(tmp_path, echo) as node, AsyncExitStack() as stack:
        for work in works:
            await stack.enter_async_context(working(node.host, work))
        for turn in (1, 2):
            after = beats() + 3
            await until(lambda: beats() > after)  # noqa: B023
            assert sum(work.looks for work in works) == turn
            clock.advance(1.0)


async def test_a_message_that_the_journal_has_in_another_workstream_gets_its_result_from_there(
    tmp_path: Path,
) -> None:
    broker, gate = MemoryBroker(), threading.Event()
    plan = lambda body: hold(text("said there"), gate)  # noqa: E731
    async with local_node(tmp_path, plan) as node:
        first = await node.host.create(CreateWorkstream())
        await node.host.send(SendMessage(ws_id=first.id, message="go", correlation_id="c1"))
        broker.send(message("go", "c1"))
        async with working(node.host, MemoryWork(broker, "n1")):
            await until(lambda: "c1" in broker.inflight.get("n1", {}))
            gate.set()
            await until(lambda: result_in(broker, "c1") is not None)
            left = [info.id for info in await node.host.list()]

    found = result_in(broker, "c1")
    assert found is not None
    assert (found.outcome, found.content, found.ws_id) == ("done", ["said there"], first.id)
    assert left == [first.id]
