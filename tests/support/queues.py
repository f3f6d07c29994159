"""Queues for the contract of the steps: one on Redis, one in memory, looked at in the same way."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import ExitStack
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol

import redis.asyncio

from support.redis import RedisServer
from turnstone.mq.connection import RedisAddress
from turnstone.mq.entry import read
from turnstone.mq.keys import Keys
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Work

#: Seconds for a state that must come, on a machine that is busy with other tests.
PATIENCE = 60.0

#: Seconds of a lease that does not end in a test unless the test ends it.
LONG = 1_000.0


class Ear(Protocol):
    """One subscription."""

    async def next(self) -> dict[str, Any]:
        """The next message of the channels, within PATIENCE."""


class Queue(Protocol):
    """A queue as a test sees it: who works on it, what is in it, what time it is."""

    keys: Keys

    async def node(self, node_id: str, **options: Any) -> Work:
        """A process incarnation that has beaten once."""

    async def push(self, message: bytes, node_id: str = "") -> None: ...
    async def entries(self, name: str) -> list[bytes]: ...
    async def record(self, correlation_id: str) -> dict[str, Any]: ...
    async def lose_record(self, correlation_id: str) -> None: ...
    async def forget_record(self, correlation_id: str) -> None:
        """Nothing but the record of a message is lost."""

    async def lose_all(self) -> None:
        """As a Redis does that keeps nothing on disk and starts anew, later."""

    async def spoil(self, correlation_id: str) -> None:
        """Somebody uses the name of a message's record for something of their own."""

    async def occupy(self, name: str, text: str = "") -> None:
        """Somebody uses a name of the queue for something of their own: a text, or a set."""

    async def dead(self) -> list[dict[str, Any]]: ...
    async def end_lease(self, work: Work) -> None:
        """As a jump of the clock would."""

    async def forget_heartbeat(self, node_id: str) -> None:
        """As when its time is over."""

    async def not_seen_for(self, node_id: str, seconds: float) -> None:
        """As if nothing had been noticed of a node for so long."""

    async def later(self, seconds: float) -> None:
        """Let so much time go by, on the clock of the leases."""

    async def waiting(self) -> int:
        """How many pulls wait for a message."""

    async def listen(self, *channels: str) -> Ear: ...
    async def aclose(self) -> None: ...


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class MemoryQueue:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.broker = MemoryBroker(clock=self.clock)
        self._subscriptions = ExitStack()
        self.keys = self.broker.keys

    async def node(self, node_id: str, **options: Any) -> Work:
        work = MemoryWork(self.broker, node_id, **({"lease": LONG} | options))
        await work.beat({"server_url": f"http://{node_id}"})
        return work

    async def push(self, message: bytes, node_id: str = "") -> None:
        self.broker.send(message, node_id)

    async def entries(self, name: str) -> list[bytes]:
        return list(self.broker.list(name))

    async def record(self, correlation_id: str) -> dict[str, Any]:
        record = self.broker.records.get(correlation_id, Record())
        return {
            "s": record.state,
            "n": record.node,
            "e": record.epoch,
            "fx": record.fx,
            "tries": record.tries,
        }

    async def lose_record(self, correlation_id: str) -> None:
        del self.broker.records[correlation_id]
        for held in self.broker.inflight.values():
            held.pop(correlation_id, None)

    async def forget_record(self, correlation_id: str) -> None:
        del self.broker.records[correlation_id]

    async def lose_all(self) -> None:
        await self.later(0.000_1)
        self.broker = MemoryBroker(clock=self.clock)

    async def spoil(self, correlation_id: str) -> None:
        self.broker.records.pop(correlation_id, None)
        self.broker.foreign.add(self.keys.message(correlation_id))

    async def occupy(self, name: str, text: str = "") -> None:
        self.broker.foreign.add(name)

    async def dead(self) -> list[dict[str, Any]]:
        return [
            {
                "correlation_id": letter.correlation_id,
                "reason": letter.reason,
                "tries": letter.tries,
                "node": letter.node,
                "raw": letter.raw,
            }
            for letter in self.broker.dead
        ]

    async def end_lease(self, work: Work) -> None:
        self.broker.leases[f"{work.node_id}|{work.boot}"] = self.clock.now() - 1

    async def forget_heartbeat(self, node_id: str) -> None:
        self.broker.heartbeats.pop(node_id, None)

    async def not_seen_for(self, node_id: str, seconds: float) -> None:
        self.broker.seen[node_id] = self.clock.now() - seconds

    async def later(self, seconds: float) -> None:
        self.clock.time += seconds

    async def waiting(self) -> int:
        return sum(len(waiting) for waiting in self.broker._waiters.values())

    async def listen(self, *channels: str) -> Ear:
        return _MemoryEar(self._subscriptions.enter_context(self.broker.subscribe(*channels)))

    async def aclose(self) -> None:
        self._subscriptions.close()


class _MemoryEar:
    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            message: dict[str, Any] = json.loads(await self._queue.get())
        return message


class RedisQueue:
    def __init__(
        self,
        server: RedisServer,
        prefix: str = "turnstone",
        address: RedisAddress | None = None,
    ) -> None:
        self.server = server
        self.address = address or server.address  # by which its nodes reach it
        self.keys = Keys(prefix)
        self.redis: Any = redis.asyncio.Redis(unix_socket_path=server.socket)
        self._opened: list[RedisWork] = []
        self._ears: list[Any] = []

    async def node(self, node_id: str, **options: Any) -> Work:
        values: dict[str, Any] = {"lease": LONG, "prefix": self.keys.prefix} | options
        address = values.pop("address", self.address)
        work = await RedisWork.open(address, node_id, **values)
        self._opened.append(work)
        await work.beat({"server_url": f"http://{node_id}"})
        return work

    async def push(self, message: bytes, node_id: str = "") -> None:
        name = self.keys.inbound_of(node_id) if node_id else self.keys.inbound
        await self.redis.rpush(name, message)

    async def entries(self, name: str) -> list[bytes]:
        found: list[bytes] = await self.redis.lrange(name, 0, -1)
        return found

    async def record(self, correlation_id: str) -> dict[str, Any]:
        name = self.keys.message(correlation_id)
        there = await self.redis.hgetall(name) if await self.redis.type(name) == b"hash" else {}
        found = {key.decode(): value.decode() for key, value in there.items()}
        return {
            "s": found.get("s", ""),
            "n": found.get("n", ""),
            "e": int(found.get("e", 0)),
            "fx": found.get("fx") == "1",
            "tries": int(found.get("tries", 0)),
        }

    async def lose_record(self, correlation_id: str) -> None:
        await self.redis.delete(self.keys.message(correlation_id))
        async for name in self.redis.scan_iter(self.keys.inflight("*")):
            await self.redis.hdel(name, correlation_id)

    async def forget_record(self, correlation_id: str) -> None:
        await self.redis.delete(self.keys.message(correlation_id))

    async def lose_all(self) -> None:
        await self.redis.flushall()

    async def spoil(self, correlation_id: str) -> None:
        name = self.keys.message(correlation_id)
        await self.redis.delete(name)
        await self.redis.rpush(name, "something")

    async def occupy(self, name: str, text: str = "") -> None:
        await (self.redis.set(name, text) if text else self.redis.sadd(name, "something"))

    async def dead(self) -> list[dict[str, Any]]:
        letters = []
        for _, values in await self.redis.xrange(self.keys.dead):
            letter = {key.decode(): value for key, value in values.items()}
            letters.append(
                {
                    "correlation_id": letter["correlation_id"].decode(),
                    "reason": letter["reason"].decode(),
                    "tries": int(letter["tries"]),
                    "node": letter["node"].decode(),
                    "raw": letter["raw"],
                }
            )
        return letters

    async def end_lease(self, work: Work) -> None:
        member = f"{work.node_id}|{work.boot}"
        await self.redis.zadd(self.keys.alive, {member: await self._now() - 1})

    async def forget_heartbeat(self, node_id: str) -> None:
        await self.redis.delete(self.keys.node(node_id))

    async def not_seen_for(self, node_id: str, seconds: float) -> None:
        await self.redis.zadd(self.keys.seen, {node_id: await self._now() - seconds})

    async def later(self, seconds: float) -> None:
        until = await self._now() + seconds
        deadline = time.monotonic() + PATIENCE
        while await self._now() <= until:
            assert time.monotonic() < deadline
            await asyncio.sleep(min(seconds, 0.01))

    async def waiting(self) -> int:
        return int((await self.redis.info("clients"))["blocked_clients"])

    async def listen(self, *channels: str) -> Ear:
        ear = self.redis.pubsub(ignore_subscribe_messages=True)
        self._ears.append(ear)
        await ear.subscribe(*channels)
        deadline = time.monotonic() + PATIENCE
        while not all(count for _, count in await self.redis.pubsub_numsub(*channels)):
            assert time.monotonic() < deadline
        return _RedisEar(ear)

    async def aclose(self) -> None:
        for ear in self._ears:
            await ear.aclose()
        for work in self._opened:
            await work.aclose()
        await self.redis.aclose()

    async def _now(self) -> float:
        seconds, micros = await self.redis.time()
        return float(seconds) + float(micros) / 1_000_000


class _RedisEar:
    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self._pubsub.get_message(timeout=PATIENCE)
                if found is not None:
                    message: dict[str, Any] = json.loads(found["data"])
                    return message


def send(correlation_id: str | None = "", message: str = "hello", **fields: Any) -> bytes:
    """A message as a client of 0.2 writes it; without an id if there is none."""
    own = {} if correlation_id == "" else {"correlation_id": correlation_id}
    return json.dumps({"type": "send", **own, "message": message} | fields).encode()


#: An id that the queue gave: the time, and which one it was.
GIVEN = re.compile(r"anon:\d{16}-(\d+)")


def plain(found: Any) -> Any:
    """The same with the ids that the queue gave without the time in them: `anon:<count>`."""
    match found:
        case str():
            return GIVEN.sub(r"anon:\1", found)
        case bytes():
            return plain(found.decode("latin-1")).encode("latin-1")
        case dict():
            return {plain(key): plain(value) for key, value in found.items()}
        case list() | tuple():
            return type(found)(map(plain, found))
    if is_dataclass(found) and not isinstance(found, type):
        return replace(found, **{f.name: plain(getattr(found, f.name)) for f in fields(found)})
    return found


def ids(entries: list[bytes]) -> list[str]:
    return [read(entry).correlation_id for entry in entries]


async def take_shared(work: Work, free: int = 100) -> list[Any]:
    """Everything of the shared list that is this node's to take."""
    while await work.pull_shared(0):
        pass
    return await work.claim(free)


async def take_directed(work: Work) -> list[Any]:
    while await work.pull_directed(0):
        pass
    return await work.directed()


async def take_on(work: Work, claimed: Any) -> int:
    """Admit and accept; the epoch."""
    admitted = await work.admit(claimed)
    assert admitted.admission == "run"
    assert await work.accept(claimed, admitted.epoch)
    return admitted.epoch


async def until(condition: Any) -> None:
    """Wait until the condition, an async function, holds."""
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, "the state did not come"
        await asyncio.sleep(0.005)
