"""What a sender may do with a turn that runs, over every way to a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, text
from support.held_tools import HeldTool
from support.nodes import local_node
from support.servers import FULL, serving
from support.watching import ending, send, until
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, Host
from turnstone.core.limits import Limits


def plan(body: dict[str, Any]) -> Reply:
    """One held call in the whole conversation, and then what the user said."""
    said = [m["content"] for m in body["messages"] if m["role"] == "user"]
    held = not any(m["role"] == "tool" for m in body["messages"])
    return calls(call("wait", key="k")) if held else text(" / ".join(said))


@pytest.fixture
def tool() -> HeldTool:
    return HeldTool()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture(params=["local", "http"])
async def host(
    request: pytest.FixtureRequest, tmp_path: Path, tool: HeldTool, limits: Limits
) -> AsyncIterator[Host]:
    async with local_node(tmp_path, plan, tools={"wait": tool}, limits=limits) as node:
        if request.param == "local":
            yield node.host
            return
        async with serving(node.host) as served:
            client = HttpHost(served.url, FULL)
            try:
                yield client
            finally:
                await client.aclose()


async def begun(host: Host, tool: HeldTool) -> str:
    """A workstream whose message `c1` runs a held call."""
    ws = await host.create(CreateWorkstream())
    await send(host, ws.id, "go", "c1")
    await tool.runs("k")
    return ws.id


async def test_a_message_steers_the_turn_and_ends_with_it(host: Host, tool: HeldTool) -> None:
    ws_id = await begun(host, tool)
    await send(host, ws_id, "rather left", "c2", busy="steer")
    tool.let_go("k")
    ended, seen = await until(host, ws_id, ev.TurnEnded, "c2")

    assert (ended.text, ended.turn) == ("go / rather left", "c1")
    accepted = [e for e in seen if isinstance(e, ev.MessageAccepted)]
    assert [e.steer for e in accepted] == [False, True]
    assert await host.ending(ws_id, "c2") == ended


async def test_a_message_that_waits_is_taken_back_by_its_id(host: Host, tool: HeldTool) -> None:
    ws_id = await begun(host, tool)
    await send(host, ws_id, "no, wait", "c2")
    assert await host.cancel(ws_id, "c2")
    assert not await host.cancel(ws_id, "c2")
    ended = await ending(host, ws_id, "c2")
    tool.let_go("k")

    assert (ended.outcome, ended.begun) == ("cancelled", False)
    assert (await ending(host, ws_id, "c1")).outcome == "done"


async def test_a_turn_is_stopped_by_the_id_of_its_message(host: Host, tool: HeldTool) -> None:
    ws_id = await begun(host, tool)
    assert not await host.cancel(ws_id, "another")
    assert await host.cancel(ws_id, "c1")
    assert (await ending(host, ws_id, "c1")).outcome == "cancelled"
    assert tool.log == [("began", "k"), ("stopped", "k")]


async def test_who_comes_late_sees_what_a_call_has_printed(host: Host, tool: HeldTool) -> None:
    ws_id = await begun(host, tool)
    tool.going["k"]("half of it")
    output, late = await until(host, ws_id, ev.ToolOutput, after=None)
    tool.let_go("k")

    assert [e.type for e in late] == ["connected", "history", "tool_started", "tool_output"]
    assert output.text == "half of it"


@pytest.mark.parametrize("limits", [Limits(seconds=0.4)])
async def test_a_limit_is_told_to_every_reader(host: Host, tool: HeldTool) -> None:
    ws_id = await begun(host, tool)
    ended = await ending(host, ws_id, "c1")

    assert ended.outcome == "max_time"
    assert ended.reason == "stopped after 0.4 s, the time limit of a turn"
