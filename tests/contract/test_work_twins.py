"""The two implementations of the queue's steps do the same, whatever is done in whatever order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.crashing.harness import size
from support.queues import (
    LONG,
    MemoryQueue,
    Queue,
    RedisQueue,
    plain,
    send,
    take_directed,
    take_shared,
)
from support.redis import RedisServer, redis_server
from turnstone.mq.errors import LeaseOver, QueueBroken
from turnstone.mq.work import Claimed, Work

#: Histories of up to sixty steps, each on both.
HISTORIES = {"default": 20, "ci": 25, "long": 400}

NODES = ("a", "b", "c")
NAMES = ("c0", "c1", "c2")
OPTIONS: dict[str, dict[str, Any]] = {
    "a": {"grace": LONG, "lost_after": LONG, "unknown_after": LONG},
    "b": {"grace": 0.0, "lost_after": LONG, "unknown_after": LONG, "labels": ("gpu=a", "arm")},
    "c": {"grace": 0.0, "lost_after": 0.0, "unknown_after": 0.0, "labels": ("gpu=b",)},
}

MESSAGES = st.one_of(
    st.builds(
        lambda cid, ws, target, other: send(cid, ws_id=ws, target_node=target, **other),
        st.sampled_from(NAMES),
        st.sampled_from(("", "", "w0", "w1")),
        st.sampled_from(("", "", "", "a", "b", "nobody")),
        st.sampled_from(({}, {}, {"if_unavailable": "any"})),
    ),
    st.builds(
        lambda cid, ws, labels: send(cid, ws_id=ws, requires=labels),
        st.sampled_from((*NAMES, "")),
        st.sampled_from(("", "w0", "w1")),
        st.sampled_from((["gpu"], ["gpu=a"], ["gpu=b", "arm"], ["tpu"], [], {"1": "gpu"}, [None])),
    ),
    st.builds(lambda ws: send(ws_id=ws), st.sampled_from(("", "w0"))),
    st.sampled_from(
        (
            b"{",
            b"[]",
            b'{"type": "health", "correlation_id": "c1", "ws_id": "w0"}',
            b'{"type": "create_workstream", "correlation_id": "c2", "ws_id": "w1"}',
            b'{"type": "send", "correlation_id": "c2", "ws_id": "w1", "message": ["text"]}',
        )
    ),
)
NODE = st.sampled_from(NODES)
SMALL = st.integers(0, 3)


def steps(*names: str, value: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    return st.tuples(st.sampled_from(names), NODE, st.none() if value is None else value)


PUSH = st.tuples(st.just("push"), st.sampled_from(("", "", *NODES, "ghost")), MESSAGES)
ABOUT = st.tuples(st.sampled_from((*NAMES, "anon:1")), SMALL)
#: Named more than once: what most histories need before the rest says anything.
STEPS = st.one_of(
    PUSH,
    PUSH,
    steps("take", "take", "round", value=SMALL),
    steps("admit", "admit", "bind", "accept", "bury", "forward", "back", value=SMALL),
    steps("fence", "fence", "stand", "done", "result", "lose", value=ABOUT),
    steps("gone", "gone", "end", "beat", "reap", "restart", "unfinished", "sweep"),
    steps("own", "disown", "owner", value=SMALL),
    steps("pull_shared", "pull_directed", "claim", value=SMALL),
    steps("glance", "orphans", "take_over", "take_over", value=SMALL),
    steps("holder", "again", "another", "spoil", "forestall", value=ABOUT),
    steps("unstage", "answer_waiting", "answer_gone", "roused"),
    steps("silent"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    # In a larger hash the order of the fields is anybody's; the twin has that of their arrival.
    with redis_server("--hash-max-listpack-value", "100000") as running:
        yield running


class Bench:
    """One queue with three nodes, and what their workers would remember."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.nodes: dict[str, Work] = {}
        self.epochs: dict[tuple[str, str], int] = {}
        self.starts = 0
        self.given: dict[str, str] = {}  # ids as the queue gave them, by what `plain` makes of them

    async def open(self, node_id: str) -> None:
        self.starts += 1
        boot = f"{self.starts:04}"
        self.nodes[node_id] = await self.queue.node(node_id, boot=boot, **OPTIONS[node_id])
        await self.nodes[node_id].beat({"boot": boot})

    async def step(self, name: str, node_id: str, value: Any) -> Any:
        """What the step says; an exception is an answer too."""
        await self.queue.later(0.000_1)
        try:
            return await self._step(name, node_id, value)
        except LeaseOver:
            return "lease over"
        except QueueBroken:
            return "somebody else uses the name of its record"

    async def _step(self, name: str, node_id: str, value: Any) -> Any:
        if name == "push":
            return await self.queue.push(value, node_id)
        if isinstance(value, tuple):
            value = (self.given.get(value[0], value[0]), value[1])
        work = self.nodes[node_id]
        match name:
            case "pull_shared" | "pull_directed":
                return await getattr(work, name)(0)
            case "claim":
                return await work.claim(value)
            case "roused":
                return await work.roused(0.001)
            case "sweep" | "reap" | "unfinished" | "unstage" | "answer_waiting" | "answer_gone":
                return await getattr(work, name)()
            case "gone":
                await self.queue.end_lease(work)
                return [await other.reap() for other in self.nodes.values()]
            case "take":
                return [await work.pull_shared(0), await work.pull_directed(0), await work.claim(2)]
            case "round":
                await work.pull_shared(0)
                await work.pull_directed(0)
                await work.claim(2)
                return [await self._take(work, one, 0) for one in await work.sweep()]
            case "admit" | "bind" | "accept" | "bury" | "forward" | "back":
                held = await work.sweep()
                return await self._take(work, held[value % len(held)], name) if held else None
            case "fence" | "stand" | "done" | "result" | "lose":
                return await self._follow(work, name, *value)
            case "silent":
                return await self.queue.forget_heartbeat(node_id)
            case "end":
                return await self.queue.end_lease(work)
            case "beat":
                return await work.beat({"boot": work.boot})
            case "glance":
                return await work.glance()
            case "orphans":
                return (await work.orphans())[1]
            case "take_over":
                former = NODES[NODES.index(node_id) - 1 - value // 2]
                made = NAMES[:1] if value == 3 else ()
                return await work.take_over(f"w{value % 2}", former, value + 1, made)
            case "holder":
                return await work.holder(value[0])
            case "forestall":
                return await work.forestall(value[0], f"w{value[1] % 2}", b"{}", [b"{}"])
            case "spoil":
                return await self.queue.spoil(value[0]) if value[1] == 3 else None
            case "again" | "another":
                held = [one for one in await work.sweep() if not one.problem]
                if not held:
                    return None
                said = held[value[1] % len(held)]
                if name == "another":
                    said = replace(said, raw=send(said.correlation_id, "another"))
                return await work.admit(said, bind=value[1] == 1, attempt="same")
            case "restart":
                return await self.open(node_id)
        ws_id = f"w{value % 2}"
        return await (work.own(ws_id, value) if name == "own" else getattr(work, name)(ws_id))

    async def _take(self, work: Work, claimed: Claimed, name: object) -> Any:
        self.given[plain(claimed.correlation_id)] = claimed.correlation_id
        key = (work.node_id, claimed.correlation_id)
        if claimed.problem or name == "bury":
            return await work.bury(claimed, claimed.problem or "No.")
        if name == "forward":
            return await work.forward(claimed, "b")
        if name == "back":
            return await work.give_back(claimed, self.epochs.get(key, 1), send("c0"))
        if name == "accept":
            return await work.accept(claimed, self.epochs.get(key, 1))
        admitted = await work.admit(claimed, bind=name == "bind")
        if admitted.admission == "run":
            self.epochs[key] = admitted.epoch
            if name == 0:
                return admitted, await work.accept(claimed, admitted.epoch)
        return admitted

    async def _follow(self, work: Work, name: str, cid: str, how: int) -> Any:
        epoch = self.epochs.get((work.node_id, cid), 1) + (how == 3)
        raw = send(cid, ws_id="w0" if how == 1 else "")
        match name:
            case "fence":
                return await work.fence(cid, epoch)
            case "stand":
                return await work.stand(cid, epoch, raw, "directed" if how == 2 else "shared")
            case "done":
                return await work.done(cid, epoch, f"w{how}", b"{}", [b"{}"])
            case "result":
                return json.loads(await work.result(cid) or b"null")
        if (await self.queue.record(cid))["s"]:
            await self.queue.lose_record(cid)
        return None

    async def everything(self) -> dict[str, Any]:
        keys = self.queue.keys
        names = [keys.inbound, keys.stage]
        names += [keys.wait(wanted) for wanted in ("gpu", "gpu=a", "gpu=b,arm", "tpu")]
        for node in (*NODES, "ghost"):
            names += [keys.inbound_of(node), keys.directed_stage(node)]
            for n in range(1, self.starts + 1):
                member = f"{node}|{n:04}"
                names += [keys.processing_shared(member), keys.processing_directed(member)]
        return {
            "lists": {name: await self.queue.entries(name) for name in names},
            "records": [
                await self.queue.record(self.given.get(cid, cid))
                for cid in (*NAMES, "anon:1", "anon:2")
            ],
            "dead": await self.queue.dead(),
            "owners": [await self.nodes["a"].owner(ws_id) for ws_id in ("w0", "w1")],
            "inflight": [await self.nodes[node].unfinished() for node in NODES],
        }


@pytest.mark.timeout(3_600)
@given(history=st.lists(STEPS, min_size=30, max_size=60))
@settings(
    max_examples=HISTORIES[size()],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # To make a long history shorter takes minutes, and the seed has it again.
    phases=set(Phase) - {Phase.shrink, Phase.explain},
)
async def test_the_twins_answer_alike_and_end_alike(
    server: RedisServer, history: list[Any]
) -> None:
    redis_queue = RedisQueue(server)
    await redis_queue.redis.flushall()
    twins = [Bench(redis_queue), Bench(MemoryQueue())]
    try:
        for node in NODES:
            for twin in twins:
                await twin.open(node)
        for step in history:
            real, memory = [plain(await twin.step(*step)) for twin in twins]
            assert real == memory, step
        real, memory = [plain(await twin.everything()) for twin in twins]
        assert real == memory
    finally:
        await redis_queue.aclose()


FIELDS = st.tuples(
    st.sampled_from((b"", b" ", b"\n\t", b"\x0b")),
    st.sampled_from(
        (b'"correlation_id"', b'"ws_id"', b'"type"', b'"\\"', b'"a]b"', b'"\xff"', b"a")
    ),
    st.sampled_from((b":", b" : ", b"")),
    st.sampled_from(
        (
            b'"c1"',
            b'"w0"',
            b'"send"',
            b'"a%b[]"',
            b'"',
            b"1.5e-9",
            b"null",
            b"{}",
            b'["x"]',
            b'"\x00"',
        )
    ),
    st.sampled_from((b",", b" ,", b"", b"}")),
)


@given(fields=st.lists(FIELDS.map(b"".join), max_size=6), gap=st.integers(0, 4_200))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
async def test_the_twins_read_the_beginning_of_what_is_too_large_alike(
    server: RedisServer, fields: list[bytes], gap: int
) -> None:
    raw = b"{" + b"".join(fields[:3]) + b" " * gap + b"".join(fields[3:]) + b"x" * 1_048_576
    redis_queue = RedisQueue(server)
    await redis_queue.redis.flushall()
    try:
        taken = []
        for queue in (redis_queue, MemoryQueue()):
            node = await queue.node("a", boot="one", unknown_after=0.0)
            await queue.push(raw)
            await queue.push(raw, "ghost")
            assert await node.reap() == 1
            dead = await queue.dead()
            taken.append((await take_shared(node), await take_directed(node), dead))
        assert taken[0] == taken[1]
    finally:
        await redis_queue.aclose()
