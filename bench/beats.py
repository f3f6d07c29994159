"""What nodes that idle cost Redis: a beat of each, and what they see to in turn.

    python bench/beats.py [NODES [ROUNDS]]

Each node has a lease, a heartbeat and a label, and does with each beat what a worker does. The CPU
time is that of the `redis-server` alone. What one node in turn does for all is beside what it would
be if each did it with every beat.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from support import report
from support.redis import redis_process
from turnstone.mq.connection import RedisAddress
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import LEASE
from turnstone.mq.worker_tidy import LOOKS

#: As a heartbeat is, about.
_SHOWN: dict[str, object] = {"boot": "0" * 8, "server_url": "http://node:8080", "slots": 8} | {
    f"field{n}": "x" * 20 for n in range(15)
}

#: Nodes of a tenth of a thousand share a label.
_ZONES = 10

_BEAT_EVERY = LEASE / 3

#: No turn is given a second time in this run.
_LONG = 3_600.0


async def beat(node: RedisWork) -> None:
    """What a worker does with each beat."""
    await node.beat(_SHOWN)
    await node.tidies(["queue", "store:1"], _LONG)
    await node.sweep()
    await node.claim(8)
    await node.timers.due()


async def tidy(node: RedisWork) -> None:
    """What one of them does for all; with a store that they share."""
    await node.orphans()
    await node.reap()
    await node.answer_waiting()
    await node.answer_gone()
    await node.orphans()


async def cpu_of(client: Any, step: Callable[[], Awaitable[object]]) -> float:
    """Seconds of CPU that Redis needs for it."""
    before = await client.info("cpu")
    await step()
    after = await client.info("cpu")
    return sum(float(after[n]) - float(before[n]) for n in ("used_cpu_user", "used_cpu_sys"))


async def opened(redis: RedisAddress, nodes: int) -> list[RedisWork]:
    works = []
    for number in range(nodes):
        labels = (f"zone=z{number % _ZONES}",)
        work = await RedisWork.open(redis, f"n{number:04}", labels=labels, lease=_LONG)
        await work.beat(_SHOWN)
        works.append(work)
    return works


async def measure(nodes: int, rounds: int) -> None:
    with redis_process() as redis:
        client: Any = redis.client()  # the commands of the driver are not typed
        works = await opened(redis, nodes)

        async def beats() -> None:
            for _ in range(rounds):
                for work in works:
                    await beat(work)

        async def looks() -> None:
            for work in works[: 10 * rounds]:
                await tidy(work)

        each = await cpu_of(client, beats) / (rounds * nodes)
        look = await cpu_of(client, looks) / min(10 * rounds, nodes)
        for work in works:
            await work.aclose()
        await client.aclose()
    report.line(f"a beat of one of {nodes} nodes, CPU of Redis", each * 1e6, "us")
    report.line("what one does for all in its turn", look * 1e6, "us")
    share = (nodes * each + LOOKS * look) / _BEAT_EVERY * 100
    every = nodes * (each + look) / _BEAT_EVERY * 100
    report.line(
        f"a core of Redis, with a beat each {_BEAT_EVERY:g} s",
        share,
        "%",
        goal=5,
        beside=f"{every:.1f} % if each did that for all",
    )


def main() -> None:
    given = [int(each) for each in sys.argv[1:3]]
    nodes, rounds = [*given, *(1_000, 5)[len(given) :]]
    report.machine()
    asyncio.run(measure(nodes, rounds))


if __name__ == "__main__":
    main()
