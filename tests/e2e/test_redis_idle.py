"""A worker that has nothing to do, or no Redis to do it with, costs next to nothing."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from support.queue_node import queue_node
from support.redis import redis_server
from support.redis_faults import FAULTS
from support.workers import working_node

PATIENCE = 60.0

#: Seconds of its life in which the CPU time of a process is counted.
SPAN = 2.0

#: CPU seconds a second: what is below is nothing; one that spins uses 1.
NOTHING = 0.05

#: An hour of a worker has 720 beats. Here they are counted on a faster clock.
LONG = os.environ.get("TURNSTONE_TEST_SIZE") == "long"
BEATS = 720 if LONG else 240
BEAT = 0.02

#: What a worker that idles has no reason to do: it moves, tells and keeps nothing. (A beat is
#: counted, and after a gap in all beats what is reckoned from silence is deleted.)
NEVER = ("rpush", "lpush", "xadd", "xread", "publish", "incr", "lrem")

#: Commands of its own for one beat, at most: the beat, and looking through what is left behind.
A_BEAT = 12


def cpu(pid: int) -> float:
    """Seconds that a process has used, by its own clock."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


async def rate(pid: int) -> float:
    """CPU seconds a second, over a while."""
    loop = asyncio.get_running_loop()
    before, began = cpu(pid), loop.time()
    await asyncio.sleep(SPAN)  # the time in which the clock of the process is read
    return (cpu(pid) - before) / (loop.time() - began)


@pytest.mark.parametrize("name", ["killed", "silent", "used by another program"])
async def test_a_worker_whose_redis_does_nothing_for_it_uses_no_more_cpu_than_one_that_idles(
    tmp_path: Path, name: str
) -> None:
    with ModelServer(echo) as model, redis_server() as server, server.client() as hand:
        async with queue_node(tmp_path, model.base_url, server.port, "n1") as node:
            pid = node.process.pid
            idle = await rate(pid)
            async with FAULTS[name].begin(server, hand):
                assert await rate(pid) <= max(NOTHING, 3 * idle)
            assert node.process.returncode is None


async def test_an_hour_of_idling_is_heartbeats_and_nothing_else(tmp_path: Path) -> None:
    with redis_server() as server:
        work: dict[str, Any] = {"work": {"lease": 3 * BEAT}, "beat_every": BEAT}
        async with working_node(tmp_path, echo, server.address, "n1", **work):
            with server.client() as hand:
                first = await beats(hand, 10)
                hand.config_resetstat()
                last = await beats(hand, first + BEATS)
                did: dict[str, Any] = hand.info("commandstats")
                keys = {key.decode() for key in hand.keys("turnstone:*")}
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in did.items()}

    assert {name: calls[name] for name in NEVER if name in calls} == {}
    assert last - first <= calls["evalsha"] <= A_BEAT * (last - first + 2), calls
    assert calls.get("eval", 0) <= 20, calls  # the first time of each script
    assert not {key for key in keys if ":inbound" in key or ":x:p" in key or ":cid:" in key}


async def beats(hand: Any, wanted: int) -> int:
    """Wait until the heartbeat of the node says so many; how many it says."""
    async with asyncio.timeout(PATIENCE):
        while True:
            told = hand.get("turnstone:node:n1")
            found = int(json.loads(told)["beats"]) if told else 0
            if found >= wanted:
                return found
            await asyncio.sleep(0.05)  # the count of beats is the state that is waited for
