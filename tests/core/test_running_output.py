"""What a call prints while it runs: in pieces, bounded, and there for whoever comes late."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, hold, raw_call, text
from modelserver.plans import tool_results
from support.held_tools import HeldTool
from support.nodes import local_node
from support.watching import PATIENCE, ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core.events import EffectClass
from turnstone.core.host import CreateWorkstream
from turnstone.core.livelog import MAX_STREAMED
from turnstone.core.local_host import LocalHost
from turnstone.core.results import GATHERED, MAX_SHOWN


def waits(*keys: str) -> Any:
    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(results[-1][1]) if results else calls(*(call("wait", key=k) for k in keys))

    return plan


async def shown(host: LocalHost, ws_id: str, *texts: str) -> list[ev.Event]:
    """What a reader starts from who comes once all of these were shown."""
    waiting, seen = "", host.follow(ws_id)
    assert isinstance(seen, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(seen):
        async for event in seen:
            waiting += event.text if isinstance(event, ev.ToolOutput) else ""
            if len(waiting) >= len("".join(texts)):
                break
    return await snapshot(host, ws_id)


def printed(events: list[ev.Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, ev.ToolOutput))


async def test_a_late_reader_sees_the_call_that_runs_and_what_it_has_printed(
    tmp_path: Path,
) -> None:
    tool = HeldTool(effect="pure")
    async with local_node(tmp_path, waits("one", "two"), tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("one", "two")
        for piece in ("first line\n", "second "):
            tool.going["one"](piece)
        tool.going["two"]("of two")
        late = await shown(node.host, ws.id, "first line\nsecond ", "of two")
        tool.let_go("one")
        await until(node.host, ws.id, ev.ToolFinished)
        later = await snapshot(node.host, ws.id)
        tool.let_go("two")
        await ending(node.host, ws.id, "c1")
        after = await snapshot(node.host, ws.id)

    assert [e.type for e in late] == [
        "connected",
        "history",
        "tool_started",
        "tool_output",
        "tool_started",
        "tool_output",
    ]
    outputs = [e.text for e in late if isinstance(e, ev.ToolOutput)]
    assert outputs == ["first line\nsecond ", "of two"]
    assert printed(later) == "of two"
    assert [e.type for e in after] == ["connected", "history", "turn_ended"]


async def test_a_call_that_has_the_id_of_an_earlier_one_begins_with_no_output(
    tmp_path: Path,
) -> None:
    """Some servers count the calls of each answer anew."""
    tool = HeldTool()

    def plan(body: dict[str, Any]) -> Reply:
        key = f"k{len(tool_results(body))}"
        return calls(raw_call("wait", json.dumps({"key": key}), call_id="call_0"))

    async with local_node(tmp_path, plan, tools={"wait": tool}, max_steps=2) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k0")
        tool.going["k0"]("of the first")
        tool.let_go("k0")
        await tool.runs("k1")
        tool.going["k1"]("of the second")
        late = await shown(node.host, ws.id, "of the second")
        tool.let_go("k1")
        await ending(node.host, ws.id, "c1")

    assert printed(late) == "of the second"


async def test_what_readers_are_shown_of_a_flood_is_bounded_and_says_so(tmp_path: Path) -> None:
    tool = HeldTool()
    async with local_node(tmp_path, waits("k"), tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        for _ in range(100):
            tool.going["k"]("x" * 10_000)
        late = await snapshot(node.host, ws.id)
        tool.let_go("k")
        _, seen = await until(node.host, ws.id, ev.TurnEnded)

    assert printed(late) == printed(seen)
    assert printed(seen).startswith("x" * MAX_SHOWN + "\n[it has printed more")
    assert len(printed(seen)) < MAX_SHOWN + 100


async def test_pieces_that_come_together_are_one_event(tmp_path: Path) -> None:
    tool = HeldTool()
    async with local_node(tmp_path, waits("k"), tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        for n in range(1000):
            tool.going["k"](f"{n} ")
        tool.let_go("k")
        _, seen = await until(node.host, ws.id, ev.TurnEnded)

    assert printed(seen) == "".join(f"{n} " for n in range(1000))
    assert sum(isinstance(e, ev.ToolOutput) for e in seen) == 1


async def test_what_comes_in_tiny_pieces_is_looked_at_together(tmp_path: Path) -> None:
    """Each look takes as long as what is held back, and the loop stands meanwhile."""
    tool, text = HeldTool(), "cookie:a=b; ghp_" * 6_000
    async with local_node(tmp_path, waits("k"), tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        began = time.process_time()
        for at in range(0, len(text), GATHERED):
            tool.going["k"](text[at : at + GATHERED])
        together = time.process_time() - began
        for at in range(0, len(text), 16):
            tool.going["k"](text[at : at + 16])
        apart = time.process_time() - began - together
        tool.let_go("k")
        await ending(node.host, ws.id, "c1")

    assert apart < 20 * together  # looked at one by one, some hundred times


@pytest.mark.parametrize(
    ("effect", "status"), [("effect", "unknown"), ("idempotent", "unknown"), ("pure", "error")]
)
async def test_a_tool_that_breaks_may_have_done_its_work(
    tmp_path: Path, effect: EffectClass, status: str
) -> None:
    tool = HeldTool(effect=effect)
    async with local_node(tmp_path, waits("k"), tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        tool.break_down("k")
        ended, seen = await until(node.host, ws.id, ev.TurnEnded)
        [history] = [e for e in await snapshot(node.host, ws.id) if isinstance(e, ev.History)]

    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert finished.status == status
    assert [m.status for m in history.messages if m.role == "tool"] == [status]
    assert ("Outcome unknown" in ended.text) == (status == "unknown")  # what the model reads
    assert "a fault in the tool" in ended.text


async def test_who_comes_late_to_a_very_long_answer_gets_its_end_and_is_told_that_there_is_more(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    whole = "".join(f"{number:9} " for number in range(MAX_STREAMED // 8))
    answer = text(whole + "end", chunk=50_000)
    last = len(whole) // 50_000 + 1  # the chunk behind the text

    async def long_enough(host: LocalHost, ws_id: str) -> str:
        while True:
            late = await snapshot(host, ws_id)
            shown = "".join(e.text for e in late if isinstance(e, ev.Content))
            if shown.endswith("end"):
                assert [e.type for e in late[:3]] == ["truncated", "connected", "history"]
                return shown

    try:
        async with local_node(tmp_path, lambda body: hold(answer, gate, last + 1)) as node:
            ws = await node.host.create(CreateWorkstream())
            await send(node.host, ws.id, "go", "c1")
            async with asyncio.timeout(PATIENCE):
                shown = await long_enough(node.host, ws.id)
            gate.set()
            assert (await ending(node.host, ws.id, "c1")).text == whole + "end"
            after = await snapshot(node.host, ws.id)
    finally:
        gate.set()

    assert (whole + "end").endswith(shown)
    assert MAX_STREAMED / 2 < len(shown) <= MAX_STREAMED
    assert after[0].type == "connected"
