"""A queue with nodes that die, and what must hold of it afterwards, whatever was done to them.

Every message ends once, has its effect at most once, keeps its place in its workstream, and
leaves nothing behind but what says how it ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import redis.asyncio
from redis import exceptions

from modelserver import Reply, call, calls, text
from modelserver.plans import last_user_text, tool_results
from support.queue_farm import Farm, Process
from support.queue_life import EFFECTS, POISON, Order
from turnstone.core import events as ev
from turnstone.core.store.sqlite import SqliteStore
from turnstone.mq.keys import Keys
from turnstone.mq.results import StoredResult

#: Seconds for a state that must come, on a machine that is busy with other tests.
PATIENCE = 60.0

#: What may be in Redis when all is done: owners, heartbeats and leases, records, histories.
_STAYS = re.compile(
    r":(ws:.+|node:.+|x:(alive|beats|turns|seat:.+|cid:.+|seen|search|epoch:.+|ev:.+|dead|anon))"
)


def plan(body: dict[str, Any]) -> Reply:
    """One effect, named as the message is, and then an answer."""
    said = last_user_text(body)
    return text(f"done {said}") if tool_results(body) else calls(call("count", key=said))


def new_ws(cid: str) -> str:
    """What the workstream of a message without one is called, as our clients propose it."""
    return hashlib.sha256(cid.encode()).hexdigest()[:8]


def message(cid: str, **fields: Any) -> bytes:
    """A message whose text is its id, unless it is told otherwise."""
    mine = {} if fields.get("ws_id") else {"new_ws_id": new_ws(cid)}
    own = {"type": "send", "correlation_id": cid, "timestamp": time.time(), "message": cid}
    return json.dumps(own | mine | fields).encode()


class World:
    """One prefix of a Redis, the nodes that work there, and the folder that they live in."""

    def __init__(self, farm: Farm, port: int, model_url: str, folder: Path, prefix: str) -> None:
        self.keys = Keys(prefix)
        self.folder = folder
        self.processes: list[Process] = []
        self.endings: Counter[str] = Counter()
        self.redis: Any = redis.asyncio.Redis(port=port)
        self._farm = farm
        self._port = port
        self._model_url = model_url

    async def node(self, node_id: str = "n1", *, port: int = 0, **options: Any) -> Process:
        """A new life of a node. `port`: where it believes Redis to be. See `Order`."""
        order = Order(
            folder=str(self.folder / (f"{node_id}-bridge" if options.get("bridge") else node_id)),
            redis_port=port or self._port,
            prefix=self.keys.prefix,
            node_id=node_id,
            **({"model_url": self._model_url} | options),
        )
        process = await self._farm.start(order)
        self.processes.append(process)
        return process

    async def push(self, raw: bytes, node_id: str = "") -> None:
        name = self.keys.inbound_of(node_id) if node_id else self.keys.inbound
        await self.redis.rpush(name, raw)

    async def state(self, cid: str) -> str:
        return (await self.redis.hget(self.keys.message(cid), "s") or b"").decode()

    async def result(self, cid: str) -> StoredResult | None:
        found = await self.redis.hget(self.keys.message(cid), "r")
        return StoredResult.decode(found) if found else None

    async def until(
        self, condition: Callable[[], Any], what: str, patience: float = PATIENCE
    ) -> None:
        """Wait until an asynchronous condition holds; Redis may be away for a while."""
        deadline = time.monotonic() + patience
        while True:
            with suppress(exceptions.RedisError, OSError):
                if await condition():
                    return
            if time.monotonic() > deadline:
                logs = "\n".join(f"{p.order.node_id}: {p.log()}" for p in self.processes[-4:])
                raise AssertionError(f"{what} did not come\n{await self._shown()}\n{logs}")
            await asyncio.sleep(0.02)  # the condition is the state that is waited for

    async def ended(self, cids: Iterable[str]) -> dict[str, StoredResult]:
        """Wait for the ends of these, as long as one of them ends now and then; what is kept of
        each."""
        results: dict[str, StoredResult] = {}
        waiting = list(cids)

        async def some() -> bool:
            before = len(results)
            for cid in waiting:
                found = await self.result(cid)
                if found is not None:
                    results[cid] = found
            return len(results) > before

        while waiting:
            await self.until(some, f"the end of any of {waiting[:20]}")
            waiting = [cid for cid in waiting if cid not in results]
        return results

    async def _shown(self) -> str:
        names = sorted(await self.redis.keys(f"{self.keys.prefix}:*"))
        held = {n.decode(): (await self.redis.type(n)).decode() for n in names}
        shown = [f"{name} ({kind})" for name, kind in held.items()]
        for name, kind in held.items():
            if kind == "list":
                shown.append(f"{name}: {await self.redis.lrange(name, 0, 4)}")
            if ":x:cid:" in name:
                found = await self.redis.hgetall(name)
                if b"r" not in found:
                    shown.append(f"{name}: {found}")
        return "\n".join(shown)

    # What must hold.

    async def settled(self) -> None:
        """Wait until nothing is left in Redis that somebody must still see to."""

        async def clean() -> bool:
            return not await self._left()

        await self.until(clean, "a queue with nothing left in it")

    async def _left(self) -> list[str]:
        names = [n.decode() async for n in self.redis.scan_iter(f"{self.keys.prefix}:*")]
        cut = len(self.keys.prefix)
        return sorted(name for name in names if not _STAYS.fullmatch(name[cut:]))

    async def stop(self) -> None:
        for process in self.processes:
            process.wake()
            await process.end()

    async def violations(self, cids: Iterable[str], *, told_once: bool = True) -> list[str]:
        """What does not hold, now that all nodes are dead, of these messages and all others."""
        wanted, found = list(cids), [f"{name} is left" for name in await self._left()]
        journals = await self._journals()
        effects = Counter(self.effects())
        found += [f"{key}: {count} effects" for key, count in effects.items() if count > 1]
        async for name in self.redis.scan_iter(self.keys.message("*")):
            record = await self.redis.hgetall(name)
            if record.get(b"s") not in (b"done", b"dead") or b"r" not in record:
                found.append(f"{name.decode()} has not ended: {record}")
        for cid in wanted:
            state, result = await self.state(cid), await self.result(cid)
            if state not in ("done", "dead") or result is None:
                found.append(f"{cid} is {state or 'not there'}")
                continue
            if told_once and self.endings[cid] != 1:
                found.append(f"the end of {cid} was told {self.endings[cid]} times")
            ends = [e for j in journals.values() for e in j if isinstance(e, ev.TurnEnded)]
            if state == "done" and not any(e.correlation_id == cid for e in ends):
                found.append(f"{cid} is done, and in no journal has it ended")
            if result.content == [f"done {cid}"] and not effects[cid]:
                statuses = {
                    e.status
                    for j in journals.values()
                    for e in j
                    if isinstance(e, ev.ToolFinished) and e.correlation_id == cid
                }
                if "ok" in statuses:
                    found.append(f"{cid} was counted, says its journal, and was not")
        for (node, ws_id), journal in journals.items():
            found += _in_journal(f"{node}/{ws_id}", journal)
        return found

    def effects(self) -> list[str]:
        path = self.folder / EFFECTS
        return path.read_text().split() if path.exists() else []

    async def _journals(self) -> dict[tuple[str, str], list[Any]]:
        journals: dict[tuple[str, str], list[Any]] = {}
        for path in sorted(self.folder.glob("*/turnstone.db")):
            store = await SqliteStore.open(path)
            try:
                for row in await store.rows():
                    records = await store.records(row.ws_id)
                    journals[path.parent.name, row.ws_id] = list(records)
            finally:
                await store.aclose()
        return journals

    async def order_of(self, ws_id: str) -> list[str]:
        """What was said in a workstream, as its journal has it."""
        return [
            e.message
            for (_, name), journal in (await self._journals()).items()
            for e in journal
            if name == ws_id and isinstance(e, ev.MessageAccepted)
        ]

    async def listen(self) -> None:
        """Count the endings that are told, for ever."""
        async with self.redis.pubsub(ignore_subscribe_messages=True) as ear:
            while True:
                with suppress(exceptions.RedisError, OSError):
                    await ear.psubscribe(self.keys.events("*"))
                    async for heard in ear.listen():
                        event = json.loads(heard["data"])
                        if event["type"] == "turn_complete":
                            self.endings[event["correlation_id"]] += 1
                await asyncio.sleep(0.05)


def _in_journal(where: str, journal: list[Any]) -> list[str]:
    """A message is accepted once, and ends once, and nothing else is left open."""
    accepted = Counter(e.correlation_id for e in journal if isinstance(e, ev.MessageAccepted))
    ended = Counter(e.correlation_id for e in journal if isinstance(e, ev.TurnEnded))
    found = [f"{where}: {cid} accepted {n} times" for cid, n in accepted.items() if n > 1]
    found += [f"{where}: {cid} ended {n} times" for cid, n in ended.items() if n > 1]
    return found + [f"{where}: {cid} never ended" for cid in accepted if not ended[cid]]


@asynccontextmanager
async def world(
    farm: Farm, port: int, model_url: str, folder: Path, prefix: str
) -> AsyncIterator[World]:
    """A world until the block ends; none of its nodes is left."""
    here = World(farm, port, model_url, folder, prefix)
    listening = asyncio.create_task(here.listen())
    try:
        async with asyncio.timeout(PATIENCE):
            while not await here.redis.pubsub_numpat():
                await asyncio.sleep(0.005)  # Redis is the state that is waited for
        yield here
    finally:
        await here.stop()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await here.redis.aclose()


__all__ = ["POISON", "World", "message", "new_ws", "plan", "world"]
