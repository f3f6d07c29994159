"""The clock of a queue is set: for Redis by what is the same, all the times that it keeps are moved."""

from __future__ import annotations

from typing import Any

from support.queues import MemoryQueue, Queue, RedisQueue


async def jump(queue: Queue, seconds: float) -> None:
    """It is so much later all at once, or earlier."""
    if isinstance(queue, MemoryQueue):
        queue.clock.time += seconds
        return
    assert isinstance(queue, RedisQueue)
    redis, keys = queue.redis, queue.keys
    for name in (keys.alive, keys.seen, keys.gone, keys.strays, keys.waits, keys.timers):
        for member in await redis.zrange(name, 0, -1):
            await redis.zincrby(name, -seconds, member)
    await _earlier(redis, keys.beats, seconds, "last", "from", "hold")
    await _earlier(redis, keys.search, seconds, "at", "began", "whole")
    await _earlier(redis, keys.turns, seconds, *await redis.hkeys(keys.turns))
    async for name in redis.scan_iter(keys.message("*")):
        await _earlier(redis, name, seconds, "u")
    async for name in redis.scan_iter(f"{keys.prefix}:*"):
        left = await redis.pttl(name)
        if left > 0:
            await redis.pexpire(name, round(left - seconds * 1_000))


async def _earlier(redis: Any, name: str, seconds: float, *fields: Any) -> None:
    for field in fields:
        if await redis.hget(name, field):
            await redis.hincrbyfloat(name, field, -seconds)
