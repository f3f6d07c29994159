"""What else may happen to a message of the queue: lost replies, zombies, copies, crowds, poison.

Real nodes, a real Redis, and a gate between them that knows each step by its name; what must
hold of it all is in `support.queue_world`. Where each kind of case is shown, here and elsewhere:

crash points    test_queue_steps (all steps, before and after, three lanes), test_queue_kill
lost replies    here (steps beside the way); mq/test_worker (admit, accept, done, emit, claim,
                pull, held, BLMOVE, in both lanes); mq/test_redis_work (each step by itself)
zombies         here; test_queue_kill; contract/test_work_life (leases and fences)
duplicates      here; contract/test_work (five copies, many copies, after the end); mq/test_worker
order           here; test_queue_steps (ws); test_queue_chaos; contract/test_work; mq/test_worker
priority        here; e2e/test_queue (directed before shared)
poison          here; test_queue_chaos; contract/test_work (tries, nine thousand stranded entries)
back-pressure   here (backlog); mq/test_worker (slots), mq/test_worker_room
events          mq/test_client_gaps, mq/test_worker (stream without a hole), contract/test_work
wire            mq/test_protocol, mq/test_wire, e2e/test_queue (a client of the contract alone)
chaos           test_queue_chaos
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from modelserver import ModelServer, hold
from support.crashing.harness import size
from support.queue_farm import Farm, farm
from support.queue_world import POISON, World, message, new_ws, plan, world
from support.redis import redis_server
from support.redis_gate import Gate, Trap, When, gate_to, load_scripts
from turnstone.mq.worker_lanes import BACKLOG, HANDS

#: Messages of the test of the order, at each size.
ORDERED = {"default": 120, "ci": 120, "long": 1_000}


class Machine(NamedTuple):
    farm: Farm
    port: int
    model_url: str


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with redis_server() as redis, farm() as nodes, ModelServer(plan) as model:
        load_scripts(redis.port)
        yield Machine(nodes, redis.port, model.base_url)


@pytest.fixture
async def here(
    tmp_path: Path, machine: Machine, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    prefix = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    async with world(*machine, tmp_path, prefix) as one:
        yield one


@pytest.fixture
async def gate(machine: Machine) -> AsyncIterator[Gate]:
    async with gate_to(machine.port) as one:
        yield one


async def whole(here: World, cids: list[str], *, told_once: bool = True) -> None:
    """All have ended well, and everything holds of them that must."""
    results = await here.ended(cids)
    await here.settled()
    await here.stop()
    assert await here.violations(cids, told_once=told_once) == []
    assert [result.outcome for result in results.values()] == ["done"] * len(cids)


# Lost replies; those of the other steps are in tests/mq/test_worker.py.


@pytest.mark.parametrize(
    ("step", "first"),
    [
        ("beat", ""),
        ("fence", ""),
        ("own", ""),
        ("publish", ""),
        ("stand", "accept"),
        ("unfinished", "accept"),
        ("reap", "admit"),
    ],
)
async def test_a_lost_reply_of_a_step_beside_the_way_loses_and_doubles_nothing(
    here: World, gate: Gate, step: str, first: str
) -> None:
    node = await here.node(port=gate.port)
    await node.ready()
    lost = Trap(step, "after")
    if first:
        death = gate.set(Trap(first, "after", about=b"one", act=node.kill))
        await here.push(message("one"))
        await gate.sprung(death)
        gate.set(lost)
        await (await here.node(port=gate.port)).ready()
    else:
        gate.set(lost)
        await here.push(message("one"))
    await gate.sprung(lost)
    await whole(here, ["one"])


# Zombies: stopped for longer than the lease, with a command on its way.

ZOMBIES: list[tuple[str, When, bool]] = [
    ("admit", "after", True),
    ("accept", "before", True),
    ("accept", "after", True),
    ("emit step_started", "after", True),
    ("fence", "before", True),
    ("fence", "after", False),
    ("done", "before", False),
]


@pytest.mark.parametrize(("step", "when", "taken"), ZOMBIES)
async def test_a_zombie_that_wakes_after_its_lease_doubles_nothing(
    here: World, gate: Gate, step: str, when: When, taken: bool
) -> None:
    zombie = await here.node(port=gate.port)
    await zombie.ready()
    late = asyncio.Event()
    trap = gate.set(Trap(step, when, about=b"one", act=zombie.pause, kept=late))
    await here.push(message("one"))
    await gate.sprung(trap)
    await (await here.node("n2")).ready()
    if taken:
        await here.ended(["one"])
    else:  # its effects may have begun: it is waited for

        async def over() -> bool:
            seconds, micros = await here.redis.time()
            ends = await here.redis.zrangebyscore(here.keys.alive, 0, seconds + micros / 1e6)
            return any(name.startswith(b"n1|") for name in ends)

        await here.until(over, "the end of the lease")
    zombie.wake()
    late.set()
    await here.ended(["one"])
    await zombie.at_rest()
    await whole(here, ["one"])
    # Behind the fence it is too late to be sure of the lease: the call is told as not run.
    assert here.effects() == ["one"] or step == "fence"


# Copies.

COPIES = {
    "shared": ["", "", "", "", ""],
    "directed": ["n1", "n2", "n3", "n1", "n2"],
    "mixed": ["", "n1", "", "n2", "n3"],
}


async def three(here: World, stack: AsyncExitStack, port: int) -> dict[str, Gate]:
    """Three nodes that take work, each behind a gate of its own."""
    gates = {}
    for name in ("n1", "n2", "n3"):
        gates[name] = await stack.enter_async_context(gate_to(port))
        await (await here.node(name, port=gates[name].port)).ready()
    return gates


@pytest.mark.parametrize("lanes", COPIES)
async def test_five_copies_at_once_to_three_nodes_have_one_effect_and_one_result(
    here: World, machine: Machine, lanes: str
) -> None:
    async with AsyncExitStack() as stack:
        await three(here, stack, machine.port)
        raw = message("one")
        await asyncio.gather(*(here.push(raw, lane) for lane in COPIES[lanes]))
        [result] = (await here.ended(["one"])).values()
        told = here.endings["one"]
        for lane in COPIES[lanes]:
            await here.push(raw, lane)

        async def answered() -> bool:
            return here.endings["one"] >= told + len(COPIES[lanes])

        await here.until(answered, "the ending once more for each copy")
        assert await here.result("one") == result
        await whole(here, ["one"], told_once=False)
    assert here.effects() == ["one"]


@pytest.mark.parametrize("step", ["admit", "accept", "fence"])
async def test_copies_are_run_once_though_the_node_that_has_one_is_killed(
    here: World, machine: Machine, step: str
) -> None:
    async with AsyncExitStack() as stack:
        gates = await three(here, stack, machine.port)
        victims = dict(zip(gates, here.processes, strict=True))
        deaths = {
            name: gate.set(Trap(step, "after", about=b"one", act=victims[name].kill))
            for name, gate in gates.items()
        }
        raw = message("one")
        await asyncio.gather(*(here.push(raw, lane) for lane in COPIES["mixed"]))
        done, waiting = await asyncio.wait(
            [asyncio.create_task(gates[name].sprung(trap)) for name, trap in deaths.items()],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in [*done, *waiting]:
            task.cancel()
        await asyncio.gather(*done, *waiting, return_exceptions=True)
        for trap in deaths.values():
            trap.number = -1  # no other dies
        for name, node in victims.items():
            if deaths[name].sprung.is_set():
                await node.gone()
                await (await here.node(name)).ready()
        await whole(here, ["one"], told_once=False)
    assert len(here.effects()) <= 1


# Order.


@pytest.mark.timeout(900)
@pytest.mark.skipif(size() != "long", reason="the chaos suite looks at order too: long size only")
async def test_messages_of_many_workstreams_keep_their_order_while_nodes_are_killed(
    here: World, seed: int
) -> None:
    dice, begins = random.Random(seed), [f"begin{number}" for number in range(12)]
    # On a busy machine a node's life here may be too short to take on even one message: that it has
    # killed five processes is not this test's to say.
    patient = {"max_tries": 1_000}
    nodes = {name: await here.node(name, **patient) for name in ("n1", "n2", "n3")}
    for number, begin in enumerate(begins):
        await here.push(message(begin), f"n{number % 3 + 1}")
    begun = await here.ended(begins)
    talks = [begun[begin].ws_id for begin in begins]
    cids = [f"m{number:04}" for number in range(ORDERED[size()])]
    for number, cid in enumerate(cids):
        await here.push(message(cid, ws_id=talks[number % 12]))
        if number % 20 == 10:
            name = dice.choice(list(nodes))
            await nodes[name].end()
            nodes[name] = await here.node(name, **patient)
    results = await here.ended(cids)
    await here.settled()
    await here.stop()

    assert await here.violations(cids, told_once=False) == []
    assert {cid: r.errors + [r.error] for cid, r in results.items() if r.outcome == "dead"} == {}
    for number, ws_id in enumerate(talks):
        assert await here.order_of(ws_id) == [begins[number], *cids[number::12]]


# Priority.


async def test_directed_work_does_not_wait_behind_a_long_shared_list(here: World) -> None:
    slots, crowd = 2, 300
    for number in range(crowd):
        await here.push(message(f"s{number}"))
    await here.push(message("directed"), "n1")
    await here.node(slots=slots)
    await here.ended(["directed"])
    left = await here.redis.llen(here.keys.inbound)

    assert here.effects().index("directed") <= 2 * slots
    assert left > crowd // 2


# Poison.


@pytest.mark.parametrize("lane", ["shared", "directed", "ws"])
async def test_a_message_that_kills_its_process_is_a_dead_letter_and_the_others_are_answered(
    here: World, lane: str
) -> None:
    node = await here.node()
    await here.push(message("begin"), "n1")
    await here.ended(["begin"])
    fields = {"ws_id": new_ws("begin")} if lane == "ws" else {}
    target = "n1" if lane == "directed" else ""
    await here.push(message("bad", message=f"{POISON} it", **fields), target)
    await here.push(message("good", **fields), target)
    lives = 1
    while await here.result("bad") is None:
        if not node.alive:
            node = await here.node()
            lives += 1
        await asyncio.sleep(0.02)  # the node and the result are the states that are waited for
    await here.push(message("after", **fields), target)
    results = await here.ended(["bad", "good", "after"])
    await here.settled()
    await here.stop()

    assert await here.violations(results) == []
    bad, good, after = results.values()
    assert (bad.outcome, "5 times" in bad.error) == ("dead", True), bad
    # It may have been on its way in all the processes that died, and is told so then.
    assert good.outcome in {"done", "dead", "failed"}, good
    assert (after.outcome, after.content) == ("done", ["done after"])
    assert lives == 6


# Back-pressure; that of the slots is in tests/mq/test_worker.py and test_worker_room.py.


@pytest.mark.timeout(300)
@pytest.mark.skipif(size() != "long", reason="a thousand messages are taken on: long size only")
async def test_a_node_with_a_long_backlog_leaves_its_list_alone(
    here: World, machine: Machine
) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(plan(body), gate)) as model:
        node = await here.node(model_url=model.base_url)
        crowd = BACKLOG + 5 * HANDS
        await here.push(message("m0"), "n1")

        async def begun() -> bool:
            return bool(await here.redis.exists(here.keys.owner(new_ws("m0"))))

        await here.until(begun, "the workstream")
        raws = [message(f"m{number}", ws_id=new_ws("m0")) for number in range(1, crowd)]
        await here.redis.rpush(here.keys.inbound_of("n1"), *raws)

        async def full() -> bool:
            return bool(await here.redis.hlen(here.keys.inflight("n1")) >= BACKLOG)

        await here.until(full, "a full node", 200.0)
        moment = time.monotonic() + 1.0
        await here.until(lambda: later(moment), "three beats more")
        taken = await here.redis.hlen(here.keys.inflight("n1"))
        left = await here.redis.llen(here.keys.inbound_of("n1"))
        gate.set()
        await node.end()

    assert BACKLOG <= taken <= BACKLOG + 2 * HANDS
    assert left >= crowd - taken - 2 * HANDS


async def later(moment: float) -> bool:
    return time.monotonic() > moment
