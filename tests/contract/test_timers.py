"""The contract of timers, wherever they are kept: each run is sent once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.clocks import SetClock
from support.redis import RedisServer, redis_server
from support.timer_places import MemoryPlace, Place, RedisPlace, StorePlace
from turnstone.core.errors import InvalidRequest, UnknownTimer
from turnstone.core.timekeeping import alter, fire_due, keep
from turnstone.core.timers import MOST_MISSED, Due, NewTimer, Timer, Timers, fire
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.timers import MemoryTimers


@pytest.fixture(params=["redis", "memory", "store"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    opened: Place
    if request.param == "memory":
        opened = MemoryPlace()
    elif request.param == "store":
        opened = StorePlace(tmp_path)
    else:
        opened = RedisPlace(request.getfixturevalue("server"))
        await opened.redis.flushall()
    yield opened
    await opened.aclose()


async def now_of(timers: Timers) -> float:
    return (await timers.due()).now


def once(timer_id: str, at: float, **fields: Any) -> NewTimer:
    return NewTimer(timer_id=timer_id, message=f"from {timer_id}", not_before=at, **fields)


def hourly(timer_id: str, now: float, ago: int, **fields: Any) -> Timer:
    """One whose runs of the last hours were missed."""
    due = now // 3_600 * 3_600 - (ago - 1) * 3_600
    made = NewTimer(timer_id=timer_id, message="hello", every="0 * * * *", **fields)
    return Timer(**msgspec.structs.asdict(made), created=due - 60, since=due - 60, due=due)


async def test_a_timer_is_run_when_its_time_has_come_and_not_before(place: Place) -> None:
    timers = await place.node()
    now = round(await now_of(timers), 3)
    await keep(timers, once("late", now - 5))
    await keep(timers, once("early", now + 500))

    due = await timers.due()
    assert [one.timer_id for one in due.timers] == ["late"]
    assert (due.next, due.now >= now) == (now + 500, True)
    wait = await fire_due(timers)

    assert 400 < wait <= 500
    assert await place.sent() == [f"late:{now - 5:.3f}".rstrip("0").rstrip(".")]
    assert [one.timer_id for one in await timers.timers()] == ["early"]
    over = await timers.timer("late")
    assert over is not None
    assert (over.state, over.runs, over.last) == ("ended", 1, (await place.sent())[0])
    await fire_due(timers)
    assert len(await place.sent()) == 1


async def test_of_many_nodes_that_look_at_once_one_fires(place: Place) -> None:
    nodes = [await place.node() for _ in range(4)]
    now = await now_of(nodes[0])
    for n in range(5):
        await keep(nodes[0], once(f"t{n}", now - 5 + n))
    await asyncio.gather(*(fire_due(node) for node in nodes * 3))
    sent = await place.sent()
    assert sorted(one.split(":")[0] for one in sent) == [f"t{n}" for n in range(5)]


async def test_a_change_of_another_revision_does_nothing(place: Place) -> None:
    timers = await place.node()
    now = await now_of(timers)
    made = await keep(timers, once("t", now - 5))
    ahead = msgspec.structs.replace(made, revision=3, state="ended", due=0.0)
    assert not await timers.swap(ahead, [made.due])
    assert not await timers.swap(made, [made.due])
    assert await timers.timer("t") == made
    assert await place.sent() == []


async def test_what_is_missing_is_not_changed(place: Place) -> None:
    timers = await place.node()
    now = await now_of(timers)
    stray = msgspec.structs.replace(hourly("t", now, 1), revision=2)
    assert not await timers.swap(stray, [stray.due])
    assert await timers.timer("t") is None
    assert await place.sent() == []
    with pytest.raises(UnknownTimer, match="There is no timer t"):
        await alter(timers, "t", "cancel")


async def test_the_same_timer_twice_is_one_also_when_it_is_over(place: Place) -> None:
    timers = await place.node()
    now = await now_of(timers)
    wanted = once("t", now - 5, name="mine")
    first = await keep(timers, wanted)
    assert await keep(timers, wanted) == first
    await fire_due(timers)
    assert (await keep(timers, wanted)).state == "ended"
    await fire_due(timers)
    assert len(await place.sent()) == 1
    with pytest.raises(InvalidRequest, match="timer_id: 't' is that of another timer"):
        await keep(timers, once("t", now - 6))


async def test_a_cancelled_timer_is_not_run_and_not_listed(place: Place) -> None:
    timers, other = await place.node(), await place.node()
    now = await now_of(timers)
    await keep(timers, once("t", now - 5))
    assert (await alter(other, "t", "cancel")).state == "cancelled"
    await fire_due(timers)
    assert (await place.sent(), await timers.timers()) == ([], [])
    assert (await alter(other, "t", "cancel")).state == "cancelled"
    with pytest.raises(InvalidRequest, match="Timer t is over"):
        await alter(other, "t", "resume")


async def test_a_paused_timer_waits_and_is_listed_last(place: Place) -> None:
    timers = await place.node()
    now = await now_of(timers)
    for timer_id, at in (("a", now - 5), ("b", now + 50), ("c", now + 10)):
        await keep(timers, once(timer_id, at))
    await alter(timers, "a", "pause")
    await fire_due(timers)
    assert await place.sent() == []
    assert [one.timer_id for one in await timers.timers()] == ["c", "b", "a"]
    await alter(timers, "a", "resume")
    await fire_due(timers)
    assert [one.split(":")[0] for one in await place.sent()] == ["a"]


async def test_a_cancel_while_it_fires_comes_before_or_after_and_never_between(
    place: Place,
) -> None:
    timers, other = await place.node(), await place.node()
    now = await now_of(timers)
    for n in range(6):
        await keep(timers, hourly_wanted(f"t{n}"))
        made = await timers.timer(f"t{n}")
        assert made is not None
        due = now // 3_600 * 3_600
        assert await timers.swap(msgspec.structs.replace(made, revision=2, due=due))
    await asyncio.gather(
        *(alter(other, f"t{n}", "cancel") for n in range(6)),
        fire_due(timers),
        fire_due(other),
    )
    await fire_due(timers)
    sent = await place.sent()
    assert len(sent) == len(set(sent))
    for n in range(6):
        over = await timers.timer(f"t{n}")
        assert over is not None
        assert over.state == "cancelled"
        assert sum(one.startswith(f"t{n}:") for one in sent) <= 1


def hourly_wanted(timer_id: str) -> NewTimer:
    return NewTimer(timer_id=timer_id, message="hello", every="0 * * * *")


@pytest.mark.parametrize(("missed", "count"), [("once", 1), ("all", 4)])
async def test_missed_runs_are_made_as_the_policy_says(
    place: Place, missed: Any, count: int
) -> None:
    timers = await place.node()
    now = await now_of(timers)
    made = hourly("t", now, 4, missed=missed)
    assert await timers.swap(made)
    await fire_due(timers)
    newest = int(now // 3_600 * 3_600)
    expected = [f"t:{newest - n * 3_600}" for n in reversed(range(count))]
    assert await place.sent() == expected
    after = await timers.timer("t")
    assert after is not None
    assert (after.state, after.due, after.runs) == ("active", newest + 3_600, count)


async def test_more_timers_than_one_look_takes_are_all_run(place: Place) -> None:
    timers = await place.node()
    now = round(await now_of(timers))
    count = 20 if isinstance(place, StorePlace) else 250
    for n in range(count):
        await keep(timers, once(f"t{n}", now - 1_000 + n))
    await fire_due(timers)
    assert [one.split(":")[0] for one in await place.sent()] == [f"t{n}" for n in range(count)]


async def test_a_run_that_was_in_time_is_not_missed_because_others_were_before_it() -> None:
    class Slow(MemoryTimers):
        async def swap(self, timer: Timer, runs: Sequence[float] = ()) -> bool:
            clock.advance(1)
            return await super().swap(timer, runs)

    clock = SetClock(1_800_000_000.0)
    broker = MemoryBroker(clock=clock)
    timers = MemoryTimers(broker)
    for n in range(250):
        wanted = NewTimer(timer_id=f"t{n}", message="m", every="0 * * * *", missed="skip")
        await keep(timers, wanted)
    clock.advance(3_600 - clock.now() % 3_600 + 1)

    await fire_due(Slow(broker))

    assert len(broker.list(broker.keys.inbound)) == 250


async def test_those_that_another_node_has_moved_meanwhile_hide_no_others() -> None:
    class Contested(MemoryTimers):
        """Another node moves the first of each batch, just before this one would."""

        async def due(self, skip: int = 0) -> Due:
            found = await super().due(skip)
            for timer in found.timers[:40]:
                runs, after = fire(timer, found.now)
                assert await other.swap(after, runs)
            return found

    broker = MemoryBroker(clock=SetClock(1_800_000_000.0))
    other = MemoryTimers(broker)
    for n in range(250):
        await keep(other, once(f"t{n:03}", broker.clock.now() - 5))

    await fire_due(Contested(broker))

    assert len(broker.list(broker.keys.inbound)) == 250


async def test_a_run_in_the_bound_of_all_missed_ones_is_sent_in_one_step(place: Place) -> None:
    hours = 12 if isinstance(place, StorePlace) else 400
    timers = await place.node()
    now = await now_of(timers)
    assert await timers.swap(hourly("t", now, hours, missed="all"))
    await fire_due(timers)
    assert len(await place.sent()) == min(hours, MOST_MISSED)


IDS = st.sampled_from(("a", "b", "c"))
TWIN_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), IDS, st.sampled_from((-7_200, -30, 9_000))),
        st.tuples(st.just("hourly"), IDS, st.sampled_from((1, 3))),
        st.tuples(st.sampled_from(("pause", "resume", "cancel")), IDS, st.just(0)),
        st.tuples(st.sampled_from(("fire", "fire", "all")), IDS, st.just(0)),
        st.tuples(st.just("stale"), IDS, st.sampled_from((0, 1, 2, 3))),
    ),
    max_size=12,
)


async def play(timers: Timers, steps: list[Any], base: float) -> list[Any]:
    """What a history of steps tells, with the times relative to where it began."""
    told: list[Any] = []
    for step, timer_id, value in steps:
        try:
            match step:
                case "keep":
                    missed = "skip" if value == -7_200 else "once"
                    told.append(
                        (await keep(timers, once(timer_id, base + value, missed=missed))).revision
                    )
                case "hourly":
                    told.append(await timers.swap(hourly(timer_id, base, value, missed="all")))
                case "fire":
                    await fire_due(timers)
                case "all":
                    told.append([one.timer_id for one in await timers.timers()])
                case "stale":
                    stray = msgspec.structs.replace(hourly(timer_id, base, 1), revision=value)
                    told.append(await timers.swap(stray, [stray.due]))
                case _:
                    told.append((await alter(timers, timer_id, step)).state)
        except (InvalidRequest, UnknownTimer) as error:
            told.append(error.code)
        found = [await timers.timer(name) for name in ("a", "b", "c")]
        told.append([one and (one.state, one.revision, one.due, one.runs) for one in found])
    return told


@given(steps=TWIN_STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_redis_and_memory_do_the_same_whatever_is_done(
    server: RedisServer, steps: list[Any]
) -> None:
    on_redis, in_memory = RedisPlace(server), MemoryPlace()
    try:
        await on_redis.redis.flushall()
        real, twin = await on_redis.node(), await in_memory.node()
        base = round(await now_of(real), 3)
        in_memory.broker.clock._now = base  # type: ignore[attr-defined]  # the same hour as Redis'
        assert await play(real, steps, base) == await play(twin, steps, base)
        assert await on_redis.sent() == await in_memory.sent()
        messages = await on_redis.redis.lrange("turnstone:inbound", 0, -1)
        assert messages == list(in_memory.broker.list("turnstone:inbound"))
    finally:
        await on_redis.aclose()


async def test_timers_survive_a_restart_of_redis(tmp_path: Path) -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as own:
        before = RedisPlace(own)
        timers = await before.node()
        now = await now_of(timers)
        await keep(timers, once("t", now - 5))
        own.kill()
        own.start()
        after = RedisPlace(own)
        await fire_due(await after.node())
        assert len(await after.sent()) == 1
        await before.aclose()
        await after.aclose()
