"""Timers of the queue: made by a message, run by whichever worker comes first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver.plans import echo, last_user_text
from support.clocks import SetClock
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import Node, local_node
from support.redis import redis_server
from support.servers import FULL, serving
from support.workers import working_node
from turnstone.core.errors import InvalidRequest, UnknownTimer
from turnstone.core.host import CreateWorkstream
from turnstone.core.timers import NewTimer
from turnstone.mq import AsyncTurnstoneClient, TurnstoneClient
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.signing import keyring
from turnstone.mq.worker import Worker

#: Seconds between two beats: a test does not wait for longer ones.
BEAT = 0.02


@asynccontextmanager
async def node_on(broker: MemoryBroker, folder: Path, node_id: str = "n1") -> AsyncIterator[Node]:
    async with local_node(folder, echo) as node:
        worker = Worker(node.host, MemoryWork(broker, node_id, lease=1e9), beat_every=BEAT)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            node.host.timekeeper.share(worker.timers)
            yield node
        finally:
            await worker.aclose()
            await running


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(clock=SetClock(1_800_000_000.0))


def clock_of(broker: MemoryBroker) -> SetClock:
    assert isinstance(broker.clock, SetClock)
    return broker.clock


async def told(broker: MemoryBroker, cid: str) -> Any:
    await until(lambda: result_in(broker, cid) is not None)
    return result_in(broker, cid)


async def test_a_message_with_a_cron_line_makes_a_timer_and_runs_at_each_of_its_times(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    async with node_on(broker, tmp_path) as node:
        with broker.subscribe("turnstone:events:global") as heard:
            broker.send(message("report", "t1", every="0 * * * *", timezone="Asia/Kathmandu"))
            made = await told(broker, "t1")
            ack = json.loads(heard.get_nowait())
        assert made.outcome == "timer"
        assert (ack["type"], ack["status"], ack["correlation_id"]) == ("ack", "ok", "t1")
        assert ack["detail"] == made.content[0]
        assert "next at 2027-01-15 14:00:00 Asia/Kathmandu" in ack["detail"]
        assert node.model.requests == []
        for at in (1_800_000_900, 1_800_004_500):
            clock_of(broker).advance(3_600 if at > 1_800_000_900 else 900)
            assert (await told(broker, f"t1:{at}")).content == ["report"]
        assert len({info.id for info in await node.host.list()}) == 2


async def test_runs_of_a_timer_with_a_workstream_are_all_there(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    async with node_on(broker, tmp_path) as node:
        info = await node.host.create(CreateWorkstream())
        broker.send(message("tick", "t1", every="* * * * *", ws_id=info.id, missed="all"))
        await told(broker, "t1")
        clock_of(broker).advance(180)
        for n in (1, 2, 3):
            await told(broker, f"t1:{1_800_000_000 + n * 60}")
        assert [found.id for found in await node.host.list()] == [info.id]
        assert [last_user_text(body) for body in node.model.requests] == ["tick"] * 3


async def test_copies_of_a_message_make_one_timer_that_is_run_once(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    async with AsyncExitStack() as opened:
        nodes = [
            await opened.enter_async_context(node_on(broker, tmp_path / name, name))
            for name in ("n1", "n2", "n3")
        ]
        for _ in range(4):
            broker.send(message("once", "t1", not_before=1_800_000_060))
        await told(broker, "t1")
        clock_of(broker).advance(61)
        await told(broker, "t1:1800000060")
        broker.send(message("once", "t1", not_before=1_800_000_060))
        await until(lambda: not broker.list("turnstone:inbound"))
        asked = [last_user_text(body) for node in nodes for body in node.model.requests]
    assert asked == ["once"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"every": "0 25 * * *"}, "every: the hour"),
        ({"every": "0 5 * * *", "timezone": "Nowhere"}, "timezone: 'Nowhere'"),
        ({"every": "0 5 * * *", "missed": "never"}, "missed: 'never'"),
        ({"until": 5}, "not_before: a timer needs this"),
        ({"not_before": 5, "ws_id": "0badc0de"}, "no workstream 0badc0de"),
    ],
)
async def test_a_timer_that_cannot_be_is_refused_and_its_sender_told(
    tmp_path: Path, broker: MemoryBroker, fields: dict[str, Any], why: str
) -> None:
    async with node_on(broker, tmp_path):
        broker.send(message("m", "t1", **fields))
        refused = await told(broker, "t1")
    assert refused.outcome == "refused"
    assert why in refused.errors[0]
    assert broker.timers == {}


async def test_a_name_that_is_used_for_something_else_is_told_and_holds_up_no_other_work(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        commands = redis.client()
        async with working_node(tmp_path, echo, redis.address, "n1", beat_every=BEAT):
            async with AsyncTurnstoneClient(port=redis.port) as client:
                for n in range(20):
                    commands.set(f"turnstone:x:timer:t{n}", "x")
                    commands.rpush("turnstone:inbound", message("later", f"t{n}", not_before=4e9))
                commands.rpush(
                    "turnstone:inbound",
                    b'{"type": "cancel_timer", "correlation_id": "c", "timer_id": "t1"}',
                )
                heard = await client.send_and_wait("go", timeout=PATIENCE)
                async with asyncio.timeout(PATIENCE):
                    for cid in ("t0", "t19", "c"):
                        while (told := await client.result(cid)) is None:
                            await asyncio.sleep(0.01)  # the result is what is waited for
                        assert told.outcome == "refused"
                        assert "cannot keep this timer" in told.errors[0]
    assert heard.content == "go"


async def test_timers_are_listed_paused_and_cancelled_by_messages(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    async with node_on(broker, tmp_path) as node:
        broker.send(message("m", "t1", every="0 5 * * *"))
        await told(broker, "t1")
        with broker.subscribe("turnstone:events:global") as heard:
            asked: list[dict[str, Any]] = [
                {"type": "list_timers", "correlation_id": "a"},
                {"type": "pause_timer", "correlation_id": "b", "timer_id": "t1"},
                {"type": "pause_timer", "correlation_id": "c", "timer_id": "t1", "paused": False},
                {"type": "cancel_timer", "correlation_id": "d", "timer_id": "t1"},
            ]
            for one in asked:
                broker.send(json.dumps(one).encode())
                await told(broker, str(one["correlation_id"]))
            answers = [json.loads(heard.get_nowait()) for _ in asked]
            broker.send(b'{"type": "cancel_timer", "correlation_id": "e", "timer_id": "t2"}')
            assert "There is no timer t2" in (await told(broker, "e")).errors[0]
        assert [answer["type"] for answer in answers] == ["timer_list"] * 4
        assert [answer["correlation_id"] for answer in answers] == ["a", "b", "c", "d"]
        states = [answer["timers"][0]["state"] for answer in answers]
        assert states == ["active", "paused", "active", "cancelled"]
        assert list(await node.host.timers()) == []


async def test_a_node_of_a_cluster_keeps_new_timers_there_and_old_ones_in_its_store(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    async with local_node(tmp_path, echo) as node:
        await node.host.set_timer(NewTimer(timer_id="old", message="m", every="0 5 * * *"))
    async with node_on(broker, tmp_path) as node:
        await node.host.set_timer(NewTimer(timer_id="new", message="m", every="0 5 * * *"))
        assert list(broker.timers) == ["new"]
        assert [one.timer_id for one in await node.host.timers()] == ["new", "old"]
        for timer_id in ("new", "old"):
            assert (await node.host.alter_timer(timer_id, "cancel")).state == "cancelled"
        assert list(await node.host.timers()) == []


async def test_a_client_sends_later_lists_and_cancels_through_redis(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            working_node(tmp_path, echo, redis.address, "n1", beat_every=BEAT),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            soon = await client.send("soon", not_before=5)
            daily = await client.send("daily", every="0 5 * * *", timezone="Europe/Berlin")
            async with asyncio.timeout(PATIENCE):
                while (result := await client.result(f"{soon}:5")) is None:
                    await asyncio.sleep(0.01)  # the result is the state that is waited for
                while [one.timer_id for one in await client.timers()] != [daily]:
                    await asyncio.sleep(0.01)  # the list is the state that is waited for
            made = await client.result(daily)
            assert result.content == "soon"
            assert made is not None
            assert (made.outcome, made.ok) == ("timer", True)
            await client.pause_timer(daily)
            assert [one.state for one in await client.timers()] == ["paused"]
            await client.cancel_timer(daily)
            assert await client.timers() == []
            with pytest.raises(UnknownTimer):
                await client.cancel_timer("other")
            with pytest.raises(InvalidRequest, match="every: the hour"):
                await client.send("m", every="0 25 * * *")


async def test_a_timer_whose_message_no_node_has_taken_is_cancelled_before_it_is_made(
    tmp_path: Path,
) -> None:
    secret = "a secret of sixteen"
    with redis_server() as redis:
        async with (
            AsyncTurnstoneClient(port=redis.port, signing_secret=secret) as client,
            AsyncTurnstoneClient(port=redis.port, signing_secret=f"not {secret}") as stranger,
            asyncio.timeout(PATIENCE),
        ):
            timer_id = await client.send("never", not_before=1.0)
            for asked in (stranger.cancel_timer(timer_id), client.cancel_timer("none")):
                with pytest.raises(UnknownTimer):
                    await asked
            with pytest.raises(UnknownTimer, match="cancel it, which ends it"):
                await client.pause_timer(timer_id)
            assert await client.timers() == []

            await client.cancel_timer(timer_id)

            ring = keyring(secret)
            async with working_node(
                tmp_path, echo, redis.address, "n1", work={"keyring": ring}, beat_every=BEAT
            ):
                while (result := await client.result(timer_id)) is None:
                    await asyncio.sleep(0.02)  # the result is the state that is waited for
                after = await client.send_and_wait("one", timeout=PATIENCE)
            with redis.client() as hand:
                effects = hand.keys("turnstone:x:cid:*")

    assert (result.outcome, after.ok) == ("timer", True)
    assert len(effects) == 2, effects  # the timer's message and the other one: no run


async def test_a_client_of_one_node_does_the_same_without_redis(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node, serving(node.host) as served:

        def use() -> str:
            with TurnstoneClient(served.url, token=FULL) as client:
                daily = client.send("daily", every="0 5 * * *")
                assert [one.timer_id for one in client.timers()] == [daily]
                client.pause_timer(daily)
                client.pause_timer(daily, paused=False)
                client.cancel_timer(daily)
                assert client.timers() == []
                return client.send("soon", not_before=5)

        soon = await asyncio.to_thread(use)
        async with asyncio.timeout(PATIENCE):
            while not node.model.requests:
                await asyncio.sleep(0.01)  # the request is the state that is waited for
        [info] = await node.host.list()
        assert await node.host.knows(info.id, f"{soon}:5")
