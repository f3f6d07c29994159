"""Sub-agents below sub-agents: what holds there, and what is told of them at the top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.nodes import local_node
from support.teams import Touch, of_kind, team
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.clock import SystemClock
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.core.journal import Journal
from turnstone.core.relay import Relay
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.tool import ToolSpec
from turnstone.core.transcript import Transcript
from turnstone.tools.task import Task

CONFINED = Confinement(Level.L3, "L3 (for a test)")


def named(tool: Touch, **fields: Any) -> Touch:
    spec = tool.spec
    tool.spec = ToolSpec(
        name=spec.name, description="", parameters=spec.parameters, effect="pure", **fields
    )
    return tool


async def created(host: Host) -> str:
    return (await host.create(CreateWorkstream(auto_approve_tools=["task", "look"]))).id


async def allow(host: Host, question: ev.ApprovalAsked) -> None:
    yes = Answer(ws_id=question.ws_id, request_id=question.request_id, approved=True, by="ann")
    await host.approve(yes)


async def test_what_the_top_has_read_from_outside_meanwhile_counts_two_levels_below(
    tmp_path: Path,
) -> None:
    touch = named(Touch(), agent=True, agent_auto_approve=True)
    fetch = named(Touch("look"), untrusted=True)
    tools: dict[str, Any] = {"look": fetch, "task": Task(), "touch": touch}
    settings = {"tools": tools, "agent_depth": 2, "confinement": CONFINED}
    async with local_node(tmp_path, team, **settings) as node:
        ws_id = await created(node.host)
        line = "sub [ask wait; sub [ask deep]; say y] & look outside; say z"
        cid = await send(node.host, ws_id, line)
        await touch.runs("wait")  # before anything was read
        fetch.let_go("outside")
        await until(node.host, ws_id, ev.Tainted)
        touch.let_go("wait")
        asked, _ = await until(node.host, ws_id, ev.ApprovalAsked)
        log = list(touch.log)
        await node.host.cancel(ws_id)
        await ending(node.host, ws_id, cid)

    assert [item.header for item in asked.items] == ["touch: deep"]
    assert log == [("began", "wait"), ("ended", "wait")]


async def test_a_question_from_below_is_shown_once_however_often_it_is_heard_of(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    row = WorkstreamRow(ws_id="aaaa0001", session_id="s", created=1.0, owner="n", epoch=1)
    transcript = Transcript()
    transcript.apply(await store.create(row, ev.WsCreated()))
    told: list[ev.Event] = []
    relay = Relay(Journal(store, row, transcript, SystemClock()), told.append)
    origin = ev.Origin(ws_id="bbbb0001", name="below", agent="task")
    question = ev.ApprovalAsked(request_id="r1", items=[])
    for _ in range(2):  # whoever lost its place hears again of all that waits
        relay.asked(question, origin, "c")
    relay.still(origin.ws_id, ["r1"], {})
    waiting = of_kind(relay.snapshot(), ev.ApprovalAsked)
    relay.answered(ev.ApprovalAnswered(request_id="r1", approved=True), origin, "c")
    await store.aclose()

    assert [one.request_id for one in waiting] == ["r1"]
    assert [event.type for event in told] == ["approval_asked", "approval_answered"]
    assert not relay.asking
