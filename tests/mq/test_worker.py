"""The worker: each message to one end, whatever is lost, repeated or wrong on the way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan, Reply, hold
from modelserver.plans import echo, last_user_text, shell
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import Node, local_node
from support.proxy import proxy_to
from support.redis import RedisServer, redis_server
from support.workers import working_node
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.sandbox import Confinement, Level
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.lua import script
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.results import StoredResult
from turnstone.mq.work import Admitted, Claimed, Lane, Standing
from turnstone.mq.worker import Worker


@asynccontextmanager
async def node_on(
    broker: MemoryBroker,
    folder: Path,
    plan: Plan,
    node_id: str = "n1",
    confinement: Confinement | None = None,
    **options: Any,
) -> AsyncIterator[Node]:
    """A node that works from the twin in memory; it may be told what its machine confines."""
    engine = {} if confinement is None else {"confinement": confinement}
    async with local_node(folder, plan, **engine) as node:
        worker = Worker(node.host, MemoryWork(broker, node_id), **options)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            yield node
        finally:
            await worker.aclose()
            await running


async def test_the_twin_in_memory_carries_a_message_to_its_end(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with node_on(broker, tmp_path, echo):
        broker.send(message("hello", "c1"))
        await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert (kept.outcome, kept.content) == ("done", ["hello"])


async def test_copies_of_a_message_are_run_once_and_all_answered(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:global") as heard:
        async with node_on(broker, tmp_path, echo) as node:
            for where in ("", "n1", "", "n1", ""):
                broker.send(message("only once", "c1"), where)
            await until(lambda: result_in(broker, "c1") is not None)
            broker.send(message("only once", "c1"))
            await until(lambda: not broker.list("turnstone:inbound"))

    created = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    assert [e["type"] for e in created].count("ws_created") == 1
    assert [last_user_text(body) for body in node.model.requests] == ["only once"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"no json", "JSON"),
        (b'["send"]', "object"),
        (b'{"type": "dance", "correlation_id": "c1"}', "dance"),
        (b'{"type": "send", "correlation_id": "c1", "message": 7}', "message"),
        (b'{"type": "send", "correlation_id": "c1", "message": "\xff"}', "UTF-8"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_and_the_next_message_is_answered(
    tmp_path: Path, raw: bytes, why: str
) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:global") as heard:
        async with node_on(broker, tmp_path, echo):
            broker.send(raw)
            broker.send(message("next", "c2"))
            await until(lambda: result_in(broker, "c2") is not None)
            await until(lambda: bool(broker.dead))

    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    assert why in broker.dead[0].reason
    assert any(event["type"] == "error" and why in event["message"] for event in told)


async def test_auto_approve_is_not_passed_on_where_the_node_does_not_honour_it(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:0badc0de") as heard:
        async with node_on(broker, tmp_path, shell, auto_approve=False, approval_timeout=0.3):
            broker.send(message("run: ls", "c1", ws_id="0badc0de", create=True, auto_approve=True))
            await until(lambda: result_in(broker, "c1") is not None)

    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    kinds = [event["type"] for event in told]
    assert "approval_request" in kinds
    assert any("not honoured" in event.get("message", "") for event in told)
    assert kinds[-1] == "turn_complete"


async def test_a_sender_is_told_where_auto_approve_does_not_hold(tmp_path: Path) -> None:
    broker = MemoryBroker()
    bare = Confinement(Level.L0, "L0 (nothing confines commands)")
    with broker.subscribe("turnstone:events:0badc0de") as heard:
        async with node_on(broker, tmp_path, shell, confinement=bare, approval_timeout=0.3):
            broker.send(message("run: ls", "c1", ws_id="0badc0de", create=True, auto_approve=True))
            await until(lambda: result_in(broker, "c1") is not None)

    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    why = [e for e in told if e["type"] == "info" and "cannot be confined" in e["message"]]
    assert [event["correlation_id"] for event in why if event["correlation_id"]] == ["c1"]
    assert "approval_request" in [event["type"] for event in told]


async def test_the_channel_of_a_workstream_has_everything_in_its_order(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:0badc0de") as heard:
        async with node_on(broker, tmp_path, echo):
            broker.send(message("one two three", "c1", ws_id="0badc0de", create=True))
            await until(lambda: result_in(broker, "c1") is not None)

    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    kinds = [event["type"] for event in told]
    assert set(kinds) >= {"ack", "content", "stream_end", "status", "state_change"}
    assert kinds[-1] == "turn_complete"
    assert kinds.index("stream_end") > max(i for i, k in enumerate(kinds) if k == "content")
    assert [e["state"] for e in told if e["type"] == "state_change"] == ["thinking", "idle"]
    assert "".join(e["text"] for e in told if e["type"] == "content") == "one two three"


async def test_the_stream_of_a_workstream_has_every_event_once_without_a_hole(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with (
            working_node(tmp_path, echo, redis.address, "n1"),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await client.send_and_wait("one", timeout=PATIENCE)
            await client.send_and_wait("two", ws_id=first.ws_id, timeout=PATIENCE)
            with redis.client() as connection:
                found: Any = connection.xrange(f"turnstone:x:ev:{first.ws_id}")

    places = [ev.EventId.parse(place.decode()) for place, _ in found]
    for before, after in pairwise(places):
        assert after in {(before.seq, before.n + 1), (before.seq + 1, 0)}
    kinds = [ev.decode(fields[b"envelope"]).type for _, fields in found]
    assert kinds[0] == "message_accepted"
    assert kinds[-1] == "turn_ended"
    assert kinds.count("turn_ended") == 2


async def test_work_of_the_browser_is_seen_by_who_follows_the_queue(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:cluster", "turnstone:events:0badc0de") as heard:
        async with node_on(broker, tmp_path, echo) as node:
            await node.host.create(CreateWorkstream(ws_id="0badc0de", name="by hand"))
            await node.host.send(SendMessage(ws_id="0badc0de", message="hi"))
            told: list[dict[str, Any]] = []

            def complete() -> bool:
                told.extend(json.loads(heard.get_nowait()) for _ in range(heard.qsize()))
                return any(event["type"] == "turn_complete" for event in told)

            await until(complete)

    created = next(event for event in told if event["type"] == "ws_created")
    assert (created["name"], created["node_id"]) == ("by hand", "n1")
    assert any(event["type"] == "cluster_state" for event in told)


@pytest.fixture(scope="module")
def shared_redis() -> Any:
    with redis_server() as server:
        yield server


BOTH = ["admit", "accept", "done", "emit", "BLMOVE"]
LOST = [*((step, lane) for step in BOTH for lane in ("shared", "directed")), ("claim", "shared")]


@pytest.mark.parametrize(("step", "lane"), [*LOST, ("pull", "directed"), ("held", "directed")])
async def test_a_lost_reply_loses_and_doubles_nothing(
    tmp_path: Path, shared_redis: RedisServer, step: str, lane: str
) -> None:
    wanted = step.encode() if step == "BLMOVE" else script(step).sha.encode()
    prefix = f"lost-{step}-{lane}"
    async with proxy_to("127.0.0.1", shared_redis.port) as proxy:
        address = RedisAddress("127.0.0.1", proxy.port)
        async with (
            working_node(
                tmp_path, echo, address, "n1", work={"prefix": prefix}, beat_every=0.3
            ) as node,
            AsyncTurnstoneClient(port=shared_redis.port, prefix=prefix) as client,
        ):
            with shared_redis.client() as connection:
                await until(lambda: connection.info("clients")["blocked_clients"] == 2)
            proxy.lose(2, to=wanted)
            results = await asyncio.gather(
                *(
                    client.send_and_wait(
                        f"m{n}", target_node="n1" if lane == "directed" else "", timeout=PATIENCE
                    )
                    for n in range(5)
                )
            )
            lost = proxy.lost

    assert lost == 2
    assert [result.content for result in results] == [f"m{n}" for n in range(5)]
    assert all(result.ok for result in results)
    assert sorted(last_user_text(b) for b in node.model.requests) == [f"m{n}" for n in range(5)]


async def test_messages_of_a_workstream_keep_their_order_through_the_shared_list(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(
                    working_node(tmp_path / name, echo, redis.address, name, slots=3)
                )
                for name in ("n1", "n2", "n3")
            ]
            client = await stack.enter_async_context(AsyncTurnstoneClient(port=redis.port))
            made = await asyncio.gather(
                *(client.send_and_wait("begin", timeout=PATIENCE) for _ in range(6))
            )
            with redis.client() as connection:
                for number in range(60):
                    ws_id = made[number % 6].ws_id
                    connection.rpush(
                        "turnstone:inbound",
                        message(f"{ws_id} {number:02}", f"c{number}", ws_id=ws_id),
                    )
            async with asyncio.timeout(PATIENCE):
                for number in range(60):
                    while await client.result(f"c{number}") is None:
                        await asyncio.sleep(0.02)  # the result is the state that is waited for

    said = [last_user_text(body) for node in nodes for body in node.model.requests]
    for begun in made:
        own = [each for each in said if each.startswith(begun.ws_id)]
        assert own == sorted(own)
        assert len(own) == 10


async def test_a_node_with_no_free_slot_leaves_the_shared_list_alone(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(echo(body), gate)

    broker = MemoryBroker()
    async with node_on(broker, tmp_path, plan, slots=2, beat_every=0.05) as node:
        for number in range(6):
            broker.send(message(f"m{number}", f"c{number}"))
        await until(lambda: len(node.model.requests) == 2)
        beats = asyncio.get_running_loop().time() + 0.5  # several beats, with nothing to take
        await until(lambda: asyncio.get_running_loop().time() > beats)
        waiting = len(broker.list("turnstone:inbound")) + len(broker.list("turnstone:x:stage"))
        asked = len(node.model.requests)
        gate.set()
        await until(lambda: all(result_in(broker, f"c{n}") for n in range(6)))

    assert (asked, waiting) == (2, 4)


@pytest.mark.parametrize("kind", ["command", "send", "close_workstream"])
async def test_a_message_for_a_workstream_that_is_not_there_is_told_and_leaves_no_owner(
    tmp_path: Path, kind: str
) -> None:
    sent = {"type": kind, "correlation_id": "c1", "ws_id": "0000dead", "command": "/help"}
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            with redis.client() as sender:
                sender.rpush("turnstone:inbound", json.dumps(sent | {"message": "hello"}))
                await until(lambda: sender.hget("turnstone:x:cid:c1", "r") is not None)
                stored = StoredResult.decode(sender.hget("turnstone:x:cid:c1", "r"))
                owner = sender.get("turnstone:ws:0000dead")

    assert owner is None
    assert "0000dead" in " ".join(stored.errors)


class LapsingWork(MemoryWork):
    """The twin, of a process whose lease is over just when its first messages are admitted."""

    lapses = 1

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        if self.lapses:
            self.lapses -= 1
            return Admitted("lapsed")
        return await super().admit(claimed, bind=bind, attempt=attempt)


async def test_a_lease_that_lapses_for_a_moment_does_not_change_the_order(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        worker = Worker(node.host, LapsingWork(broker, "n1"))
        running = asyncio.create_task(worker.run())
        await worker.ready.wait()
        for n in range(3):
            broker.send(message(f"m{n}", f"c{n}", ws_id=ws.id), "n1")
        await until(lambda: all(result_in(broker, f"c{n}") is not None for n in range(3)))
        await worker.aclose()
        await running

        assert [last_user_text(body) for body in node.model.requests] == ["m0", "m1", "m2"]


BAD_FOR_A_WORKSTREAM = {"type": "send", "correlation_id": "c1", "message": ["no text"]}


async def owner_after(
    redis: RedisServer, sent: dict[str, Any], ws_id: str
) -> tuple[bytes | None, StoredResult]:
    """The owner key of a workstream once this message has come to its end."""
    with redis.client() as sender:
        sender.rpush("turnstone:inbound", json.dumps(sent))
        record = f"turnstone:x:cid:{sent['correlation_id']}"
        await until(lambda: sender.hget(record, "r") is not None)
        stored = StoredResult.decode(sender.hget(record, "r"))
        owner: bytes | None = sender.get(f"turnstone:ws:{ws_id}")
    return owner, stored


async def test_a_message_that_cannot_be_read_leaves_no_owner_of_what_is_not_there(
    tmp_path: Path,
) -> None:
    sent = BAD_FOR_A_WORKSTREAM | {"ws_id": "0000dead"}
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            owner, stored = await owner_after(redis, sent, "0000dead")

    assert owner is None
    assert stored.outcome == "dead"


async def test_a_message_that_cannot_be_read_leaves_a_workstream_with_its_owner(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1") as node:
            ws = await node.host.create(CreateWorkstream())
            owner, stored = await owner_after(redis, BAD_FOR_A_WORKSTREAM | {"ws_id": ws.id}, ws.id)

    assert owner == b"n1"
    assert stored.outcome == "dead"


async def test_a_message_that_makes_a_workstream_owns_only_what_it_has_made(
    tmp_path: Path,
) -> None:
    sent = {"type": "create_workstream", "correlation_id": "c1", "ws_id": "0000dead"}
    with redis_server() as redis:
        async with working_node(tmp_path, echo, redis.address, "n1"):
            owner, stored = await owner_after(redis, sent, "0000dead")
            with redis.client() as connection:
                made = connection.get(f"turnstone:ws:{stored.ws_id}")

    assert (owner, made) == (None, b"n1")
    assert stored.ws_id != "0000dead"


async def test_a_copy_of_a_close_that_has_happened_leaves_no_owner(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe("turnstone:events:0badc0de") as heard:
        async with node_on(broker, tmp_path, echo) as node:
            await node.host.create(CreateWorkstream(ws_id="0badc0de"))
            await until(lambda: broker.owners.get("0badc0de") == "n1")
            close = b'{"type": "close_workstream", "correlation_id": "c1", "ws_id": "0badc0de"}'

            def acks() -> int:
                told.extend(json.loads(heard.get_nowait()) for _ in range(heard.qsize()))
                return sum(event["type"] == "ack" for event in told)

            told: list[dict[str, Any]] = []
            broker.send(close)
            await until(lambda: acks() == 1 and "0badc0de" not in broker.owners)
            broker.send(close)
            await until(lambda: acks() == 2 and "0badc0de" not in broker.owners)


async def test_a_close_that_is_tried_again_after_it_has_happened_leaves_no_owner(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    killed = MemoryWork(broker, "n1")
    await killed.beat({})
    broker.send(b'{"type": "close_workstream", "correlation_id": "c1", "ws_id": "0badc0de"}')
    await killed.pull_shared(0)
    await killed.claim(1)
    await killed.pull_directed(0)
    (claimed,) = await killed.directed()
    assert (await killed.admit(claimed)).admission == "run"

    async with node_on(broker, tmp_path, echo):
        await until(lambda: result_in(broker, "c1") is not None)

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.outcome == "done"
    assert broker.owners == {}


async def test_a_node_tells_the_sender_of_work_for_a_node_that_never_was(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            working_node(
                tmp_path, echo, redis.address, "n1", work={"unknown_after": 0.3}, beat_every=0.2
            ),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            heard: list[Any] = []
            with redis.client() as sender:
                ear = sender.pubsub(ignore_subscribe_messages=True)
                ear.subscribe("turnstone:events:global")
                sender.rpush("turnstone:inbound:ghost", message("hello", "c1"))

                def complete() -> bool:
                    one = ear.get_message()
                    if one:
                        heard.append(json.loads(one["data"]))
                    return any(event["type"] == "turn_complete" for event in heard)

                await until(complete)
            stored = await client.result("c1")

    (error,) = [event for event in heard if event["type"] == "error"]
    assert error["correlation_id"] == "c1"
    assert "Unknown node ghost" in error["message"]
    assert stored is not None
    assert not stored.ok


class HeldWork(MemoryWork):
    """The twin, of a process whose requests stay on their way while a test wants that. `steps`
    are those that a test asks about, when they have happened."""

    def __init__(self, broker: MemoryBroker, node_id: str) -> None:
        super().__init__(broker, node_id)
        self.beats, self.accepts = asyncio.Event(), asyncio.Event()
        self.beats.set()
        self.accepting = 0
        self.steps: list[str] = []

    async def beat(self, metadata: dict[str, object]) -> bool:
        await self.beats.wait()
        return await super().beat(metadata)

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        self.accepting += 1
        await self.accepts.wait()
        self.steps.append("accept")
        return await super().accept(claimed, epoch)

    async def stand(self, correlation_id: str, epoch: int, raw: bytes, lane: Lane) -> Standing:
        self.steps.append("stand")
        return await super().stand(correlation_id, epoch, raw, lane)

    async def fence(self, correlation_id: str, epoch: int) -> bool:
        self.steps.append("fence")
        return await super().fence(correlation_id, epoch)


@asynccontextmanager
async def held_turn(
    folder: Path, work: HeldWork, **options: Any
) -> AsyncIterator[tuple[Worker, threading.Event]]:
    """A worker with a turn c1 whose model says nothing until the event is set."""
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(echo(body), gate)

    async with local_node(folder, plan) as node:
        worker = Worker(node.host, work, **options)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            work.broker.send(message("go", "c1"))
            await until(lambda: work.accepting and node.model.requests)
            yield worker, gate
        finally:
            gate.set()
            await worker.aclose()
            await running


async def test_no_effect_starts_before_the_queue_knows_that_its_message_was_accepted(
    tmp_path: Path,
) -> None:
    work = HeldWork(MemoryBroker(), "n1")
    async with held_turn(tmp_path, work) as (worker, _):
        asked = asyncio.create_task(worker.fence("c1"))
        for _ in range(100):  # turns of the loop: nothing that it could do takes as many
            await asyncio.sleep(0)
        assert not asked.done()
        work.accepts.set()
        async with asyncio.timeout(PATIENCE):
            assert await asked

    assert work.steps[:2] == ["accept", "fence"]


async def test_no_effect_starts_in_a_process_that_has_missed_its_beats(tmp_path: Path) -> None:
    work = HeldWork(MemoryBroker(), "n1")
    work.accepts.set()
    async with held_turn(tmp_path, work, beat_every=0.2) as (worker, _):
        told = ""

        async def passes() -> bool:
            nonlocal told
            try:
                return await worker.fence("c1")
            except QueueUnavailable as error:
                told = str(error)
                return False

        async with asyncio.timeout(PATIENCE):
            while not await passes():
                await asyncio.sleep(0.01)  # a beat is waited for
            work.beats.clear()
            while await passes():
                await asyncio.sleep(0.01)  # the end of what the last beat was good for
        work.beats.set()

    assert "has not renewed its lease" in told
