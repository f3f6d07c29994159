"""The tool `plan`: written to a file, reviewed by a person, refined by the next call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modelserver.plans import tool_results
from support.nodes import Node, local_node
from support.teams import Touch, children, of_kind, team
from support.watching import ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import CreateWorkstream, PlanReply
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.store import SqliteStore
from turnstone.tools.plan import Plan

CONFINED = Confinement(Level.L3, "L3 (for a test)")


async def planned(node: Node, line: str = "plan [say step one]; say done") -> tuple[str, str]:
    """A workstream whose plan waits for its review, and its message."""
    ws = await node.host.create(CreateWorkstream(auto_approve_tools=["plan"]))
    cid = await send(node.host, ws.id, line)
    await until(node.host, ws.id, ev.PlanAsked)
    return ws.id, cid


def read(node: Node) -> str:
    """What the model has read of its last call."""
    return tool_results(node.model.requests[-1])[-1][1]


@pytest.mark.parametrize(
    ("feedback", "told"),
    [
        ("", "The person accepted this plan."),
        ("NO", "The person rejected this plan."),
        ("reject", "The person rejected this plan."),
        (" mind the gap ", "heeded:\nmind the gap"),
    ],
)
async def test_what_the_person_says_of_a_plan_is_told_with_it(
    tmp_path: Path, feedback: str, told: str
) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        waits = [info.state for info in await node.host.list()]
        await node.host.answer_plan(PlanReply(ws_id=ws_id, feedback=feedback, by="tester"))
        ended = await ending(node.host, ws_id, cid)

    assert waits == ["attention"]
    assert ended.outcome == "done"
    assert read(node).startswith("step one\n\n---\nIt is in .plan.md.")
    assert told in read(node)


async def test_a_plan_is_reviewed_even_where_everything_is_permitted(tmp_path: Path) -> None:
    async with local_node(tmp_path, team, auto_approve=True, confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "plan [say step one]")
        asked, _ = await until(node.host, ws.id, ev.PlanAsked)

    assert (asked.content, asked.path) == ("step one", ".plan.md")


async def test_a_review_that_nobody_gave_in_time_is_no_yes(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        await node.host.answer_plan(PlanReply(ws_id=ws_id, feedback="reject", expired=True))
        await ending(node.host, ws_id, cid)

    assert "Nobody reviewed this plan in time." in read(node)


async def test_a_plan_waits_across_a_restart_and_is_made_once(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        before = len(node.model.requests)
    async with local_node(tmp_path, team) as node:
        [asked] = of_kind(await snapshot(node.host, ws_id), ev.PlanAsked)
        reply = PlanReply(ws_id=ws_id, request_id=asked.request_id)
        await node.host.answer_plan(reply)
        _, seen = await until(node.host, ws_id, ev.TurnEnded, cid)
        with pytest.raises(UnknownRequest, match="No plan waits"):
            await node.host.answer_plan(reply)
        records = await node.host._store.records(ws_id)
        made = await children(node.host, ws_id)

    assert before == 2
    assert len(node.model.requests) == 1
    assert len(of_kind(records, ev.PlanAsked)) == 1
    assert len(made) == 1


async def test_two_answers_to_one_plan_are_one_answer_and_one_refusal(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        answers = (node.host.answer_plan(PlanReply(ws_id=ws_id, feedback=f)) for f in ("a", "b"))
        came = await asyncio.gather(*answers, return_exceptions=True)
        await ending(node.host, ws_id, cid)
        records = await node.host._store.records(ws_id)

    assert [type(one) for one in came] == [type(None), UnknownRequest]
    assert [e.feedback for e in of_kind(records, ev.PlanAnswered)] == ["a"]


async def test_the_plan_of_another_session_is_left_alone(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        first, cid = await planned(node, "plan [say mine]; say done")
        await node.host.answer_plan(PlanReply(ws_id=first))
        await ending(node.host, first, cid)
        second, cid = await planned(node, "plan [say yours]; say done")
        await node.host.answer_plan(PlanReply(ws_id=second))
        await ending(node.host, second, cid)
        sessions = {info.id: info.session_id for info in await node.host.list()}
        files = {p.name: p.read_text() for p in node.workspace.iterdir()}

    assert files == {
        ".plan.md": f"<!-- plan of session {sessions[first]} -->\nmine\n",
        f".plan-{sessions[second]}.md": f"<!-- plan of session {sessions[second]} -->\nyours\n",
    }


async def test_two_sessions_that_plan_at_the_same_time_both_keep_their_plans(
    tmp_path: Path,
) -> None:
    look = Touch("look", "pure", asked=False)
    async with local_node(tmp_path, team, tools={"look": look, "plan": Plan()}) as node:
        made = CreateWorkstream(auto_approve_tools=["plan"])
        both = [(await node.host.create(made)).id for _ in "ab"]
        for ws_id in both:
            await send(node.host, ws_id, f"plan [look {ws_id}; say plan of {ws_id}]; say done")
        await look.runs(*both)  # both are judged, and neither is written
        for ws_id in both:
            look.let_go(ws_id)
            await until(node.host, ws_id, ev.PlanAsked)
        files = sorted(path.read_text().splitlines()[1] for path in node.workspace.iterdir())

    assert files == sorted(f"plan of {ws_id}" for ws_id in both)


async def test_a_file_of_the_persons_own_is_left_alone_too(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/.plan.md").write_text("mine, by hand\n")
    async with local_node(tmp_path, team) as node:
        ws_id, _ = await planned(node)
        [info] = await node.host.list()
        kept = (node.workspace / ".plan.md").read_text()
        made = (node.workspace / f".plan-{info.session_id}.md").read_text()
        await node.host.cancel(ws_id)

    assert kept == "mine, by hand\n"
    assert made.endswith("\nstep one\n")


async def test_the_next_plan_of_a_conversation_refines_the_one_before(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        await node.host.answer_plan(PlanReply(ws_id=ws_id, feedback="shorter"))
        await ending(node.host, ws_id, cid)
        cid = await send(node.host, ws_id, "plan [say step two]; say done")
        asked, _ = await until(node.host, ws_id, ev.PlanAsked, cid)
        written = (node.workspace / ".plan.md").read_text()
        await node.host.cancel(ws_id)
        await ending(node.host, ws_id, cid)

    said = str(node.model.requests[-1]["messages"][-1]["content"])
    assert "step one" in said
    assert "shorter" in said
    assert asked.content.startswith("step two")
    assert "step two" in written


async def test_a_cancel_takes_the_review_along(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        await node.host.cancel(ws_id)
        ended = await ending(node.host, ws_id, cid)
        with pytest.raises(UnknownRequest):
            await node.host.answer_plan(PlanReply(ws_id=ws_id))
        shown = await snapshot(node.host, ws_id)

    assert ended.outcome == "cancelled"
    assert not of_kind(shown, ev.PlanAsked)


async def test_the_planner_is_asked_to_think_harder(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, _ = await planned(node)
        [child] = await children(node.host, ws_id)
        records = await node.host._store.records(child.id)
        await node.host.cancel(ws_id)

    assert [e.effort for e in of_kind(records, ev.SettingsChanged)] == ["high"]
    assert child.agent == "plan"


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("mark", ["<!-- plan of session {session} -->\n", ""])
async def test_what_the_person_wrote_into_the_plan_under_review_outlives_a_restart(
    tmp_path: Path, mark: str, *, answered: bool
) -> None:
    async with local_node(tmp_path, team) as node:
        ws_id, cid = await planned(node)
        [info] = await node.host.list()
        [asked] = of_kind(await snapshot(node.host, ws_id), ev.PlanAsked)
        owner = node.host.node_id
    edited = f"{mark.format(session=info.session_id)}step one, by hand\n"
    (tmp_path / "workspace/.plan.md").write_text(edited)
    if answered:  # by a process that ended at once
        store = await SqliteStore.open(tmp_path / "turnstone.db")
        epoch = (await store.acquire(ws_id, owner)).epoch
        given = ev.PlanAnswered(request_id=asked.request_id, correlation_id=cid)
        await store.append(ws_id, epoch, [given])
        await store.aclose()
    async with local_node(tmp_path, team) as node:
        if not answered:
            await node.host.answer_plan(PlanReply(ws_id=ws_id, request_id=asked.request_id))
        ended = await ending(node.host, ws_id, cid)
        files = {path.name: path.read_text() for path in node.workspace.iterdir()}

    assert ended.outcome == "done"
    assert files == {".plan.md": edited}
    assert read(node).startswith("step one\n\n---\nIt is in .plan.md. The person accepted")
