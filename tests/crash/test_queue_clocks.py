"""Nodes whose own clocks are hours apart: leases are reckoned by the clock of Redis alone.

What happens when that one is set is in contract/test_work_clock.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserver import ModelServer
from support.queue_farm import farm
from support.queue_world import message, new_ws, plan, world
from support.redis import redis_server

HOUR = 3_600.0


@pytest.mark.timeout(240)
async def test_nodes_with_wrong_clocks_lose_nothing_and_double_nothing_though_one_is_killed(
    tmp_path: Path,
) -> None:
    with redis_server() as redis, farm() as nodes, ModelServer(plan) as model:
        async with world(nodes, redis.port, model.base_url, tmp_path, "clocks") as here:
            first = await here.node("n1", ahead=5 * HOUR)
            await (await here.node("n2", ahead=-5 * HOUR)).ready()
            await first.ready()
            await here.push(message("begin"), "n1")
            await here.ended(["begin"])
            cids = [f"m{number:02}" for number in range(16)]
            for number, cid in enumerate(cids):
                talk = {"ws_id": new_ws("begin")} if number % 3 == 0 else {}
                raw = message(cid, **talk)
                await here.push(raw)
                if number % 4 == 0:  # and a copy, to the one or to the other
                    await here.push(raw, "" if talk else f"n{1 + number % 8 // 4}")
                if number == 8:
                    await first.end()
                    await (await here.node("n1", ahead=-3 * HOUR)).ready()
            results = await here.ended(cids)
            await here.settled()
            await here.stop()

            assert await here.violations(cids, told_once=False) == []
            assert [one.outcome for one in results.values()] == ["done"] * len(cids)
            assert sorted(here.effects()) == ["begin", *cids]
            order = await here.order_of(new_ws("begin"))
    assert order == ["begin", *cids[::3]]
