"""A node is killed while requests are in flight: what was set aside for them counts as spent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Reply, error, hold, text
from support.processes import server
from support.teams import team
from support.watching import PATIENCE, ending, send
from turnstone.core import prompts
from turnstone.core.host import CreateWorkstream

USED = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}

#: The most that an answer may have, and so the least that is set aside for a request.
ANSWER = 3000


def paid(body: dict[str, Any]) -> Reply:
    said = [m for m in body["messages"] if "[Left of the budget" not in str(m["content"])]
    return replace(team({**body, "messages": said}), usage=USED)


async def true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def untitled(body: dict[str, Any]) -> bool:
    """Whether a title is asked for."""
    return bool(body["messages"][0]["content"] == prompts.text("title"))


async def test_a_request_that_was_in_flight_is_counted_as_it_was_set_aside(tmp_path: Path) -> None:
    never = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if untitled(body):
            return error(401, "no titles here")  # which costs nothing
        return hold(text("late"), never) if len(model.requests) == 1 else paid(body)

    with ModelServer(plan) as model:
        flags = ["--base-url", model.base_url, "--max-tokens", str(ANSWER)]
        flags += ["--budget-tokens", "20000"]
        async with server(tmp_path, *flags) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            cid = await send(host, ws.id, "say done")
            await true(lambda: len(model.requests) == 1)
            await host.aclose()
            await node.kill()
        async with server(tmp_path, *flags) as node:
            host = node.client()
            ended = await ending(host, ws.id, cid)
            usage = await host.usage(ws.id)
            await host.aclose()
        never.set()

    assert (ended.outcome, ended.text) == ("done", "done")
    assert usage.own.total_tokens == 500
    assert usage.left.tokens is not None
    lost = 20_000 - 500 - usage.left.tokens
    assert ANSWER < lost < 3 * ANSWER


async def test_three_sub_agents_in_flight_at_a_kill_leave_the_budget_above_them_true(
    tmp_path: Path,
) -> None:
    never = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if untitled(body):
            return error(401, "no titles here")  # which costs nothing
        return hold(text("late"), never) if 2 <= len(model.requests) <= 4 else paid(body)

    with ModelServer(plan) as model:
        flags = ["--base-url", model.base_url, "--max-tokens", str(ANSWER)]
        flags += ["--budget-tokens", "40000"]
        async with server(tmp_path, *flags) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream(auto_approve_tools=["task"]))
            cid = await send(host, ws.id, "sub [say 1] & sub [say 2] & sub [say 3]; say all done")
            await true(lambda: len(model.requests) == 4)
            await host.aclose()
            await node.kill()
        async with server(tmp_path, *flags) as node:
            host = node.client()
            ended = await ending(host, ws.id, cid)
            usage = await host.usage(ws.id)
            await host.aclose()
        never.set()

    assert (ended.outcome, ended.text) == ("done", "all done")
    assert (usage.agents, usage.tree.total_tokens) == (3, 5 * 500)
    assert usage.left.tokens is not None
    lost = 40_000 - 5 * 500 - usage.left.tokens
    assert 3 * ANSWER < lost < 9 * ANSWER
