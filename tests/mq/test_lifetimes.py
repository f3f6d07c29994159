"""How long each name in Redis lives after each step that says so: by one table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import msgspec
import pytest

from support.queues import LONG, RedisQueue, send, take_directed, take_on, take_shared
from support.redis import RedisServer, redis_server
from turnstone.core.timekeeping import fire_due, keep
from turnstone.core.timers import NewTimer
from turnstone.mq import keys as limits
from turnstone.mq.work import Seat

#: Seconds that a step may take here.
SLACK = 60

#: A lifetime that no step sets.
OTHER = 7_777


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def queue(server: RedisServer) -> AsyncIterator[RedisQueue]:
    opened = RedisQueue(server)
    await opened.redis.flushall()
    yield opened
    await opened.aclose()


class Stand:
    """A queue with one node, and the means to bring a name to the wrong lifetime beforehand."""

    def __init__(self, queue: RedisQueue, work: Any) -> None:
        self.queue, self.work, self.keys = queue, work, queue.keys

    async def wrong(self, name: str, *, lives: bool = True) -> str:
        """Whatever the next step does not set itself is not as it should be."""
        changed = await (
            self.queue.redis.persist(name) if lives else self.queue.redis.expire(name, OTHER)
        )
        assert changed or await self.queue.redis.ttl(name) == (-1 if lives else OTHER)
        return name

    async def taken(self, **fields: Any) -> Any:
        await self.queue.push(send("c1", **fields))
        (claimed,) = await take_shared(self.work)
        return claimed

    async def accepted(self) -> int:
        epoch = await take_on(self.work, await self.taken())
        await self.wrong(self.record)
        return epoch

    @property
    def record(self) -> str:
        return self.keys.message("c1")


Step: TypeAlias = Callable[[Stand], Awaitable[str]]


async def admit(at: Stand) -> str:
    claimed = await at.taken()
    await at.work.admit(claimed)
    await at.wrong(at.record)
    await at.work.admit(claimed)
    return at.record


async def accept(at: Stand) -> str:
    claimed = await at.taken()
    admitted = await at.work.admit(claimed)
    await at.wrong(at.record)
    assert await at.work.accept(claimed, admitted.epoch)
    return at.record


async def fence(at: Stand) -> str:
    assert await at.work.fence("c1", await at.accepted())
    return at.record


async def stand(at: Stand) -> str:
    assert await at.work.stand("c1", await at.accepted(), send("c1"), "shared") == "ok"
    return at.record


async def done(at: Stand) -> str:
    assert await at.work.done("c1", await at.accepted(), "w1", b"{}")
    return at.record


async def forestall(at: Stand) -> str:
    assert await at.work.forestall("c1", "w1", b"{}", [])
    return at.record


async def bury(at: Stand) -> str:
    claimed = await at.taken()
    await at.work.admit(claimed)
    await at.wrong(at.record)
    await at.work.bury(claimed, "No.")
    return at.record


async def take_over(at: Stand) -> str:
    away = await at.queue.node("away")
    await away.own("w1", 1)
    await at.queue.push(send("c1", ws_id="w1"), "away")
    (claimed,) = await take_directed(away)
    await take_on(away, claimed)
    await at.queue.end_lease(away)
    await at.wrong(at.record)
    assert (await at.work.take_over("w1", "away", 2)).outcome == "taken"
    return at.record


async def disown(at: Stand) -> str:
    await at.work.own("w1", 1)
    await at.work.disown("w1")
    return at.keys.epoch("w1")


async def own(at: Stand) -> str:
    await disown(at)
    await at.work.own("w1", 2)
    return at.keys.epoch("w1")


async def claim(at: Stand) -> str:
    await disown(at)
    await at.queue.push(send("c1", ws_id="w1"))
    assert await take_shared(at.work) == []  # it goes through the list of its owner
    return at.keys.epoch("w1")


async def emit(at: Stand) -> str:
    await at.work.emit("w1", "1-0", b"{}", [])
    await at.wrong(at.keys.event_stream("w1"))
    await at.work.emit("w1", "2-0", b"{}", [])
    return at.keys.event_stream("w1")


async def respond(at: Stand) -> str:
    await at.work.respond("q1", b"{}")
    return at.keys.responses("q1")


async def beat(at: Stand) -> str:
    name = await at.wrong(at.keys.node("a"))
    await at.work.beat({})
    return name


async def seat(at: Stand) -> str:
    name = await at.wrong(at.keys.seat("a"))
    await at.work.beat({})
    return name


async def rouse(at: Stand) -> str:
    await at.queue.node("b", labels=("gpu",))
    await at.queue.push(send("c1", requires=["gpu"]))
    assert await take_shared(at.work) == []
    return at.keys.rouse("b")


async def timer_over(at: Stand) -> str:
    timers = at.work.timers
    now = (await timers.due()).now
    await keep(timers, NewTimer(timer_id="t1", message="x", not_before=now - 5))
    await fire_due(timers)
    return at.keys.timer("t1")


async def timer_again(at: Stand) -> str:
    name = await timer_over(at)
    over = await at.work.timers.timer("t1")
    assert over is not None
    again = msgspec.structs.replace(
        over, state="active", due=over.not_before + 5_000, revision=over.revision + 1
    )
    assert await at.work.timers.swap(again)
    return name


#: What each step leaves, in seconds; None: for ever.
LIFETIMES: list[tuple[Step, float | None]] = [
    (admit, limits.CID_TTL),
    (accept, limits.CID_TTL),
    (fence, limits.CID_TTL),
    (stand, limits.CID_TTL),
    (done, limits.CID_TTL),
    (forestall, limits.CID_TTL),
    (bury, limits.CID_TTL),
    (take_over, limits.CID_TTL),
    (disown, limits.CID_TTL),
    (own, None),
    (claim, None),
    (emit, limits.EVENTS_TTL),
    (respond, limits.RESPONSE_TTL),
    (beat, LONG),
    (seat, LONG),
    (rouse, 60),
    (timer_over, limits.CID_TTL),
    (timer_again, None),
]


@pytest.mark.parametrize(
    ("step", "lifetime"), LIFETIMES, ids=lambda one: getattr(one, "__name__", "")
)
async def test_a_step_leaves_its_name_with_the_lifetime_of_its_kind(
    queue: RedisQueue, step: Step, lifetime: float | None
) -> None:
    at = Stand(queue, await queue.node("a", seat=Seat("")))

    left = await queue.redis.ttl(await step(at))

    if lifetime is None:
        assert left == -1
    else:
        assert lifetime - SLACK < left <= lifetime
