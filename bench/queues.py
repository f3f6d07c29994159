"""What the queue costs: a turn through Redis beside one over HTTP, and messages a second.

    python bench/queues.py [TURNS [CLIENTS [MESSAGES]]]

One node with its server and its worker, and a model that answers one token at once. The two ways
to it are measured in turns, so that whatever else the machine does is the same for both. The steps
of one consumer, from claim to done, stand beside a bare BLPOP by the same client.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import report
from support.modelprocess import model_process
from support.node import start_node
from support.redis import redis_process
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.connection import RedisAddress
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.worker import Worker
from turnstone.mq.worker_start import WorkerFence
from turnstone.server.app import NodeApp
from turnstone.server.auth import Auth, Token
from turnstone.server.run import serve

_TOKEN = "bench"  # noqa: S105 - of a server that lives for this run


@dataclass
class Place:
    """A node as programs reach it: over HTTP at `url`, and by its queue at `redis`."""

    url: str
    redis: RedisAddress


@asynccontextmanager
async def place(
    folder: Path, base_url: str, redis: RedisAddress, slots: int
) -> AsyncIterator[Place]:
    fence = WorkerFence()
    node = await start_node(folder, base_url, fence)
    worker = Worker(node, await RedisWork.open(redis, "bench"), slots=slots)
    fence.bind(worker)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = NodeApp(node, Auth([Token(_TOKEN, "full")]))
    tasks = [
        asyncio.create_task(worker.run()),
        asyncio.create_task(serve(app, "127.0.0.1", 0, ready=url.set_result)),
    ]
    try:
        await worker.ready.wait()
        yield Place(await url, redis)
    finally:
        await worker.aclose()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.aclose()


class OverHttp:
    """One workstream, whose events are followed on one connection, as a browser does."""

    def __init__(self, host: HttpHost, ws_id: str) -> None:
        self._host, self._ws_id = host, ws_id
        self._events = host.follow(ws_id, ev.EventId(1))

    async def turn(self) -> None:
        await self._host.send(SendMessage(ws_id=self._ws_id, message="Go on."))
        async for event in self._events:
            if isinstance(event, ev.TurnEnded):
                assert event.outcome == "done", event
                return


async def one_client(at: Place, turns: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each turn over HTTP, and of each through the queue."""
    host = HttpHost(at.url, _TOKEN)
    took: tuple[list[float], list[float]] = ([], [])
    async with AsyncTurnstoneClient(host="127.0.0.1", port=at.redis.port) as client:
        direct = OverHttp(host, (await host.create(CreateWorkstream())).id)
        ws_id = (await host.create(CreateWorkstream())).id

        async def queued() -> None:
            result = await client.send_and_wait("Go on.", ws_id=ws_id)
            assert result.ok, result

        for n in range(turns + 1):  # the first of each loads what is loaded once
            for way, step in zip(took, (direct.turn, queued), strict=True):
                spent = await _timed(step)
                if n:
                    way.append(spent * 1000)
    await host.aclose()
    return took


async def many_clients(at: Place, clients: int, turns: int) -> float:
    """Turns a second of so many clients, each with its own connection and workstream."""

    async def talk(client: AsyncTurnstoneClient) -> None:
        ws_id = ""
        for _ in range(turns):
            result = await client.send_and_wait("Go on.", ws_id=ws_id)
            assert result.ok, result
            ws_id = result.ws_id

    opened = [AsyncTurnstoneClient(host="127.0.0.1", port=at.redis.port) for _ in range(clients)]
    spent = await _timed(lambda: asyncio.gather(*map(talk, opened)))
    for client in opened:
        await client.aclose()
    return clients * turns / spent


async def consume(redis: RedisAddress, count: int) -> tuple[float, float]:
    """Messages a second: of one consumer that does each step of the queue, and of bare BLPOP."""
    work = await RedisWork.open(redis, "consumer", prefix="consumer", lease=3_600.0)
    client: Any = redis.client()  # the commands of the driver are not typed
    await work.beat({})

    async def steps() -> None:
        for _ in range(count):
            await work.pull_shared(1.0)
            for claimed in await work.claim(1):
                cid, epoch = claimed.correlation_id, (await work.admit(claimed)).epoch
                assert await work.accept(claimed, epoch)
                assert await work.stand(cid, epoch, claimed.raw, "shared") == "ok"
                assert await work.fence(cid, epoch)
                assert await work.done(cid, epoch, "ws", b"{}")

    async def bare() -> None:
        for _ in range(count):
            assert await client.blpop(["consumer:bare"], 1)

    for name in ("consumer:inbound", "consumer:bare"):
        for n in range(count):
            message = {"type": "send", "correlation_id": f"c{n}", "message": "Go on."}
            await client.rpush(name, json.dumps(message))
    rates = count / await _timed(steps), count / await _timed(bare)
    await work.aclose()
    await client.aclose()
    return rates


async def _timed(step: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await step()
    return time.perf_counter() - begun


async def measure(turns: int, clients: int, messages: int) -> None:
    with report.folder() as folder, model_process(1, 0.0) as base_url, redis_process() as redis:
        async with place(folder, base_url, redis, clients) as at:
            direct, queued = await one_client(at, turns)
            rate = await many_clients(at, clients, max(1, turns // clients))
        steps, bare = await consume(redis, messages)
    plain, through = statistics.median(direct), statistics.median(queued)
    report.line("a turn over HTTP, median", plain, "ms")
    report.line("the same through the queue, median", through, "ms")
    report.line("  times HTTP", through / plain, "times")
    apart = statistics.median(q - d for d, q in zip(direct, queued, strict=True))
    report.line("  more than HTTP, median of the pairs", apart, "ms")
    report.line(f"turns a second of {clients} clients", rate, "turns/s")
    report.line("one consumer, claim to done", steps, "messages/s", beside=f"BLPOP: {bare:.0f}")
    report.line("  of bare BLPOP", steps / bare, "times")


def main() -> None:
    given = [int(each) for each in sys.argv[1:4]]
    turns, clients, messages = [*given, *(200, 64, 2_000)[len(given) :]]
    report.machine()
    asyncio.run(measure(turns, clients, messages))


if __name__ == "__main__":
    main()
