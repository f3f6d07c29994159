"""Titles: one for each conversation, found beside it and never in its way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver import Reply, error, hold, text
from modelserver.plans import echo
from support.nodes import Node, local_node
from support.watching import PATIENCE, ending, send, until
from turnstone.core import events as ev
from turnstone.core import prompts
from turnstone.core.host import CreateWorkstream
from turnstone.core.titles import LONGEST, title_of


def asks_for_title(body: dict[str, Any]) -> bool:
    return bool(body["messages"][0]["content"] == prompts.text("title"))


def titled(reply: Reply, *others: Reply) -> Callable[[dict[str, Any]], Reply]:
    """A model that answers requests for a title with these, the last one from then on."""
    replies = [reply, *others]

    def plan(body: dict[str, Any]) -> Reply:
        if not asks_for_title(body):
            return echo(body)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    return plan


async def turn(node: Node, ws_id: str, cid: str) -> None:
    await send(node.host, ws_id, f"message {cid}", cid)
    assert (await ending(node.host, ws_id, cid)).outcome == "done"


def requests_for_titles(node: Node) -> list[dict[str, Any]]:
    return [body for body in node.model.requests if asks_for_title(body)]


async def until_asked(node: Node, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(requests_for_titles(node)) < times:
            await asyncio.sleep(0.01)


async def test_the_first_exchange_gives_the_conversation_its_title(tmp_path: Path) -> None:
    plan = titled(text('"**Pears and plums**."\nSure!'))
    async with local_node(tmp_path, plan, titles=True) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node, ws.id, "c1")
        await until(node.host, ws.id, ev.Titled)
        await turn(node, ws.id, "c2")
        await turn(node, ws.id, "c3")
        [info] = await node.host.list()
        [asked] = requests_for_titles(node)

    assert info.title == "Pears and plums"
    assert (asked["max_tokens"], asked["temperature"]) == (200, 0.3)
    assert "tools" not in asked
    assert "message c1" in asked["messages"][1]["content"]
    async with local_node(tmp_path, plan, titles=True) as node:  # asleep, and in the next process
        assert [info.title for info in await node.host.list()] == ["Pears and plums"]


async def test_a_title_is_not_waited_for(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, titled(hold(text("Late"), gate)), titles=True) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node, ws.id, "c1")
        await until_asked(node, 1)
        await turn(node, ws.id, "c2")
        await turn(node, ws.id, "c3")
        gate.set()
        told, _ = await until(node.host, ws.id, ev.Titled)
        assert told.title == "Late"
        assert len(requests_for_titles(node)) == 1


async def test_a_node_ends_and_a_workstream_is_erased_while_a_title_is_awaited(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, titled(hold(text("Late"), gate)), titles=True) as node:
        one, two = [await node.host.create(CreateWorkstream()) for _ in range(2)]
        await turn(node, one.id, "c1")
        await turn(node, two.id, "c2")
        await until_asked(node, 2)
        async with asyncio.timeout(PATIENCE):
            await node.host.erase(one.id)
            await node.host.aclose()
        gate.set()


@pytest.mark.parametrize("bad", [error(401, "no such key"), text("\n  \n")], ids=["401", "empty"])
async def test_what_goes_wrong_is_told_to_nobody_and_tried_three_times_at_most(
    tmp_path: Path, bad: Reply
) -> None:
    async with local_node(tmp_path, titled(bad), titles=True) as node:
        ws = await node.host.create(CreateWorkstream())
        for number in range(1, 7):
            await turn(node, ws.id, f"c{number}")
            await until_asked(node, 1)
        _, events = await until(node.host, ws.id, ev.TurnEnded, "c6")
        assert not [e for e in events if isinstance(e, ev.Error | ev.Info | ev.Titled)]
        assert 1 <= len(requests_for_titles(node)) <= 3


async def test_no_title_of_what_failed_or_of_nodes_that_want_none(tmp_path: Path) -> None:
    def fails(body: dict[str, Any]) -> Reply:
        return error(401, "no such key")

    async with local_node(tmp_path, fails, titles=True) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "hello", "c1")
        assert (await ending(node.host, ws.id, "c1")).outcome == "failed"
        assert requests_for_titles(node) == []
    async with local_node(tmp_path / "other", echo) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node, ws.id, "c1")
        assert len(node.model.requests) == 1


async def test_a_title_of_a_conversation_that_was_forgotten_meanwhile_is_dropped(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    plan = titled(hold(text("The old one"), gate), text("The new one"))
    async with local_node(tmp_path, plan, titles=True) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node, ws.id, "c1")
        await until_asked(node, 1)
        await node.host.command(ws.id, "/clear")
        gate.set()
        # Whether or not the old request is still under way when a turn ends, the title is new.
        for number in range(2, 5):
            await turn(node, ws.id, f"c{number}")
        told, _ = await until(node.host, ws.id, ev.Titled)
        assert told.title == "The new one"


async def test_a_title_is_paid_for(tmp_path: Path) -> None:
    plan = titled(text("Paid"))
    async with local_node(tmp_path, plan, titles=True) as node:
        budget = ev.Budget(tokens=100_000)
        ws = await node.host.create(CreateWorkstream(budget=budget))
        await turn(node, ws.id, "c1")
        _, events = await until(node.host, ws.id, ev.Titled)
        reserved = [e for e in events if isinstance(e, ev.BudgetReserved)]
        assert len(reserved) == 2


async def test_a_title_costs_what_the_provider_has_counted(tmp_path: Path) -> None:
    counted = {"prompt_tokens": 40, "completion_tokens": 1_500, "total_tokens": 1_540}
    plan = titled(replace(text("Paid"), usage=counted))
    async with local_node(tmp_path, plan, titles=True) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=100_000)))
        await turn(node, ws.id, "c1")
        _, events = await until(node.host, ws.id, ev.Titled)
        settled = [e.tokens for e in events if isinstance(e, ev.BudgetSettled)]
        assert settled[-1] == 1_540


@given(st.text())
def test_any_answer_makes_one_short_line(answer: str) -> None:
    title = title_of(answer)
    assert len(title) <= LONGEST
    assert title == " ".join(title.split())
