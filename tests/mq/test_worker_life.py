"""A worker's life: it takes over from one that died, stops taking when full, and says so once."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, tool_results
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from support.redis import redis_server
from support.watching import in_use
from support.workers import end_lease, working_node
from turnstone.core.host import CreateWorkstream, Host, SendMessage
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.errors import AnotherWorker
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Claimed, Seat
from turnstone.mq.worker import Worker


@asynccontextmanager
async def worker_for(host: Host, work: MemoryWork, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(host, work, **options)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        yield worker
    finally:
        await worker.aclose()
        await running


def in_stream(broker: MemoryBroker, kind: str) -> bool:
    """Whether an event of this kind is in any workstream's stream."""
    found = f'"type":"{kind}"'.encode()
    return any(found in envelope for events in broker.streams.values() for _, envelope in events)


class UnacceptingWork(MemoryWork):
    """The twin, of a process that dies before its acceptance reaches the queue."""

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        await asyncio.Event().wait()
        return False


async def test_what_is_kept_of_a_turn_is_whole_when_its_message_was_delivered_again(
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return hold(text("The second part."), gate)
        return calls(call("search", query="x", path="."), text="The first part.")

    broker = MemoryBroker()
    async with local_node(tmp_path, plan) as node:
        async with worker_for(node.host, UnacceptingWork(broker, "n1"), in_process=False):
            broker.send(message("go", "c1"))
            await until(
                lambda: len(node.model.requests) == 2 and in_stream(broker, "tool_finished")
            )
        async with worker_for(node.host, MemoryWork(broker, "n1"), in_process=False):
            await until(lambda: broker.records["c1"].state == "accepted")
            gate.set()
            await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert broker.records["c1"].tries == 2
    assert kept.content == ["The first part.", "The second part."]
    assert [name for name, _ in kept.tool_results] == ["search"]


async def test_shared_work_goes_past_a_node_that_is_full_and_its_own_is_still_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as redis:
        async with (
            AsyncTurnstoneClient(port=redis.port) as client,
            working_node(
                tmp_path / "one", echo, redis.address, "n1", engine={"max_workstreams": 1}
            ) as full,
        ):
            first = await client.send_and_wait("first", timeout=PATIENCE)
            async with (
                in_use(full.host, first.ws_id),
                working_node(tmp_path / "two", echo, redis.address, "n2") as other,
            ):
                results = await asyncio.gather(
                    *(client.send_and_wait(f"m{n}", timeout=PATIENCE) for n in range(12))
                )
                again = await client.send_and_wait("again", ws_id=first.ws_id, timeout=PATIENCE)
                direct = await client.send_and_wait("no", target_node="n1", timeout=PATIENCE)

    assert all(result.ok for result in results), [r for r in results if not r.ok]
    assert [result.content for result in results] == [f"m{n}" for n in range(12)]
    assert (again.content, direct.ok) == ("again", False)
    assert "may hold" in " ".join(direct.errors)
    said = [last_user_text(body) for body in full.model.requests]
    assert said == ["first", "again"]
    assert len(other.model.requests) == 12
    lines = [line for line in caplog.messages if "leaves shared work to others" in line]
    assert lines == [
        "node n1 holds all the workstreams that it may: it leaves shared work to others"
    ]


@pytest.mark.parametrize("in_process", [True, False])
async def test_what_the_only_node_has_no_room_for_waits_until_a_workstream_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, in_process: bool
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo, max_workstreams=1) as node:
        ws = await node.host.create(CreateWorkstream())
        async with (
            in_use(node.host, ws.id),
            worker_for(node.host, MemoryWork(broker, "n1"), in_process=in_process, beat_every=0.05),
        ):
            broker.send(message("waits", "c1"))
            await until(lambda: b'"full": true' in broker.heartbeats["n1"][1])
            await until(lambda: broker.length("turnstone:inbound") == 1)
            broker.send(message("its own", "c2", ws_id=ws.id), "n1")
            await until(lambda: result_in(broker, "c2") is not None)
            lists = "turnstone:inbound", "turnstone:x:stage"
            await until(lambda: sum(broker.length(name) for name in lists) == 1)
            told = result_in(broker, "c1")
            await node.host.close(ws.id)
            await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert (told, kept.content) == (None, ["waits"])
    assert [line for line in caplog.messages if "shared work" in line] == [
        "node n1 holds all the workstreams that it may: it leaves shared work to others",
        "node n1 has room again: it takes shared work",
    ]


async def test_dead_letters_and_lost_nodes_are_told_in_the_log_once_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as redis:
        lost = await RedisWork.open(redis.address, "lost", grace=0.0)
        await lost.beat({})
        with redis.client() as connection:
            connection.rpush("turnstone:inbound:lost", message("left", "c1"))
        assert await lost.pull_directed(0)
        (claimed,) = await lost.directed()
        admitted = await lost.admit(claimed)
        assert await lost.accept(claimed, admitted.epoch)
        end_lease(redis, lost)
        await lost.aclose()
        soon = {"grace": 0.0, "lost_after": 0.3}
        async with working_node(tmp_path, echo, redis.address, "n1", work=soon, beat_every=0.05):
            with redis.client() as connection:
                connection.rpush("turnstone:inbound", b'{"type": "dance", "correlation_id": "c2"}')
                await until(lambda: connection.xlen("turnstone:x:dead") == 2)
            await until(lambda: len(dead_letters(caplog)) == 2)

    (gone,) = [line for line in caplog.messages if "is gone" in line]
    assert "node lost" in gone
    (first,) = [line for line in dead_letters(caplog) if "message c1" in line]
    (second,) = [line for line in dead_letters(caplog) if "message c2" in line]
    assert "The node lost was lost" in first
    assert "dance" in second


def dead_letters(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "is a dead letter" in line]


async def test_a_name_that_another_program_uses_is_told_once_and_the_work_goes_on_afterwards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as redis:
        async with (
            working_node(tmp_path, echo, redis.address, "n1", beat_every=0.1),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            with redis.client() as connection:
                connection.set("turnstone:x:ev:0badc0de", "of another program")
                connection.rpush(
                    "turnstone:inbound", message("held up", "c1", ws_id="0badc0de", create=True)
                )
                await until(lambda: any("x:ev:0badc0de" in line for line in caplog.messages))
                other = await client.send_and_wait("another", timeout=PATIENCE)
                connection.delete("turnstone:x:ev:0badc0de")
                await until(lambda: connection.hget("turnstone:x:cid:c1", "r") is not None)

    assert other.content == "another"
    told = [record for record in caplog.records if "x:ev:0badc0de" in record.getMessage()]
    assert [record.levelname for record in told] == ["ERROR"]
    assert "XREVRANGE turnstone:x:ev:0badc0de" in told[0].getMessage()
    assert "WRONGTYPE" in told[0].getMessage()


async def test_a_full_redis_is_told_once_when_it_begins_and_once_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1", beat_every=0.05) as node:
            with redis.client() as connection:
                connection.config_set("maxmemory", 1)
                ws = await node.host.create(CreateWorkstream())
                await node.host.send(SendMessage(ws_id=ws.id, message="by hand"))
                await until(lambda: len(of_link(caplog)) > 0)
                beats = beats_of(connection)
                await until(lambda: beats_of(connection) > beats + 20)
                during = of_link(caplog)
                connection.config_set("maxmemory", 0)
                await until(lambda: len(of_link(caplog)) > 1)

    assert len(during) == 1
    assert "is full" in during[0]
    assert [line for line in of_link(caplog) if "goes on" in line] == of_link(caplog)[1:]
    assert len(of_link(caplog)) == 2


def of_link(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "turnstone.mq.worker_link"]


def beats_of(connection: Any) -> int:
    return int(json.loads(connection.get("turnstone:node:n1"))["beats"])


async def test_a_worker_that_lost_its_seat_takes_nothing_until_that_is_free_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node:
        work = MemoryWork(broker, "n1", seat=Seat("server"))
        async with worker_for(node.host, work, beat_every=0.05):
            broker.leases[work.incarnation] = 0.0  # it slept beyond its lease
            other = MemoryWork(broker, "n2", seat=Seat("server"), lease=3.0)
            await other.beat({})
            await until(lambda: any("Another worker" in line for line in caplog.messages))
            broker.send(message("waits", "c1"))
            await until(lambda: not broker.length("turnstone:inbound"))
            told = result_in(broker, "c1")
            await other.aclose()
            await until(lambda: result_in(broker, "c1") is not None)

    assert told is None
    assert len([line for line in caplog.messages if "Another worker" in line]) == 1
    assert any("has its queue again" in line for line in caplog.messages)


async def test_a_worker_whose_seat_is_taken_when_it_begins_says_who_has_it(tmp_path: Path) -> None:
    broker = MemoryBroker()
    first = MemoryWork(broker, "n1", seat=Seat("server"))
    await first.beat({})
    async with local_node(tmp_path, echo) as node:
        worker = Worker(node.host, MemoryWork(broker, "n2", seat=Seat("server")))
        with pytest.raises(AnotherWorker, match="server already, as node n1"):
            await worker.run()


class LateWork(MemoryWork):
    """The twin, whose first acceptance comes after a copy of its message was admitted."""

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        if epoch == 1:
            await until(lambda: self.broker.records[claimed.correlation_id].epoch == 2)
        return await super().accept(claimed, epoch)


async def test_copies_of_a_message_on_one_node_are_not_said_to_be_another_nodes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "turnstone.mq")
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node, worker_for(node.host, LateWork(broker, "n1")):
        for copy in (1, 2):
            broker.send(message("once", "c1", timestamp=copy))
        await until(lambda: result_in(broker, "c1") is not None)
        told = ("a later copy goes on here", "has ended already")
        await until(lambda: any(line.endswith(told) for line in caplog.messages))

    assert not any("another node's" in line for line in caplog.messages)
    assert [last_user_text(body) for body in node.model.requests] == ["once"]
