"""What Redis alone can do to the steps: lose replies and scripts, refuse, be full, be elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from support.proxy import Proxy, proxy_to
from support.queues import (
    LONG,
    PATIENCE,
    RedisQueue,
    ids,
    send,
    take_directed,
    take_on,
    take_shared,
)
from support.redis import RedisServer, redis_server
from turnstone.core.errors import ConfigurationError
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.lua import script
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Seat


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def queue(server: RedisServer) -> AsyncIterator[RedisQueue]:
    opened = RedisQueue(server)
    await opened.redis.flushall()
    yield opened
    await opened.redis.config_set("maxmemory", 0)
    await opened.aclose()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    async with proxy_to("127.0.0.1", server.port) as running:
        yield running


@pytest.fixture
async def far(queue: RedisQueue, proxy: Proxy) -> Any:
    """A node that reaches Redis through the proxy. The scripts are there: a lost reply is then
    that of the step, and not Redis' word that it does not know the script."""
    for path in files("turnstone.mq").joinpath("scripts").iterdir():
        await queue.redis.script_load(script(path.name.removesuffix(".lua")).source)
    return await queue.node("far", address=RedisAddress(host="127.0.0.1", port=proxy.port))


async def test_scripts_that_redis_forgot_are_sent_again(queue: RedisQueue) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    await queue.redis.script_flush()
    (claimed,) = await take_shared(a)
    await queue.redis.script_flush()
    assert await take_on(a, claimed) == 1


async def test_a_claim_whose_reply_is_lost_is_found_by_the_sweep(
    queue: RedisQueue, proxy: Proxy, far: RedisWork
) -> None:
    await queue.push(send("c1"))
    assert await far.pull_shared(0)
    proxy.lose()
    with pytest.raises(QueueUnavailable):
        await far.claim(1)

    assert proxy.lost == 1
    assert await far.claim(1) == []
    assert [c.correlation_id for c in await far.sweep()] == ["c1"]


@pytest.mark.parametrize("wait", [0, PATIENCE])
async def test_a_pull_whose_reply_is_lost_leaves_the_message_in_the_list(
    queue: RedisQueue, proxy: Proxy, far: RedisWork, wait: float
) -> None:
    proxy.lose(to=b"BLMOVE" if wait else b"EVALSHA")
    if wait:
        pulling = asyncio.create_task(far.pull_directed(wait))
        async with asyncio.timeout(PATIENCE):
            while not (await queue.redis.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0.01)  # that it waits is the state that is waited for
        await queue.push(send("c1"), "far")
    else:
        await queue.push(send("c1"), "far")
        pulling = asyncio.create_task(far.pull_directed(0))
    with pytest.raises(QueueUnavailable):
        await pulling

    assert ids([c.entry for c in await take_directed(far)]) == ["c1"]


async def test_steps_whose_replies_are_lost_are_asked_again_and_nothing_doubles(
    queue: RedisQueue, proxy: Proxy, far: RedisWork
) -> None:
    await queue.push(send("c1"))
    (claimed,) = await take_shared(far)

    async def insist(step: Callable[[], Any]) -> Any:
        proxy.lose()
        with pytest.raises(QueueUnavailable):
            await step()
        return await step()

    admitted = await insist(lambda: far.admit(claimed))
    assert (admitted.admission, admitted.epoch) == ("run", 2)
    assert await insist(lambda: far.accept(claimed, 2))
    assert await insist(lambda: far.fence("c1", 2))
    assert await insist(lambda: far.emit("w", "1-0", b"e", [])) == 0
    assert await insist(lambda: far.done("c1", 2, "w", b"{}"))
    assert proxy.lost == 5
    assert len(await far.events("w")) == 1
    assert await far.result("c1") == b"{}"
    assert (await far.sweep(), await far.unfinished()) == ([], [])


async def test_a_redis_that_is_not_there_is_named_with_what_to_do() -> None:
    with pytest.raises(
        QueueUnavailable, match=r"at 127\.0\.0\.1:1 cannot be reached.*host and port"
    ):
        await RedisWork.open(RedisAddress(host="127.0.0.1", port=1), "a")


async def test_a_wrong_password_is_told_apart_and_never_shown() -> None:
    with redis_server("--requirepass", "right") as guarded:
        said = {None: "asks for a password", "wr0ng": "does not accept the password"}
        for password, sentence in said.items():
            with pytest.raises(QueueUnavailable, match=sentence) as told:
                await RedisWork.open(replace(guarded.address, password=password), "a")
            assert "wr0ng" not in str(told.value)
        work = await RedisWork.open(replace(guarded.address, password="right"), "a")
        assert not await work.beat({})
        await work.aclose()


async def test_a_full_redis_says_so_and_lets_taken_work_end(queue: RedisQueue) -> None:
    a = await queue.node("a")
    await queue.push(send("c1"))
    await queue.push(send("c2"))
    await queue.push(send("d1"), "a")
    (claimed,) = await take_shared(a, free=1)
    epoch = await take_on(a, claimed)
    await queue.push(send("c3"))
    await queue.redis.config_set("maxmemory", 1)

    with pytest.raises(QueueUnavailable, match="is full"):
        await a.emit("w", "1-0", b"e", [])
    assert await a.beat({})
    assert await a.fence("c1", epoch)
    assert await a.done("c1", epoch, "w", b"{}")
    assert await a.pull_shared(PATIENCE)
    assert await a.pull_directed(PATIENCE)
    for left in [*await a.claim(9), *await a.directed()]:
        await take_on(a, left)
    with pytest.raises(QueueUnavailable, match="is full"):
        await a.pull_shared(PATIENCE)


async def test_a_replica_says_that_it_takes_no_writes(queue: RedisQueue) -> None:
    a = await queue.node("a")
    await queue.redis.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(QueueUnavailable, match="is a replica"):
            await a.beat({})
    finally:
        await queue.redis.replicaof("NO", "ONE")


async def test_a_redis_that_restarts_under_a_wait_ends_the_wait_and_then_serves_on() -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as lasting:
        async with aclosing(RedisQueue(lasting)) as queue:
            a = await queue.node("a")
            await queue.push(send("c1"))
            await a.pull_shared(0)
            waiting = asyncio.create_task(a.pull_directed(PATIENCE))
            while not await queue.waiting():
                await asyncio.sleep(0.01)
            lasting.kill()
            with pytest.raises(QueueUnavailable):
                await waiting
            with pytest.raises(QueueUnavailable):
                await a.beat({})
            lasting.start()

            assert await a.beat({})
            assert ids([c.entry for c in await a.claim(1)]) == ["c1"]


async def test_a_redis_that_evicts_is_refused(queue: RedisQueue) -> None:
    await queue.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match=r"maxmemory-policy is allkeys-lru"):
            await queue.node("a")
    finally:
        await queue.redis.config_set("maxmemory-policy", "noeviction")


async def test_a_user_who_may_not_ask_for_settings_can_use_the_queue(queue: RedisQueue) -> None:
    await queue.redis.execute_command(
        *"ACL SETUSER worker on >pw ~turnstone:* &turnstone:* +@all -config -@admin".split()
    )
    user = replace(queue.server.address, username="worker", password="pw")
    a = await queue.node("a", address=user)
    await queue.push(send("c1"))
    (claimed,) = await take_shared(a)
    assert await take_on(a, claimed) == 1
    with pytest.raises(QueueUnavailable, match="may not do this"):
        await queue.node("a", address=user, prefix="other")


async def test_a_cluster_needs_a_prefix_that_keeps_its_keys_together() -> None:
    with redis_server("--cluster-enabled", "yes") as clustered:
        with pytest.raises(ConfigurationError, match=r"spreads them.*\{turnstone\}"):
            await RedisWork.open(clustered.address, "a")
        async with aclosing(RedisQueue(clustered, prefix="{turnstone}")) as queue:
            await queue.redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            async with asyncio.timeout(PATIENCE):
                while (await queue.redis.execute_command("CLUSTER INFO"))["cluster_state"] != "ok":
                    await asyncio.sleep(0.01)
            a = await queue.node("a")
            await queue.push(send("c1"))
            (claimed,) = await take_shared(a)
            assert await take_on(a, claimed) == 1


async def test_a_wait_that_is_longer_than_the_driver_s_own_patience_ends_in_peace(
    queue: RedisQueue,
) -> None:
    a = await queue.node("a")
    assert not any(await asyncio.gather(a.pull_shared(5.5), a.pull_directed(5.5)))


async def test_a_node_of_another_make_that_was_seen_once_keeps_its_list(queue: RedisQueue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await queue.redis.set("turnstone:node:old", "{}", ex=60)
    assert await a.reap() == 0
    await queue.redis.delete("turnstone:node:old")
    await queue.push(send("c1"), "old")
    await queue.push(send("c2"), "ghost")

    assert await a.reap() == 1

    assert ids(await queue.entries("turnstone:inbound:old")) == ["c1"]


async def test_a_list_of_a_node_that_never_was_is_found_among_many_keys(queue: RedisQueue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    async with queue.redis.pipeline(transaction=False) as filler:
        for n in range(10_000):
            filler.set(f"turnstone:x:cid:{n}", "")
        await filler.execute()
    await queue.push(send("c1"), "ghost")

    moves = [await a.reap() for _ in range(20)]

    assert sum(moves) == 1


async def test_a_strange_key_in_the_place_of_a_list_stops_no_reaping(queue: RedisQueue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await queue.redis.set("turnstone:inbound:ghost", "no list")
    await queue.push(send("c1"), "spirit")

    assert await a.reap() == 1

    assert await queue.redis.get("turnstone:inbound:ghost") == b"no list"


async def test_lists_of_another_prefix_are_left_alone(queue: RedisQueue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    for name in ("turnstone2:inbound:ghost", "other:turnstone:inbound:ghost", "turnstone:ind:x"):
        await queue.redis.rpush(name, send("c1"))

    assert [await a.reap() for _ in range(3)] == [0, 0, 0]


async def test_a_seat_does_not_outlast_the_lease_of_its_process(queue: RedisQueue) -> None:
    await queue.node("a", seat=Seat("server"), lease=50.0)

    for name in ("a", "server"):
        left = await queue.redis.pttl(queue.keys.seat(name))
        assert 0 < left <= 50_000


async def test_a_node_with_a_message_in_flight_is_no_node_that_never_was(queue: RedisQueue) -> None:
    a = await queue.node("a", unknown_after=0.0)
    await queue.redis.hset(queue.keys.inflight("old"), "c0", b"d" + send("c0"))
    await queue.push(send("c1"), "old")

    assert [await a.reap() for _ in range(2)] == [0, 0]

    assert ids(await queue.entries(queue.keys.inbound_of("old"))) == ["c1"]


async def scans(queue: RedisQueue) -> int:
    stats = await queue.redis.info("commandstats")
    return int(stats.get("cmdstat_scan", {"calls": 0})["calls"])


async def test_the_keys_are_looked_through_once_in_an_interval_by_all_nodes_together(
    queue: RedisQueue,
) -> None:
    nodes = [await queue.node(name, unknown_after=LONG) for name in "abc"]
    await queue.redis.config_resetstat()
    for node in nodes * 5:
        await node.reap()
    assert await scans(queue) == 1

    place = await queue.redis.hget(queue.keys.search, "at")
    await queue.redis.hset(queue.keys.search, "at", float(place) - LONG / 24)
    for node in nodes * 5:
        await node.reap()
    assert await scans(queue) == 2


async def test_the_owner_of_a_workstream_is_seen_before_its_list_is_answered(
    queue: RedisQueue,
) -> None:
    """However the keys lie: the list may be met first, and the owner many steps later."""
    for n in range(10):
        await queue.redis.flushall()
        a = await queue.node("a", unknown_after=0.0)
        async with queue.redis.pipeline(transaction=False) as filler:
            for other in range(5_000):
                filler.set(f"turnstone:x:cid:{other}", "")
            filler.set(f"turnstone:ws:{n:08x}", f"old{n}")
            filler.rpush(f"turnstone:inbound:old{n}", send("c1"))
            filler.rpush(f"turnstone:inbound:ghost{n}", send("c2"))
            await filler.execute()

        assert sum([await a.reap() for _ in range(14)]) == 1
        assert ids(await queue.entries(f"turnstone:inbound:old{n}")) == ["c1"]


async def test_a_node_that_was_not_seen_for_a_month_and_a_day_is_forgotten(
    queue: RedisQueue,
) -> None:
    a = await queue.node("a", unknown_after=0.0)
    seconds, _ = await queue.redis.time()
    month = 31 * 86_400
    times = {"old": seconds - month - 60, "away": seconds - month + 60}
    await queue.redis.zadd(queue.keys.seen, times)

    assert await a.reap() == 0

    assert await queue.redis.zrange(queue.keys.seen, 0, -1) == [b"away", b"a"]
