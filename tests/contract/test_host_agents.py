"""Sub-agents and plans, over every way to a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.nodes import local_node
from support.servers import FULL, serving
from support.teams import Touch, team
from support.watching import ending, send, until
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.errors import UnknownRequest, UnknownWorkstream
from turnstone.core.host import Answer, CreateWorkstream, Host, PlanReply
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task


@pytest.fixture
def touch() -> Touch:
    return Touch()


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path, touch: Touch) -> AsyncIterator[Host]:
    tools = {"plan": Plan(), "task": Task(), "touch": touch}
    async with local_node(tmp_path, team, tools=tools) as node:
        if request.param == "local":
            yield node.host
            return
        async with serving(node.host) as served:
            client = HttpHost(served.url, FULL)
            try:
                yield client
            finally:
                await client.aclose()


async def test_sub_agents_are_listed_by_the_workstream_above_and_nowhere_else(
    host: Host, touch: Touch
) -> None:
    ws = await host.create(CreateWorkstream(auto_approve_tools=["task"]))
    cid = await send(host, ws.id, "sub [ask one; say 1]; say done")
    asked, _ = await until(host, ws.id, ev.ApprovalAsked)
    [child] = await host.list(parent=ws.id)

    assert asked.origin == ev.Origin(ws_id=child.id, name=child.name, agent="task")
    assert (child.parent, child.state) == (ws.id, "attention")
    assert [info.id for info in await host.list()] == [ws.id]
    assert [info.state for info in await host.list()] == ["attention"]
    await host.approve(Answer(ws_id=ws.id, request_id=asked.request_id, approved=True))
    await touch.runs("one")
    touch.let_go("one")
    assert (await ending(host, ws.id, cid)).text == "done"


async def test_a_plan_is_answered_by_its_id_or_as_the_oldest_and_once(host: Host) -> None:
    ws = await host.create(CreateWorkstream(auto_approve_tools=["plan"]))
    for by_id in (True, False):
        cid = await send(host, ws.id, "plan [say the plan]; say done")
        asked, _ = await until(host, ws.id, ev.PlanAsked, cid)
        request_id = asked.request_id if by_id else ""
        reply = PlanReply(ws_id=ws.id, request_id=request_id, feedback="good")
        await host.answer_plan(reply)
        answered, _ = await until(host, ws.id, ev.PlanAnswered, cid)
        assert (answered.request_id, answered.feedback) == (asked.request_id, "good")
        assert (await ending(host, ws.id, cid)).outcome == "done"
        with pytest.raises(UnknownRequest, match="No plan waits"):
            await host.answer_plan(reply)


async def test_a_plan_of_a_workstream_that_is_not_there_cannot_be_answered(host: Host) -> None:
    with pytest.raises(UnknownWorkstream):
        await host.answer_plan(PlanReply(ws_id="00000000"))
