"""A full node: it gives back what it has no room for, in order, and sees when there is some."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from modelserver import Plan, hold
from modelserver.plans import echo
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import Node, local_node
from support.watching import in_use
from turnstone.core.host import CreateWorkstream
from turnstone.mq import protocol as p
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.work import Admitted, Claimed
from turnstone.mq.worker import Worker
from turnstone.mq.worker_job import Job
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_room import Room
from turnstone.mq.worker_turns import Turn, Turns

#: Seconds that no test waits: what happens before is not because a full node tried again.
NEVER = 1_000.0


@asynccontextmanager
async def full_node(
    broker: MemoryBroker, folder: Path, *, room: int = 0, plan: Plan = echo, **worker: Any
) -> AsyncIterator[tuple[Node, str]]:
    """A node with one workstream in use, and room for so many more."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(local_node(folder, plan, max_workstreams=1 + room))
        ws = await node.host.create(CreateWorkstream())
        await stack.enter_async_context(in_use(node.host, ws.id))
        options = {"beat_every": 0.05} | worker
        working = Worker(node.host, MemoryWork(broker, "n1"), **options)
        running = asyncio.create_task(working.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await working.ready.wait()
            yield node, ws.id
        finally:
            await working.aclose()
            await running


def tries_of(broker: MemoryBroker, cid: str) -> int:
    """How often it was admitted, whether or not that counted."""
    return broker.records[cid].epoch if cid in broker.records else 0


def tries_of_given(broker: MemoryBroker, number: int) -> int:
    """Of the message that was given the id of this number."""
    named = next((cid for cid in broker.records if cid.endswith(f"-{number}")), "")
    return tries_of(broker, named)


def shared(broker: MemoryBroker) -> list[str]:
    return [json.loads(entry)["correlation_id"] for entry in broker.list("turnstone:inbound")]


async def staged(broker: MemoryBroker, *messages: bytes) -> None:
    """As a node leaves them that dies before it claims."""
    node = MemoryWork(broker, "gone")
    await node.beat({})
    for each in messages:
        broker.send(each)
        await node.pull_shared(0)
    await node.aclose()


async def test_what_a_full_node_gives_back_or_finds_staged_keeps_its_order(tmp_path: Path) -> None:
    broker = MemoryBroker()
    names = [f"c{n}" for n in range(8)]
    await staged(broker, *(message("waits", name) for name in names))
    async with full_node(broker, tmp_path, retry=0.2, slots=3):
        await until(lambda: tries_of(broker, "c0") > 3 and shared(broker) == names)
        tries = [tries_of(broker, name) for name in names]

    assert tries[1:] == [1, 1, 0, 0, 0, 0, 0]
    assert broker.length("turnstone:x:stage") == 0


async def test_a_full_node_tries_one_message_more_and_not_all(tmp_path: Path) -> None:
    broker = MemoryBroker()
    unnamed = json.dumps({"type": "send", "message": "waits"}).encode()  # it returns to staging
    await staged(broker, *[unnamed] * 4)
    async with full_node(broker, tmp_path, retry=0.2):
        await until(lambda: tries_of_given(broker, 1) > 3)
        tries = [tries_of_given(broker, n) for n in range(2, 5)]

    assert tries == [1, 1, 1]


async def test_what_follows_the_one_that_a_node_had_room_for_is_not_tried_again(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    names = [f"c{n}" for n in range(8)]
    await staged(broker, *(message("go", name) for name in names))
    gate = threading.Event()
    plan = lambda body: hold(echo(body), gate)  # noqa: E731
    async with full_node(broker, tmp_path, room=1, plan=plan, retry=NEVER) as (node, _):
        await until(lambda: len(node.model.requests) == 1 and len(shared(broker)) == 7)
        tries = [tries_of(broker, name) for name in names]
        waiting = shared(broker)
        gate.set()
        await until(lambda: result_in(broker, names[0]) or result_in(broker, names[-1]))

    assert waiting == [name for name in names if name in waiting]
    assert tries == [1] * 8


async def test_a_full_node_takes_the_next_message_as_soon_as_a_turn_of_the_queue_has_ended(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    names = [f"c{n}" for n in range(5)]
    async with full_node(broker, tmp_path, room=1, retry=NEVER):
        for name in names:
            broker.send(message("shared", name))
            broker.send(message("mine", f"d{name}", ws_id=f"0badc0d{name[1]}", create=True), "n1")
            await until(partial(result_in, broker, name))
            await until(partial(result_in, broker, f"d{name}"))

    kinds = [
        [json.loads(envelope)["type"] for _, envelope in events]
        for events in broker.streams.values()
    ]
    assert all(told[-1] == "turn_ended" for told in kinds if told)
    done = [result_in(broker, name) for name in names]
    assert [kept.content for kept in done if kept] == [["shared"]] * 5


async def test_what_a_full_node_gives_back_and_had_staged_wakes_one_that_waits(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with full_node(broker, tmp_path, retry=NEVER):
        await until(lambda: b'"full": false' in broker.heartbeats["n1"][1])
        broker.send(message("go", "c0"))
        await until(lambda: b'"full": true' in broker.heartbeats["n1"][1])
        idle = MemoryWork(broker, "n2")
        await idle.beat({})
        assert await idle.pull_shared(PATIENCE)
        assert [claimed.correlation_id for claimed in await idle.claim(9)] == ["c0"]


async def test_a_full_node_goes_on_trying_after_it_was_sent_to_a_workstream_that_is_there(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with full_node(broker, tmp_path, retry=0.2) as (node, ws_id):
        broker.send(message("waits", "c1"))
        await until(lambda: tries_of(broker, "c1") > 0)
        broker.send(message("mine", "c2", ws_id=ws_id, create=True), "n1")
        await until(lambda: result_in(broker, "c2") is not None)
        before = tries_of(broker, "c1")
        await until(lambda: tries_of(broker, "c1") > before + 2)
        await node.host.close(ws_id)
        await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert (kept.outcome, kept.content) == ("done", ["waits"])


async def test_a_try_that_died_elsewhere_is_no_reason_to_refuse_a_message(tmp_path: Path) -> None:
    broker = MemoryBroker()
    other = MemoryWork(broker, "other")
    await other.beat({})
    broker.send(message("go", "c1"))
    await other.pull_shared(0)
    (claimed,) = await other.claim(1)
    await other.admit(claimed)
    await other.aclose()
    async with full_node(broker, tmp_path, retry=NEVER) as (node, ws_id):
        await until(lambda: tries_of(broker, "c1") == 2 and shared(broker) == ["c1"])
        assert broker.records["c1"].tries == 1
        await node.host.close(ws_id)
        await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.content == ["go"]


async def test_a_message_that_an_earlier_try_had_bound_to_a_full_node_is_refused(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    earlier = MemoryWork(broker, "n1")
    await earlier.beat({})
    broker.send(message("go", "c1"))
    await earlier.pull_shared(0)
    (claimed,) = await earlier.claim(1)
    await earlier.admit(claimed, bind=True)
    await earlier.aclose()
    async with full_node(broker, tmp_path, in_process=False, retry=NEVER):
        await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.outcome == "refused"
    assert "may hold" in " ".join(kept.errors)


async def test_a_workstream_that_was_refused_to_a_message_is_announced_when_somebody_makes_it(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:global") as heard:
        async with full_node(broker, tmp_path) as (node, ws_id):
            broker.send(message("go", "c1", ws_id="0badc0de", create=True), "n1")
            await until(lambda: result_in(broker, "c1") is not None)
            await node.host.close(ws_id)
            await node.host.create(CreateWorkstream(ws_id="0badc0de"))
            async with asyncio.timeout(PATIENCE):
                while True:
                    told = json.loads(await heard.get())
                    if (told["type"], told.get("ws_id")) == ("ws_created", "0badc0de"):
                        break


async def test_a_turn_that_is_anothers_is_remembered_until_the_node_has_ended_it() -> None:
    turns = Turns()
    turn = Turn("c1", 1, "shared", b"", "0badc0de", "go")
    turns.add(turn)
    turns.supersede(turn)
    assert turns.superseded("c1")

    turns.over("c1")

    assert not turns.superseded("c1")


async def test_a_workstream_that_was_asked_for_before_a_refusal_shows_no_room() -> None:
    broker = MemoryBroker()
    work = MemoryWork(broker, "n1")
    await work.beat({})
    room = Room(work, Link("n1"), asyncio.Event(), NEVER)
    before = room.refusals
    broker.send(message("waits", "c1"))
    await work.pull_shared(0)
    (claimed,) = await work.claim(1)
    epoch = (await work.admit(claimed)).epoch
    job = Job(p.parse(claimed.raw), "c1", epoch, "shared", claimed.raw, claimed)

    assert await room.refused(job)
    full = []
    for refusals in (before, room.refusals):
        room.made(refusals)
        full.append(room.full)

    assert full == [True, False]
    assert shared(broker) == ["c1"]


async def test_a_full_node_answers_what_needs_no_workstream(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with full_node(broker, tmp_path, retry=NEVER) as (_, ws_id):
        broker.send(message("waits", "c0"))
        await until(lambda: tries_of(broker, "c0") > 0 and shared(broker) == ["c0"])
        with broker.subscribe("turnstone:events:global") as heard:
            broker.send(json.dumps({"type": "health", "correlation_id": "h1"}).encode())
            # Programs of 0.2 send this into the shared list: it is what makes room.
            close = {"type": "close_workstream", "correlation_id": "x1", "ws_id": ws_id}
            await until(lambda: result_in(broker, "h1") is not None)
            assert shared(broker) == ["c0"]
            broker.send(json.dumps(close).encode())
            await until(lambda: result_in(broker, "x1") is not None)
            await until(lambda: result_in(broker, "c0") is not None)
        told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    assert "health_response" in [event["type"] for event in told]


class Forgetful(MemoryWork):
    """The twin, where the answer to the first try of a message is lost."""

    lost = 1

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        admitted = await super().admit(claimed, bind=bind, attempt=attempt)
        if self.lost:
            self.lost -= 1
            raise QueueUnavailable("The answer was lost.")
        return admitted


async def test_a_full_bridge_that_missed_an_answer_gives_its_message_back_all_the_same(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo, max_workstreams=1) as node:
        ws = await node.host.create(CreateWorkstream())
        async with in_use(node.host, ws.id):
            work = Forgetful(broker, "n1")
            worker = Worker(node.host, work, in_process=False, beat_every=0.05, retry=NEVER)
            running = asyncio.create_task(worker.run())
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            broker.send(message("waits", "c0"))
            await until(lambda: not work.lost and tries_of(broker, "c0") > 0)
            await until(lambda: shared(broker) == ["c0"] or result_in(broker, "c0") is not None)
            await worker.aclose()
            await running

    assert result_in(broker, "c0") is None
    assert shared(broker) == ["c0"]
