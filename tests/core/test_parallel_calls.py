"""Calls side by side where their classes allow it; results in the order of the calls."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from support.held_tools import HeldTool
from support.nodes import local_node
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream


def calls_all(made: list[str]) -> Any:
    """A plan: call the tools of these names, each with its place as the key; then answer."""

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("done")
        return calls(*(call(name, key=str(place)) for place, name in enumerate(made)))

    return plan


def groups(made: list[str]) -> list[set[str]]:
    """What may run at the same time: neighbours that only read; each other call alone."""
    found: list[set[str]] = []
    for place, name in enumerate(made):
        if name == "look" and place and made[place - 1] == "look":
            found[-1].add(str(place))
        else:
            found.append({str(place)})
    return found


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["look", "look", "put", "do"]), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_in_whatever_order_calls_end_their_results_are_in_the_order_of_the_calls(
    made: list[str], chance: random.Random
) -> None:
    async def run(folder: Path) -> None:
        tools = {
            "look": HeldTool("look", "pure"),
            "put": HeldTool("put", "idempotent"),
            "do": HeldTool("do", "effect"),
        }
        async with local_node(folder, calls_all(made), tools=tools) as node:
            ws = await node.host.create(CreateWorkstream())
            await send(node.host, ws.id, "go", "c1")
            for group in groups(made):
                tool = tools[made[int(min(group))]]
                await tool.runs(*group)
                assert sum(len(t.going) for t in tools.values()) == len(group)
                order = sorted(group)
                chance.shuffle(order)
                for key in order:
                    tool.let_go(key)
            assert (await ending(node.host, ws.id, "c1")).outcome == "done"
            told = [m for m in node.model.requests[-1]["messages"] if m["role"] == "tool"]
        assert [m["content"] for m in told] == [f"result of {n}" for n in range(len(made))]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_a_cancel_in_the_middle_gives_every_call_one_result(tmp_path: Path) -> None:
    look, do = HeldTool("look", "pure"), HeldTool("do", "effect")
    plan = calls_all(["look", "look", "look", "do", "do"])
    async with local_node(tmp_path, plan, tools={"look": look, "do": do}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await look.runs("0", "1", "2")
        look.let_go("1")
        await until(node.host, ws.id, ev.ToolFinished, "c1")
        assert await node.host.cancel(ws.id)
        _, seen = await until(node.host, ws.id, ev.TurnEnded, "c1")
        node.model.plan = lambda body: text("on")
        await send(node.host, ws.id, "go on", "c2")
        await ending(node.host, ws.id, "c2")
        last = node.model.requests[-1]["messages"]

    asked = [c["id"] for m in last for c in m.get("tool_calls", [])]
    assert [m["tool_call_id"] for m in last if m["role"] == "tool"] == asked
    results = {e.call_id: e.status for e in seen if isinstance(e, ev.ToolFinished)}
    assert [results[call_id] for call_id in asked] == [
        "cancelled",
        "ok",
        "cancelled",
        "cancelled",
        "cancelled",
    ]
    assert do.log == []
    assert sum(isinstance(e, ev.ToolFinished) for e in seen) == 5
