"""Budgets of workstreams with real sub-agents: shared, waited for, told, never passed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, error, hold, text
from modelserver.plans import tool_results
from support.nodes import local_node, start_host
from support.teams import Touch, children, of_kind, team
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.budget import Price
from turnstone.core.endpoint import transport_to
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import CreateWorkstream
from turnstone.core.model_gate import Gate
from turnstone.core.models import Model, Models
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.task import Task

USED = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}

THREE = "sub [look a; say 1] & sub [look b; say 2] & sub [look c; say 3]; say all done"


def paid(body: dict[str, Any]) -> Reply:
    """What the team does, to whatever is left."""
    said = [m for m in body["messages"] if "[Left of the budget" not in str(m["content"])]
    return replace(team({**body, "messages": said}), usage=USED)


class Look(Touch):
    """Ends at once."""

    def __init__(self) -> None:
        super().__init__("look", "pure", asked=False)

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        return ToolResult("ok", "seen")


def tools() -> dict[str, Any]:
    return {"look": Look(), "task": Task()}


async def test_three_sub_agents_share_what_no_two_of_them_could_set_aside_at_once(
    tmp_path: Path,
) -> None:
    async with local_node(
        tmp_path, paid, tools=tools(), params={"max_tokens": 7000}, price=Price(1.0, 2.0)
    ) as node:
        budget = ev.Budget(tokens=12_000)
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"], budget=budget))
        ended = await ending(node.host, ws.id, await send(node.host, ws.id, THREE))
        records = await node.host._store.records(ws.id)
        usage = await node.host.usage(ws.id)
        below = [await node.host.usage(child.id) for child in await children(node.host, ws.id)]

    assert (ended.outcome, ended.text) == ("done", "all done")
    assert [told for _, told in tool_results(node.model.requests[-1])] == ["1", "2", "3"]
    assert all(request["max_tokens"] == 7000 for request in node.model.requests)
    reserved = of_kind(list(records), ev.BudgetReserved)
    assert len({r.holder for r in reserved}) == 4
    assert len(reserved) == len(of_kind(list(records), ev.BudgetSettled)) == 8
    assert usage.left.tokens == 12_000 - 8 * 500
    assert (usage.own.requests, usage.tree.requests, usage.agents) == (2, 8, 3)
    assert usage.tree.total_tokens == usage.models["scripted-model"].total_tokens == 4000
    assert usage.tree.money == pytest.approx(8 * (400 * 1.0 + 100 * 2.0) / 1e6)
    assert (usage.own.tool_calls, usage.tree.tool_calls) == (3, 6)
    assert [one.tree for one in below] == [one.own for one in below]
    assert sum(one.own.seconds for one in [usage, *below]) == pytest.approx(
        usage.tree.seconds, abs=0.01
    )


async def test_a_tree_that_runs_out_ends_from_the_bottom_up_and_stays_within(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, paid, tools=tools(), params={"max_tokens": 1000}) as node:
        budget = ev.Budget(tokens=2600)
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"], budget=budget))
        ended = await ending(node.host, ws.id, await send(node.host, ws.id, THREE))
        ends = []
        for child in await children(node.host, ws.id):
            ends += of_kind(list(await node.host._store.records(child.id)), ev.TurnEnded)
        usage = await node.host.usage(ws.id)

    assert ended.outcome == "over_budget"
    assert "over_budget" in [end.outcome for end in ends]
    assert usage.tree.total_tokens <= 2600
    assert usage.left.tokens == 2600 - usage.tree.total_tokens


async def test_the_time_that_sub_agents_work_counts_for_those_above(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(body: dict[str, Any]) -> Reply:
        return hold(paid(body), gate) if len(node.model.requests) == 2 else paid(body)

    async with local_node(tmp_path, slow, tools=tools()) as node:
        budget = ev.Budget(seconds=1.5)
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"], budget=budget))
        cid = await send(node.host, ws.id, "sub [say 1]; say done")
        ended = await ending(node.host, ws.id, cid)
        [child] = await children(node.host, ws.id)
        [end] = of_kind(list(await node.host._store.records(child.id)), ev.TurnEnded)
        gate.set()
        usage = await node.host.usage(ws.id)

    assert (end.outcome, ended.outcome) == ("over_budget", "over_budget")
    assert usage.own.seconds < 1.5 <= usage.tree.seconds + 0.1
    assert usage.left.seconds is not None and usage.left.seconds <= 0.1


async def test_people_are_told_when_a_threshold_is_passed(tmp_path: Path) -> None:
    async with local_node(tmp_path, paid, params={"max_tokens": 1000}, tools=tools()) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=4000)))
        cid = await send(node.host, ws.id, "look a; look b; look c; say done")
        _, events = await until(node.host, ws.id, ev.TurnEnded, cid)
    told = [e.message for e in of_kind(events, ev.Info)]
    [status] = of_kind(events, ev.Status)
    assert told
    assert all(one.startswith("Left of its budget: ") for one in told)
    assert status.left.tokens == 4000 - 4 * 500


async def test_what_came_of_an_answer_that_was_cancelled_is_paid_for(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(
        tmp_path, lambda body: hold(text("a word " * 2000, chunk=13_000), gate, before=2), tools={}
    ) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=50_000)))
        cid = await send(node.host, ws.id, "go")
        await until(node.host, ws.id, ev.Content, cid)
        await node.host.cancel(ws.id)
        await ending(node.host, ws.id, cid)
        gate.set()
        [settled] = of_kind(list(await node.host._store.records(ws.id)), ev.BudgetSettled)
        [info] = await node.host.list()
    assert 2500 < settled.tokens < 10_000
    assert info.left.tokens == 50_000 - settled.tokens


async def test_a_request_that_was_refused_costs_nothing(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda body: error(400, "no"), tools={}) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=50_000)))
        ended = await ending(node.host, ws.id, await send(node.host, ws.id, "go"))
        [info] = await node.host.list()
    assert ended.outcome == "failed"
    assert info.left.tokens == 50_000


async def test_a_request_that_is_cancelled_while_it_waits_in_line_costs_nothing(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text("a word " * 9), gate, before=2)) as server:
        model = Model("default", "m", transport_to(server.base_url), gate=Gate(limit=1))
        host = await start_host(
            tmp_path, server.base_url, tools={}, models=Models(model), params={"max_tokens": 1000}
        )
        try:
            first = await host.create(CreateWorkstream())
            cid = await send(host, first.id, "go")
            await until(host, first.id, ev.Content, cid)
            other = await host.create(CreateWorkstream(budget=ev.Budget(tokens=50_000)))
            waits = await send(host, other.id, "and go")
            info, _ = await until(host, other.id, ev.Info, waits)
            await host.cancel(other.id)
            await ending(host, other.id, waits)
            gate.set()
            await ending(host, first.id, cid)
            usage = await host.usage(other.id)
        finally:
            gate.set()
            await host.aclose()
    assert "waits for its turn" in info.message
    assert usage.left.tokens == 50_000


async def test_every_model_that_a_workstream_pays_for_without_a_price_is_told(
    tmp_path: Path,
) -> None:
    with ModelServer(paid) as server:
        priced = Model("default", "a", transport_to(server.base_url), price=Price(1.0, 2.0))
        others = [Model(name, name, transport_to(server.base_url)) for name in ("small", "big")]
        models = Models(priced, others, {"agent": "big", "title": "small", "compaction": "small"})
        host = await start_host(tmp_path, server.base_url, tools={}, models=models)
        try:
            ws = await host.create(CreateWorkstream())
            view = await host.set_budget(ws.id, ev.Budget(money=5.0))
            tokens = await host.set_budget(ws.id, ev.Budget(tokens=5))
        finally:
            await host.aclose()
    assert "the models big, small, which have no price" in view.notice
    assert tokens.notice == ""


async def test_every_new_workstream_has_the_budget_of_the_node_and_keeps_it_asleep(
    tmp_path: Path,
) -> None:
    node_budget = ev.Budget(tokens=9000, tool_calls=5)
    async with local_node(tmp_path, paid, budget=node_budget, tools=tools()) as node:
        ws = await node.host.create(CreateWorkstream())
        other = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=10)))
        await ending(node.host, ws.id, await send(node.host, ws.id, "look a; say done"))
    async with local_node(tmp_path, paid, tools=tools()) as node:
        infos = {info.id: info for info in await node.host.list()}
        awake = await node.host.usage(ws.id)
    assert infos[ws.id].budget == node_budget
    assert infos[ws.id].left == awake.left == ev.Left(tokens=8000, tool_calls=4)
    assert infos[other.id].left == ev.Left(tokens=10)


async def test_the_budget_of_a_sub_agent_is_that_of_the_workstream_above(tmp_path: Path) -> None:
    async with local_node(tmp_path, paid, tools=tools()) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"]))
        await ending(node.host, ws.id, await send(node.host, ws.id, "sub [say 1]; say done"))
        [child] = await children(node.host, ws.id)
        with pytest.raises(InvalidRequest, match="sub-agent"):
            await node.host.set_budget(child.id, ev.Budget(tokens=5))
