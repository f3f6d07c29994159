"""Budgets and what was used, over every way to a node."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, text
from support.hosts import either
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host


def paid(body: dict[str, Any]) -> Reply:
    return text("ok", usage={"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40})


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    async with either(request.param, tmp_path, paid) as host:
        yield host


async def test_a_budget_counts_from_when_it_was_set_and_is_lifted_by_an_empty_one(
    host: Host,
) -> None:
    ws = await host.create(CreateWorkstream())
    await ending(host, ws.id, await send(host, ws.id, "one"))
    view = await host.set_budget(ws.id, ev.Budget(tokens=90_000))
    assert (view.left, view.notice) == (ev.Left(tokens=90_000), "")
    await ending(host, ws.id, await send(host, ws.id, "two"))
    [info] = await host.list()
    assert (info.budget, info.left) == (ev.Budget(tokens=90_000), ev.Left(tokens=89_960))
    assert (await host.set_budget(ws.id, ev.Budget())).left == ev.Left()


async def test_a_budget_below_what_is_needed_stops_the_turn_that_asks(host: Host) -> None:
    ws = await host.create(CreateWorkstream(budget=ev.Budget(tokens=20)))
    ended = await ending(host, ws.id, await send(host, ws.id, "one"))
    assert ended.outcome == "over_budget"
    assert (await host.usage(ws.id)).own.requests == 0


async def test_what_was_used_is_told_of_open_and_closed_workstreams(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    for message in ("one", "two"):
        await ending(host, ws.id, await send(host, ws.id, message))
    before = await host.usage(ws.id)
    await host.close(ws.id)
    after = await host.usage(ws.id)
    assert (before.own.requests, before.own.prompt_tokens, before.own.completion_tokens) == (
        2,
        60,
        20,
    )
    assert before.own.seconds > 0
    assert after == before
    with pytest.raises(UnknownWorkstream):
        await host.usage("00000000")


@pytest.mark.parametrize("budget", [ev.Budget(tokens=-1), ev.Budget(seconds=-0.5)])
async def test_a_budget_below_zero_is_refused(host: Host, budget: ev.Budget) -> None:
    ws = await host.create(CreateWorkstream())
    with pytest.raises(InvalidRequest, match="not below 0"):
        await host.set_budget(ws.id, budget)
    with pytest.raises(InvalidRequest, match="not below 0"):
        await host.create(CreateWorkstream(budget=budget))


async def test_money_without_a_price_is_set_and_said_to_have_no_effect(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    view = await host.set_budget(ws.id, ev.Budget(money=2.5))
    assert view.left.money is not None
    assert math.isclose(view.left.money, 2.5)
    assert "has no price" in view.notice


async def test_the_budget_of_no_workstream_cannot_be_set(host: Host) -> None:
    with pytest.raises(UnknownWorkstream):
        await host.set_budget("00000000", ev.Budget(tokens=5))
