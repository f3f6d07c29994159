"""Chaos: three nodes, a bridge, clients and Redis are killed, stopped and cut off at random.

Everything is a process of its own, Redis keeps its log, and the seed and what was done when are
printed. Then every message must have ended once, with its effect at most once, in the order of
its workstream, and nothing may be left in Redis but what says so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions

from modelserver import ModelServer
from support.crashing.harness import size
from support.queue_farm import Process, farm
from support.queue_world import POISON, World, message, plan, world
from support.redis import RedisServer, redis_server
from support.redis_gate import Gate, gate_to, load_scripts

#: Messages, and faults, of a run.
SIZES = {"default": (60, 18), "ci": (60, 18), "long": (1_000, 250)}

#: Runs at each size, each with a seed of its own.
RUNS = {"default": 1, "ci": 1, "long": 3}

#: Workstreams to which follow-ups go.
TALKS = 6

#: Of the messages that should have an answer, so many in a hundred must have one. The others are
#: told a failure: they were tried too often, or nobody knows whether they had their effect.
ANSWERED = 80

#: Seconds of the leases: pauses are longer.
LEASE = 0.9


@dataclass
class Chaos:
    """One run. `wanted` are the processes that are started again when they die."""

    here: World
    redis: RedisServer
    gates: dict[str, Gate]
    dice: random.Random
    http: int
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)
    alive: dict[str, Process] = field(default_factory=dict)
    script: list[str] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)
    clients: list[Process] = field(default_factory=list)
    away: bool = False
    began: float = field(default_factory=time.monotonic)

    async def keep(self) -> None:
        """Start again what has died, for ever."""
        while True:
            for name, options in self.wanted.items():
                if self.away or (name in self.alive and self.alive[name].alive):
                    continue
                self.alive[name] = await self.here.node(**options)
            await asyncio.sleep(0.1)

    async def strike(self) -> None:
        """One fault."""
        kinds = ["kill", "kill", "kill", "pause", "pause", "cut", "bridge", "redis", "client"]
        kind = self.dice.choice(kinds)
        nodes = [each for each in self.alive if each != "bridge"]
        name = "bridge" if kind == "bridge" else self.dice.choice(nodes)
        self.script.append(f"{time.monotonic() - self.began:.2f} {kind} {name}")
        match kind:
            case "kill" | "bridge":
                self.alive[name].kill()
            case "pause" if name not in self.paused:
                await self._pause(name, self.alive[name])
            case "cut":
                self.dice.choice(list(self.gates.values())).cut()
            case "redis":
                await self._restart()
            case "client" if self.clients:
                self.dice.choice(self.clients).kill()

    async def _pause(self, name: str, process: Process) -> None:
        """Longer than its lease; other faults come meanwhile."""
        process.pause()
        self.paused.add(name)
        seconds = LEASE * self.dice.uniform(1.3, 2.5)

        def wake() -> None:
            process.wake()
            self.paused.discard(name)

        asyncio.get_running_loop().call_later(seconds, wake)

    async def _restart(self) -> None:
        self.away = True
        self.redis.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.5))  # how long it is away
        await asyncio.to_thread(self.redis.start)
        self.away = False

    async def push(self, raw: bytes, node_id: str = "") -> None:
        """As a program does that does not give up: a message may come twice."""
        while True:
            try:
                await self.here.push(raw, node_id)
            except (exceptions.RedisError, OSError):
                await asyncio.sleep(0.05)  # Redis is away for a while
            else:
                return


@asynccontextmanager
async def chaos(tmp_path: Path, drawn: int, port: int) -> AsyncIterator[Chaos]:
    with redis_server("--appendonly", "yes") as redis, farm() as nodes, ModelServer(plan) as model:
        load_scripts(redis.port)
        async with (
            world(nodes, redis.port, model.base_url, tmp_path, "chaos") as here,
            gate_to(redis.port) as one,
            gate_to(redis.port) as two,
        ):
            run = Chaos(here, redis, {"n1": one, "n2": two}, random.Random(drawn), port)
            for name, gate in run.gates.items():
                run.wanted[name] = {"node_id": name, "port": gate.port, "lease": LEASE}
            run.wanted["n3"] = {"node_id": "n3", "http": port}
            run.wanted["bridge"] = run.wanted["n3"] | {"bridge": True, "lease": LEASE}
            keeping = asyncio.create_task(run.keep())
            try:
                yield run
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                print("seed", drawn, "faults", "; ".join(run.script))


async def producer(run: Chaos, count: int, talks: list[str]) -> tuple[list[str], int]:
    """Send the messages; their ids, and how many were no messages at all."""
    cids, bad = [], 0
    for number in range(count):
        cid, node_id, fields = f"m{number:04}", "", {}
        kind = run.dice.random()
        if kind < 0.01 or number == count // 2:
            bad += 1
            await run.push(b'{"type": "send", "correlation_id": "' + cid.encode() + b'", "mess')
            continue
        if kind < 0.02 or number == count // 3:
            fields = {"message": f"{POISON} {cid}"}
        elif kind < 0.25:
            node_id = run.dice.choice(["n1", "n2", "n3"])
        elif kind < 0.6:
            fields = {"ws_id": run.dice.choice(talks)}
        raw = message(cid, **fields)
        for _ in range(2 if run.dice.random() < 0.05 else 1):
            await run.push(raw, node_id)
        cids.append(cid)
        await asyncio.sleep(run.dice.uniform(0, 0.2))  # the pace of the traffic
    return cids, bad


async def monkey(run: Chaos, faults: int) -> None:
    for number in range(faults):
        await asyncio.sleep(run.dice.uniform(0.2, 0.8))  # when to strike, not what to await
        await run.strike()
        if number % 6 == 0:
            said = tuple(f"client{number}-{one}" for one in range(3))
            run.clients.append(await run.here.node(f"client{number}", says=said))


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("run_number", range(RUNS[size()]))
async def test_whatever_is_killed_stopped_or_cut_off_every_message_ends_once(
    tmp_path: Path, unused_tcp_port: int, run_number: int, seed: int
) -> None:
    count, faults = SIZES[size()]
    async with chaos(tmp_path, seed, unused_tcp_port) as run:
        here = run.here
        begins = [f"begin{number}" for number in range(TALKS)]
        for number, begin in enumerate(begins):
            await run.push(message(begin), f"n{number % 3 + 1}")
        talks = [result.ws_id for result in (await here.ended(begins)).values()]

        sending = asyncio.create_task(producer(run, count, talks))
        await monkey(run, faults)
        cids, bad = await sending
        last = await here.node("last-client", says=("last-0", "last-1"))
        results = await here.ended([*begins, *cids])
        await here.until(lambda: answered(last), "the answers of the last client")
        await here.settled()
        told = await here.redis.xlen(here.keys.dead)
        await here.stop()

        wrong = await here.violations(results, told_once=False)
        for ws_id in talks:
            said = await here.order_of(ws_id)
            wrong += [] if said == sorted(said) else [f"{ws_id} has the order {said}"]
    done = sum(result.content == [f"done {cid}"] for cid, result in results.items())
    print(f"{done} of {len(results)} answered, {told} dead letters")
    assert wrong == []
    assert told >= bad
    assert last.answers == 2
    assert 100 * done >= ANSWERED * len(results)


async def answered(client: Process) -> bool:
    return client.answers >= 0
