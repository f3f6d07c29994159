"""A correlation id that the node knows already: another text is refused, and its sender told; the
same text gets the whole result, also of what never came to the queue."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, tool_results
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core.host import CreateWorkstream
from turnstone.mq.memory_broker import Beats, MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.work import LEASE, Admitted, Claimed
from turnstone.mq.worker import Worker


async def test_another_text_under_a_used_correlation_id_is_refused_to_its_sender(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "the first", "c1")
        await ending(node.host, ws.id, "c1")
        worker = Worker(node.host, MemoryWork(broker, "n1"))
        running = asyncio.create_task(worker.run())
        with broker.subscribe(f"turnstone:events:{ws.id}") as heard:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            broker.send(message("another", "c1", ws_id=ws.id))
            await until(lambda: result_in(broker, "c1") is not None)
        await worker.aclose()
        await running
        asked = [last_user_text(body) for body in node.model.requests]

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.outcome == "refused"
    assert "'c1' was used for another message" in kept.errors[0]
    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    acks = [event for event in told if event["type"] == "ack"]
    assert [ack["status"] for ack in acks] == ["error"]
    assert f"in workstream {ws.id}" in acks[0]["detail"]
    assert asked == ["the first"]


async def test_a_result_is_made_whole_from_the_journal_where_its_events_never_came_to_the_queue(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("the answer")
        return calls(call("read_file", path="there"), text="first a look")

    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/there").write_text("what is in it")
    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        # As a worker did whose process was killed just then: nobody has carried its events.
        await send(node.host, ws.id, "go", "c1")
        await ending(node.host, ws.id, "c1")
        worker = Worker(node.host, MemoryWork(broker, "n1"))
        running = asyncio.create_task(worker.run())
        broker.send(message("go", "c1", ws_id=ws.id))
        await until(lambda: result_in(broker, "c1") is not None)
        await worker.aclose()
        await running

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.content == ["first a look", "the answer"]
    [(name, output)] = kept.tool_results
    assert (name, "what is in it" in output) == ("read_file", True)


class Sleeper(MemoryWork):
    """The twin, of a process that sleeps beyond its lease with two messages of a workstream in
    hand. Another returns them meanwhile, and they come back to it right behind its first word."""

    slept = False

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        if claimed.correlation_id != "c1" or self.slept:
            return await super().admit(claimed, bind=bind, attempt=attempt)
        self.slept = True
        self.broker.send(message("two", "c2", ws_id=claimed.ws_id), "n1")
        mine = f"turnstone:x:pd:{self.incarnation}"
        await until(lambda: self.broker.length(mine) == 2)
        await asyncio.sleep(0)  # what is in the list is in hand then
        self.broker.leases[self.incarnation] = 0.0
        other = MemoryWork(self.broker, "n2")
        await other.beat({})
        assert await other.reap() == 2
        await self.beat({})
        admitted = await super().admit(claimed, bind=bind, attempt=attempt)
        assert admitted.admission == "fenced"
        for _ in range(2):
            await self.pull_directed(0)
        return admitted


async def test_messages_that_came_back_to_a_process_which_slept_keep_their_order(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        worker = Worker(node.host, Sleeper(broker, "n1"), beat_every=0.2)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        broker.send(message("one", "c1", ws_id=ws.id), "n1")
        await until(lambda: result_in(broker, "c1") and result_in(broker, "c2"))
        await worker.aclose()
        await running
        asked = [last_user_text(body) for body in node.model.requests]

    assert asked == ["one", "two"]


def lose_all(broker: MemoryBroker) -> None:
    """As a Redis that was started again without its data."""
    broker.beats = Beats()
    for kept in (broker.records, broker.inflight, broker.leases, broker.owners, broker.epochs):
        kept.clear()


async def test_what_runs_here_is_entered_again_when_the_queue_has_lost_it(tmp_path: Path) -> None:
    broker, gate = MemoryBroker(), threading.Event()
    async with local_node(tmp_path, lambda _: hold(text("the answer"), gate)) as node:
        ws = await node.host.create(CreateWorkstream())
        worker = Worker(node.host, MemoryWork(broker, "n1"), beat_every=0.1)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        broker.send(message("go", "c1", ws_id=ws.id), "n1")
        await until(lambda: broker.inflight.get("n1") and node.model.requests)
        lose_all(broker)
        await until(lambda: "c1" in broker.inflight.get("n1", {}))
        entered = replace(broker.records["c1"])
        owner = broker.owners.get(ws.id)
        other = MemoryWork(broker, "n2")
        await other.beat({})
        broker.send(message("go", "c1"))
        await other.pull_shared(0)
        copies = await other.claim(1)
        admitted = [(await other.admit(copy)).admission for copy in copies]
        gate.set()
        await until(lambda: result_in(broker, "c1") is not None)
        await worker.aclose()
        await running

    assert (entered.state, entered.node, entered.fx) == ("accepted", "n1", True)
    assert owner == "n1"
    assert admitted in (["accepted"], [])  # or it came to its own node
    assert len(node.model.requests) == 1


async def test_a_message_goes_to_its_owner_that_the_queue_had_forgotten(tmp_path: Path) -> None:
    broker = MemoryBroker()
    former, passing = MemoryWork(broker, "n2", lease=LEASE), MemoryWork(broker, "n1", lease=LEASE)
    await former.beat({})
    await passing.beat({})
    async with local_node(tmp_path, echo) as node:
        worker = Worker(node.host, passing, beat_every=LEASE / 3)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        lose_all(broker)
        await former.beat({})
        await passing.beat({})
        broker.send(message("go", "c1", ws_id="0000000a"))
        await until(lambda: broker.owners.get("0000000a") == "n1")  # who met it, and is not it
        await former.own("0000000a", 1)
        await until(lambda: broker.length("turnstone:inbound:n2") or result_in(broker, "c1"))
        await worker.aclose()
        await running

    assert result_in(broker, "c1") is None
    assert not broker.dead
