"""The contract of a cluster's timers that are signed, or spoilt: on Redis and in memory alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from support.redis import RedisServer
from support.timer_places import MemoryPlace, RedisPlace
from turnstone.core.timekeeping import fire_due, keep
from turnstone.core.timers import NewTimer, Timers
from turnstone.mq.signing import Keyring, keyring
from turnstone.mq.timers import MemoryTimers


async def now_of(timers: Timers) -> float:
    return (await timers.due()).now


def once(timer_id: str, at: float, **fields: Any) -> NewTimer:
    return NewTimer(timer_id=timer_id, message=f"from {timer_id}", not_before=at, **fields)


SECRETS = "the-old-secret-of-all", "the-new-secret-of-all"


def ring(*secrets: str) -> Keyring:
    found = keyring("", "\n".join(secrets))
    assert found is not None
    return found


@pytest.fixture(params=["redis", "memory"])
async def signing(
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[Any, Callable[..., Awaitable[Any]]]]:
    """A place, and what opens its timers for a node with these secrets."""
    if request.param == "memory":
        memory = MemoryPlace()

        async def in_memory(*secrets: str) -> Any:
            return MemoryTimers(memory.broker, ring(*secrets))

        yield memory, in_memory
        return
    on_redis = RedisPlace(request.getfixturevalue("server"))
    await on_redis.redis.flushall()

    async def node(*secrets: str) -> Any:
        return await on_redis.node(ring(*secrets))

    yield on_redis, node
    await on_redis.aclose()


async def test_timers_outlive_the_secret_under_which_they_were_made(signing: Any) -> None:
    place, opened = signing
    old, new = SECRETS
    timers = await opened(old)
    now = round(await now_of(timers), 3)
    made = [await keep(timers, once(f"t{n}", now + 900, auto_approve=True)) for n in range(3)]
    assert await timers.renew() == 0

    both = await opened(new, old)
    assert await both.renew() == 3
    assert await both.renew() == 0

    after = await opened(new)
    kept = {one.timer_id: one for one in await after.timers()}
    assert kept == {one.timer_id: msgspec.structs.replace(one, revision=2) for one in made}


async def test_a_timer_is_not_signed_anew_by_a_secret_that_permits_less(signing: Any) -> None:
    _, opened = signing
    old, new = SECRETS
    timers = await opened(f"{old} full auto_approve")
    now = round(await now_of(timers), 3)
    await keep(timers, once("t", now + 900, auto_approve=True))
    await keep(timers, once("u", now + 900))

    assert await (await opened(f"{new} read", f"{old} full auto_approve")).renew() == 0
    assert await (await opened(f"{new} full", f"{old} full auto_approve")).renew() == 1
    kept = await timers.timers()
    assert [(one.timer_id, one.auto_approve) for one in kept] == [("t", True)]


async def test_a_timer_whose_secret_permits_less_permits_no_more_when_it_is_signed_anew(
    signing: Any,
) -> None:
    _, opened = signing
    old, new = SECRETS
    asking = await opened(f"{old} full")
    now = round(await now_of(asking), 3)
    await keep(asking, once("t", now + 900, auto_approve=True))

    assert await (await opened(new, f"{old} full")).renew() == 1
    [kept] = await (await opened(new)).timers()
    assert not kept.auto_approve


async def test_timers_that_cannot_be_read_stop_no_others_and_are_told_once(
    signing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place, opened = signing
    old, new = SECRETS
    before, after = await opened(old), await opened(new)
    now = round(await now_of(before), 3)
    for n in range(130):
        await keep(before, once(f"old{n:03}", now - 900))
    await keep(after, once("new", now - 5))

    await fire_due(after)
    await fire_due(after)

    assert [one.split(":")[0] for one in await place.sent()] == ["new"]
    assert caplog.text.count("(old007) cannot be read, and is left out") == 1


async def test_a_name_of_a_timer_that_is_used_for_something_else_stops_no_timer(
    server: RedisServer,
) -> None:
    place = RedisPlace(server)
    try:
        await place.redis.flushall()
        timers = await place.node()
        now = round(await now_of(timers), 3)
        for n in range(120):
            await place.redis.set(f"turnstone:x:timer:bad{n}", "x")
            await place.redis.zadd("turnstone:x:timers", {f"bad{n}": 1})
        await keep(timers, once("good", now - 5))

        await fire_due(timers)

        assert [one.split(":")[0] for one in await place.sent()] == ["good"]
        assert await timers.timers() == []
    finally:
        await place.aclose()
