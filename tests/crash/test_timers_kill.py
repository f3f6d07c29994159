"""`kill -9` around the time at which timers are due: each of their runs is made once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from support.crashing.harness import size
from support.processes import server
from support.queue_node import QueueNode, queue_node
from support.redis import redis_server
from turnstone.core import events as ev
from turnstone.core.host import Host
from turnstone.core.store import SqliteStore
from turnstone.core.timers import NewTimer
from turnstone.mq import AsyncTurnstoneClient, TurnResult

PATIENCE = 45.0

#: Rounds of kills.
ROUNDS = 20 if size() == "long" else 1


async def result_of(client: AsyncTurnstoneClient, cid: str) -> TurnResult:
    async with asyncio.timeout(PATIENCE):
        while (result := await client.result(cid)) is None:
            await asyncio.sleep(0.05)  # the result is the state that is waited for
    return result


async def passed(at: float) -> None:
    """Redis and this process have one clock."""
    while time.time() <= at:
        await asyncio.sleep(0.02)


async def messages(folder: Path) -> Counter[str]:
    """How often each message was accepted in a store whose node is gone."""
    store = await SqliteStore.open(folder / "turnstone.db")
    try:
        journals = [await store.records(row.ws_id) for row in await store.rows()]
    finally:
        await store.aclose()
    accepted = [e for events in journals for e in events if isinstance(e, ev.MessageAccepted)]
    return Counter(e.correlation_id for e in accepted)


async def test_a_node_that_dies_when_a_timer_is_due_leaves_the_run_to_the_next(
    tmp_path: Path,
) -> None:
    with (
        redis_server("--appendonly", "yes", "--appendfsync", "always") as redis,
        ModelServer(echo) as model,
    ):
        async with AsyncTurnstoneClient(port=redis.port) as client:
            async with queue_node(tmp_path / "one", model.base_url, redis.port, "n1") as node:
                at = round(time.time() + 1.0, 3)
                timer_id = await client.send("wake up", not_before=at)
                await result_of(client, timer_id)
                node.pause()
                await passed(at)
                await node.kill()
            redis.kill()
            redis.start()
            assert [one.runs for one in await client.timers()] == [0]
            async with queue_node(tmp_path / "two", model.base_url, redis.port, "n2"):
                cid = f"{timer_id}:{at:.3f}".rstrip("0").rstrip(".")
                assert (await result_of(client, cid)).content == "wake up"
            assert await client.timers() == []
    assert len(model.requests) == 1


async def test_two_nodes_killed_again_and_again_make_each_run_once(
    tmp_path: Path, seed: int
) -> None:
    rolled = random.Random(seed)
    folders = {name: tmp_path / name for name in ("n1", "n2")}
    with redis_server() as redis, ModelServer(echo) as model:

        async def both(opened: AsyncExitStack) -> list[QueueNode]:
            starting = [queue_node(f, model.base_url, redis.port, n) for n, f in folders.items()]
            return await asyncio.gather(*map(opened.enter_async_context, starting))

        async with AsyncTurnstoneClient(port=redis.port) as client:
            start = round(time.time() + 2.0, 3)
            wanted = [round(start + n * 0.2, 3) for n in range(10 * ROUNDS)]
            made = [await client.send(f"run {n}", not_before=at) for n, at in enumerate(wanted)]
            for _ in range(ROUNDS):
                async with AsyncExitStack() as opened:
                    nodes = await both(opened)
                    await result_of(client, made[-1])
                    for node in rolled.sample(nodes, 2):
                        await asyncio.sleep(rolled.uniform(0.05, 0.8))  # when to kill
                        await node.kill()
            cids = [
                f"{timer_id}:{at:.3f}".rstrip("0").rstrip(".")
                for timer_id, at in zip(made, wanted, strict=True)
            ]
            async with AsyncExitStack() as opened:
                await both(opened)
                results = [await result_of(client, cid) for cid in cids]
            assert await client.timers() == []
    assert [result.content for result in results] == [f"run {n}" for n in range(len(made))]
    accepted = Counter[str]()
    for folder in folders.values():
        accepted += await messages(folder)
    assert accepted == Counter(cids)


async def ran(host: Host, count: int) -> None:
    """Wait until so many workstreams rest, and no timer is left."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await host.list()
            # One whose process was killed three times is not tried any more.
            resting = [info for info in found if info.state in {"idle", "error"}]
            if not await host.timers() and len(resting) == count:
                return
            await asyncio.sleep(0.05)  # the list is the state that is waited for


@pytest.mark.timeout(180)
async def test_a_server_without_redis_that_is_killed_again_and_again_makes_each_run_once(
    tmp_path: Path, seed: int
) -> None:
    rolled, made = random.Random(seed), 0
    for last in [False] * ROUNDS + [True]:
        async with server(tmp_path, "--model", "practice") as process:
            host = process.client()
            try:
                for _ in range(0 if last else 5):
                    at = round(time.time() + rolled.uniform(0.1, 0.8), 3)
                    await host.set_timer(
                        NewTimer(timer_id=f"t{made}", message="hello", not_before=at)
                    )
                    made += 1
                if last:
                    await ran(host, made + 1)
                else:
                    await asyncio.sleep(rolled.uniform(0.1, 0.8))  # when to kill
            finally:
                await host.aclose()
            await process.kill()
    accepted = await messages(tmp_path / ".local/share/turnstone")
    assert len(accepted) == made
    assert set(accepted.values()) == {1}
    assert {cid.split(":")[0] for cid in accepted} == {f"t{n}" for n in range(made)}
