"""Sub-agents: workstreams of their own below another, asked about there, ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan as ModelPlan
from modelserver import Reply, call, calls, raw_call, text
from modelserver.plans import tool_results
from support.nodes import Node, local_node, start_host
from support.teams import Touch, children, of_kind, team
from support.watching import PATIENCE, ending, send, snapshot, until
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest, UnknownRequest, UnknownWorkstream
from turnstone.core.events import Grant
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.core.livelog import CAPACITY
from turnstone.core.local_host import LocalHost
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.store import SqliteStore
from turnstone.core.tool import Tool
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task

CONFINED = Confinement(Level.L3, "L3 (for a test)")


def tools(*others: Tool) -> dict[str, Tool]:
    made: list[Tool] = [Task(), Plan(), *others]
    return {tool.spec.name: tool for tool in sorted(made, key=lambda tool: tool.spec.name)}


async def created(host: Host, **fields: Any) -> str:
    return (await host.create(CreateWorkstream(auto_approve_tools=["task"], **fields))).id


async def asked(host: Host, ws_id: str, number: int) -> list[ev.ApprovalAsked]:
    """The questions that wait in a workstream, once there are so many."""
    waiting: dict[str, ev.ApprovalAsked] = {}
    events = host.follow(ws_id)
    assert isinstance(events, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(events):
        async for event in events:
            match event:
                case ev.ApprovalAsked():
                    waiting[event.request_id] = event
                case ev.ApprovalAnswered():
                    waiting.pop(event.request_id, None)
            if len(waiting) == number:
                break
    return list(waiting.values())


def keys(questions: list[ev.ApprovalAsked]) -> dict[str, ev.ApprovalAsked]:
    """The questions by the key of what is asked."""
    return {str(item.arguments["key"]): q for q in questions for item in q.items}


async def answer(host: Host, question: ev.ApprovalAsked, **fields: Any) -> None:
    yes: dict[str, Any] = {"approved": True, "by": "tester"} | fields
    await host.approve(Answer(ws_id=question.ws_id, request_id=question.request_id, **yes))


def results(node: Node, ws_id: str) -> list[str]:
    """What the model of the workstream that was asked last has read of its calls."""
    return [text for _, text in tool_results(node.model.requests[-1])]


async def test_a_sub_agent_has_a_journal_of_its_own_and_its_answer_is_the_result(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, team, tools=tools()) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [say it is blue]; say done")
        ended = await ending(node.host, ws_id, cid)
        [child] = await children(node.host, ws_id)
        records = await node.host._store.records(child.id)
        above = await node.host._store.records(ws_id)

    assert ended.outcome == "done"
    assert [text for _, text in tool_results(node.model.requests[-1])] == ["it is blue"]
    [first, *_] = records
    assert isinstance(first, ev.WsCreated)
    assert (first.parent, first.agent, first.depth, first.top_message) == (ws_id, "task", 1, cid)
    assert [e.outcome for e in of_kind(records, ev.TurnEnded)] == ["done"]
    assert not any(e.correlation_id != cid for e in above[1:] if e.correlation_id)
    assert (child.parent, child.agent) == (ws_id, "task")


async def test_a_sub_agent_is_told_what_it_is_and_offered_its_tools_only(tmp_path: Path) -> None:
    look, touch = Touch("look", "pure", asked=False), Touch()
    touch.spec = type(touch.spec)(
        name="touch", description="", parameters=touch.spec.parameters, task_agent=True
    )
    async with local_node(tmp_path, team, tools=tools(look, touch)) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [say x]; plan [say y]")
        question = (await asked(node.host, ws_id, 1))[0]
        await answer(node.host, question)
        plan, _ = await until(node.host, ws_id, ev.PlanAsked)
        await node.host.cancel(ws_id)
        await ending(node.host, ws_id, cid)
    offered = [[t["function"]["name"] for t in r.get("tools", [])] for r in node.model.requests]
    prompts = [r["messages"][0]["content"] for r in node.model.requests]

    assert plan.content == "y"
    assert offered == [
        ["look", "plan", "task", "touch"],
        ["look", "touch"],
        ["look", "plan", "task", "touch"],
        ["look"],
    ]
    assert ["sub-agent" in p for p in prompts] == [False, True, False, False]
    assert "planner" in prompts[3]


async def test_three_work_at_once_and_the_questions_of_two_are_answered_in_any_order(
    tmp_path: Path,
) -> None:
    touch, look = Touch(), Touch("look", "pure", asked=False)
    async with local_node(tmp_path, team, tools=tools(touch, look)) as node:
        ws_id = await created(node.host)
        line = "sub [ask one; say 1] & sub [look it; say 2] & sub [ask three; say 3]; say done"
        cid = await send(node.host, ws_id, line)
        questions = keys(await asked(node.host, ws_id, 2))
        await look.runs("it")
        [info] = await node.host.list()
        below = {child.id: child.name for child in await children(node.host, ws_id)}

        await answer(node.host, questions["three"])
        await touch.runs("three")
        by_its_own_id = questions["one"].origin
        assert by_its_own_id is not None
        first = Answer(ws_id=by_its_own_id.ws_id, approved=True, by="tester")
        await node.host.approve(first)
        await touch.runs("one", "three")
        for tool, key in ((touch, "one"), (look, "it"), (touch, "three")):
            tool.let_go(key)
        ended, seen = await until(node.host, ws_id, ev.TurnEnded, cid)
        records = await node.host._store.records(ws_id)

    assert info.state == "attention"
    assert set(questions) == {"one", "three"}
    origins = {q.origin.ws_id: q.origin.name for q in questions.values() if q.origin}
    assert len(origins) == 2
    assert origins.items() <= below.items()
    assert all(q.ws_id == ws_id and q.correlation_id == cid for q in questions.values())
    assert ended.outcome == "done"
    assert results(node, ws_id) == ["1", "2", "3"]
    assert len(of_kind(seen, ev.ApprovalAnswered)) == 2
    assert not of_kind(records, ev.ApprovalAsked)
    assert not of_kind(records, ev.ApprovalAnswered)


async def test_an_answer_without_an_id_goes_to_the_oldest_question_and_none_counts_twice(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one] & sub [ask two]")
        oldest, other = await asked(node.host, ws_id, 2)
        await node.host.approve(Answer(ws_id=ws_id, approved=True, by="tester"))
        await touch.runs(next(iter(keys([oldest]))))
        with pytest.raises(UnknownRequest, match="answered already: allowed by tester"):
            await answer(node.host, oldest)
        await answer(node.host, other, approved=False)
        with pytest.raises(UnknownRequest):
            await node.host.approve(Answer(ws_id=ws_id, approved=True))


async def test_questions_of_sub_agents_are_asked_again_under_their_ids_after_a_restart(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [ask one; say 1] & sub [ask two; say 2]; say done")
        before = keys(await asked(node.host, ws_id, 2))
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        after = keys(await asked(node.host, ws_id, 2))
        for key in ("two", "one"):
            await answer(node.host, after[key])
        await touch.runs("one", "two")
        for key in ("one", "two"):
            touch.let_go(key)
        ended = await ending(node.host, ws_id, cid)
        below = await children(node.host, ws_id)

    assert {k: q.request_id for k, q in before.items()} == {
        k: q.request_id for k, q in after.items()
    }
    assert ended.outcome == "done"
    assert results(node, ws_id) == ["1", "2"]
    assert len(below) == 2


async def test_a_reader_who_comes_late_finds_the_questions_and_what_is_done_below(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one]")
        [question] = await asked(node.host, ws_id, 1)
        late = await snapshot(node.host, ws_id)

    [connected] = of_kind(late, ev.Connected)
    [shown] = of_kind(late, ev.ApprovalAsked)
    assert connected.state == "attention"
    assert (shown.request_id, shown.origin) == (question.request_id, question.origin)
    assert [p.origin for p in of_kind(late, ev.AgentProgress)] == [question.origin]


async def test_a_step_of_a_sub_agent_is_asked_call_by_call(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one & ask two]")
        for key in ("one", "two"):
            [question] = await asked(node.host, ws_id, 1)
            assert [item.arguments["key"] for item in question.items] == [key]
            await answer(node.host, question)
        await touch.runs("one")


async def test_a_call_of_a_sub_agent_is_changed_from_above(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one]")
        [question] = await asked(node.host, ws_id, 1)
        edited = {question.items[0].call_id: {"key": "other"}}
        await answer(node.host, question, approved=False, edited=edited)
        [again] = await asked(node.host, ws_id, 1)
        assert again.origin == question.origin and list(keys([again])) == ["other"]
        await answer(node.host, again, args_hash=again.args_hash)
        await touch.runs("other")


async def test_a_cancel_ends_all_sub_agents_and_their_commands(tmp_path: Path) -> None:
    async with local_node(tmp_path, team) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task", "bash"]))
        nap = "sleep 86391.25"
        cid = await send(node.host, ws.id, " & ".join([f"sub [bash {nap}]"] * 3))
        await allow_until_running(node.host, ws.id, 3, nap)
        assert await node.host.cancel(ws.id)
        ended = await ending(node.host, ws.id, cid)
        still = running(nap)
        below = await children(node.host, ws.id)
        ends = [(await until(node.host, c.id, ev.TurnEnded, after=None))[0] for c in below]

    assert ended.outcome == "cancelled"
    assert still == 0
    assert [(e.outcome, c.state) for e, c in zip(ends, below, strict=True)] == [
        ("cancelled", "idle")
    ] * 3


async def allow_until_running(host: LocalHost, ws_id: str, number: int, command: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while running(command) < number:
            for question in of_kind(await snapshot(host, ws_id), ev.ApprovalAsked):
                await answer(host, question)
            await asyncio.sleep(0.01)  # processes tell nobody that they have begun


def running(command: str) -> int:
    """How many processes have exactly this command line."""
    wanted = command.encode().replace(b" ", b"\0") + b"\0"
    found = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found += (process / "cmdline").read_bytes() == wanted
            except OSError:
                continue  # it has just ended
    return found


async def test_a_cancelled_sub_agent_ends_alone_and_its_question_with_it(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [ask one]; say done")
        [question] = await asked(node.host, ws_id, 1)
        assert question.origin is not None
        assert await node.host.cancel(question.origin.ws_id)
        ended, seen = await until(node.host, ws_id, ev.TurnEnded, cid)

    assert ended.outcome == "done"
    [finished] = of_kind(seen, ev.ToolFinished)
    assert finished.status == "cancelled"
    [settled] = of_kind(seen, ev.ApprovalAnswered)
    assert (settled.request_id, settled.approved) == (question.request_id, False)


async def test_what_is_permitted_above_holds_below_until_it_is_taken_back(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task", "touch"]))
        await send(node.host, ws.id, "sub [ask one; ask two]")
        await touch.runs("one")
        await node.host.revoke(ws.id, Grant("touch"))
        touch.let_go("one")
        [question] = await asked(node.host, ws.id, 1)

    assert list(keys([question])) == ["two"]


async def test_always_in_a_sub_agent_holds_for_that_one_only(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one; ask two] & sub [ask three]; ask four")
        questions = keys(await asked(node.host, ws_id, 2))
        await answer(node.host, questions["one"], always=True)
        await touch.runs("one")
        touch.let_go("one")
        await touch.runs("two")
        touch.let_go("two")
        await answer(node.host, questions["three"], approved=False)
        [own] = await asked(node.host, ws_id, 1)
        policy = await node.host.policy(ws_id)

    assert own.origin is None
    assert [grant.tool for grant in policy.grants] == ["task"]


async def test_a_rule_that_denies_holds_below_whatever_is_permitted(tmp_path: Path) -> None:
    touch = Touch()
    made = tools(touch)
    rules = Rules(deny=(parse("touch", {n: t.spec for n, t in made.items()}, None),))
    async with local_node(tmp_path, team, tools=made, rules=rules, auto_approve=True) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [ask one]")
        await ending(node.host, ws_id, cid)
        [child] = await children(node.host, ws_id)
        records = await node.host._store.records(child.id)

    [finished] = of_kind(records, ev.ToolFinished)
    assert finished.status == "denied"
    assert touch.log == []


def unasked_in_agents(tool: Touch, *, untrusted: bool = False) -> Touch:
    tool.spec = type(tool.spec)(
        name=tool.spec.name,
        description="",
        parameters=tool.spec.parameters,
        effect="pure",
        agent=True,
        agent_auto_approve=True,
        untrusted=untrusted,
    )
    return tool


async def test_what_runs_unasked_below_is_shown_in_the_question_and_holds_below_only(
    tmp_path: Path,
) -> None:
    touch = unasked_in_agents(Touch())
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "sub [ask one]; ask two")
        [question] = await asked(node.host, ws.id, 1)
        await answer(node.host, question)
        await touch.runs("one")
        touch.let_go("one")
        [own] = await asked(node.host, ws.id, 1)

    [item] = question.items
    assert "runs without asking: touch" in item.preview
    assert list(keys([own])) == ["two"]
    assert own.origin is None


async def test_what_was_read_from_outside_counts_above_and_below(tmp_path: Path) -> None:
    fetch = unasked_in_agents(Touch(), untrusted=True)
    made = tools(fetch)
    async with local_node(tmp_path, team, tools=made, confinement=CONFINED) as node:
        ws_id = await created(node.host)
        line = "sub [ask one; ask two; say 1]; sub [ask three]; say done"
        cid = await send(node.host, ws_id, line)
        await fetch.runs("one")
        assert not of_kind(await node.host._store.records(ws_id), ev.Tainted)
        fetch.let_go("one")
        [second] = await asked(node.host, ws_id, 1)
        await answer(node.host, second, approved=False)
        [third] = await asked(node.host, ws_id, 1)
        records = await node.host._store.records(ws_id)
        newest = (await children(node.host, ws_id))[-1]
        below = await node.host._store.records(newest.id)
        await node.host.cancel(ws_id)
        await ending(node.host, ws_id, cid)

    assert list(keys([second])) == ["two"]
    assert list(keys([third])) == ["three"]
    [above] = of_kind(records, ev.Tainted)
    [inherited] = of_kind(below, ev.Tainted)
    assert above.source == inherited.source == "touch: one"


async def test_a_sub_agent_starts_no_other_unless_the_settings_say_so(tmp_path: Path) -> None:
    touch = Touch()
    made = tools(touch)
    async with local_node(tmp_path / "one", team, tools=made) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [sub [say x]; say y]")
        await ending(node.host, ws_id, cid)
        [child] = await children(node.host, ws_id)
        assert await children(node.host, child.id) == []
        records = await node.host._store.records(child.id)
        [refused] = of_kind(records, ev.ToolFinished)
        assert refused.status == "invalid"
    async with local_node(tmp_path / "two", team, tools=made, agent_depth=2) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [sub [ask deep; say x]; say y]; say z")
        [question] = await asked(node.host, ws_id, 1)
        [child] = await children(node.host, ws_id)
        [deepest] = await children(node.host, child.id)
        assert question.origin is not None
        assert question.origin.ws_id == deepest.id
        await answer(node.host, question)
        await touch.runs("deep")
        touch.let_go("deep")
        assert (await ending(node.host, ws_id, cid)).text == "z"


async def test_a_cancel_reaches_the_sub_agents_of_sub_agents(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch), agent_depth=2) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task", "touch"]))
        cid = await send(node.host, ws.id, "sub [sub [ask deep]]")
        await touch.runs("deep")
        await node.host.cancel(ws.id)
        ended = await ending(node.host, ws.id, cid)

    assert ended.outcome == "cancelled"
    assert touch.log == [("began", "deep"), ("stopped", "deep")]


async def test_at_its_limit_of_steps_a_sub_agent_is_asked_for_its_answer_and_calls_nothing(
    tmp_path: Path,
) -> None:
    look = Touch("look", "pure", asked=False)
    async with local_node(tmp_path, team, tools=tools(look), agent_max_steps=2) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [look a; look b; look c]; say z")
        for key in ("a", "b"):
            await look.runs(key)
            look.let_go(key)
        ended = await ending(node.host, ws_id, cid)

    *_, before, last, _ = node.model.requests
    assert "no tool can be called" in str(last["messages"][-1]["content"])
    # The conversation has calls: some providers refuse it where their tools are not described.
    assert last["tools"] == before["tools"]
    assert (before.get("tool_choice"), last["tool_choice"]) == (None, "none")
    assert look.log[-1] == ("ended", "b")
    assert ended.text == "z"
    assert results(node, ws_id)[0].startswith("The number of steps")


async def test_sub_agents_stand_in_no_list_and_no_count_and_take_no_messages(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        heard: list[ev.Event] = []

        async def hear() -> None:
            async for event in node.host.follow_all(ev.EventId(0)):
                heard[len(heard) :] = [event] if event.ws_id else []

        listening = asyncio.create_task(hear())
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one]")
        await asked(node.host, ws_id, 1)
        listed = [info.id for info in await node.host.list()]
        health = await node.host.health()
        [child] = await children(node.host, ws_id)
        with pytest.raises(InvalidRequest, match="sub-agent"):
            await send(node.host, child.id, "hello")
        listening.cancel()
        await asyncio.wait({listening})

    assert listed == [ws_id]
    assert health.workstreams["total"] == 1
    assert health.workstreams["attention"] == 1
    assert {event.ws_id for event in heard} == {ws_id}
    assert of_kind(heard, ev.WsState)[-1].state == "attention"


@pytest.mark.parametrize("erased", [False, True])
async def test_sub_agents_go_where_the_workstream_above_them_goes(
    tmp_path: Path, *, erased: bool
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [say early]; sub [ask one]")
        await asked(node.host, ws_id, 1)
        below = [child.id for child in await children(node.host, ws_id)]
        if erased:
            await node.host.erase(ws_id, force=True)
        else:
            await node.host.close(ws_id)
        for one in below:
            with pytest.raises(UnknownWorkstream):
                await node.host.policy(one)
        rows = [await node.host._store.row(one) for one in below]

    assert len(below) == 2
    assert [row is None for row in rows] == [erased] * 2
    assert all(row is None or not row.open_turns for row in rows)


async def test_a_sub_agent_whose_call_is_over_is_ended_by_the_next_process(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch), auto_approve_tools={"touch"}) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [ask one]")
        await touch.runs("one")
        [child] = await children(node.host, ws_id)
        base_url, owner = node.model.base_url, node.host.node_id
        await node.host.aclose()
        store = await SqliteStore.open(tmp_path / "turnstone.db")
        epoch = (await store.acquire(ws_id, owner)).epoch
        over = [ev.CancelRequested(correlation_id=cid)]
        await store.append(ws_id, epoch, over)
        await store.aclose()
        host = await start_host(tmp_path, base_url, tools=tools(touch))
        ended = await until(host, child.id, ev.TurnEnded)
        above = await ending(host, ws_id, cid)
        await host.aclose()

    assert ended[0].outcome == "cancelled"
    assert above.outcome == "cancelled"
    assert touch.log == [("began", "one"), ("stopped", "one")]


async def test_a_cancel_in_the_first_moment_of_the_next_process_reaches_below_too(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [ask one] & sub [ask two]")
        await asked(node.host, ws_id, 2)
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        assert await node.host.cancel(ws_id)
        ended = await ending(node.host, ws_id, cid)
        below = await children(node.host, ws_id)

    assert ended.outcome == "cancelled"
    assert [child.state for child in below] == ["idle", "idle"]
    assert touch.log == []


async def test_an_orderly_end_of_the_process_settles_no_question(tmp_path: Path) -> None:
    touch = Touch()
    async with local_node(tmp_path, team, tools=tools(touch)) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [ask one]")
        seen: list[str] = []

        async def read() -> None:
            async for event in node.host.follow(ws_id):
                seen.append(event.type)  # noqa: PERF401 - read while it grows

        reading = asyncio.create_task(read())
        await asked(node.host, ws_id, 1)
    reading.cancel()
    await asyncio.wait({reading})

    assert "approval_asked" in seen
    assert "approval_answered" not in seen


def same_ids(name: str, **arguments: Any) -> ModelPlan:
    """A model that makes the same call, under the same id, in each of two steps."""

    def plan(body: dict[str, Any]) -> Reply:
        made = call(name, **arguments)
        if "sub-agent" in str(body["messages"][0]["content"]):
            return text("one answer")
        done = len(tool_results(body))
        return calls(raw_call(name, made.arguments, call_id="again")) if done < 2 else text("done")

    return plan


async def test_the_same_call_id_in_a_later_step_is_another_sub_agent(tmp_path: Path) -> None:
    plan = same_ids("task", prompt="the same")
    async with local_node(tmp_path, plan, tools=tools()) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "go")
        ended = await ending(node.host, ws_id, cid)
        below = await children(node.host, ws_id)

    assert ended.text == "done"
    assert len(below) == 2


async def test_the_same_call_under_the_same_id_in_a_later_step_is_asked_again(
    tmp_path: Path,
) -> None:
    touch = Touch()
    async with local_node(tmp_path, same_ids("touch", key="k"), tools=tools(touch)) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "go")
        [first] = await asked(node.host, ws_id, 1)
        await answer(node.host, first)
        await touch.runs("k")
        touch.let_go("k")
        [second] = await asked(node.host, ws_id, 1)
        await answer(node.host, second, approved=False)
        await ending(node.host, ws_id, cid)

    assert first.request_id != second.request_id
    assert touch.log == [("began", "k"), ("ended", "k")]


async def test_a_model_that_calls_all_the_same_when_it_is_to_answer_runs_nothing(
    tmp_path: Path,
) -> None:
    def stubborn(body: dict[str, Any]) -> Reply:
        if "tool_choice" in body:
            return calls(call("look", key="late"))
        return team(body)

    look = Touch("look", "pure", asked=False)
    async with local_node(tmp_path, stubborn, tools=tools(look), agent_max_steps=1) as node:
        ws_id = await created(node.host)
        cid = await send(node.host, ws_id, "sub [look a; look b]; say z")
        await look.runs("a")
        look.let_go("a")
        ended = await ending(node.host, ws_id, cid)

    assert (ended.outcome, ended.text) == ("done", "z")
    assert look.log == [("began", "a"), ("ended", "a")]
    assert "ended without an answer" in results(node, ws_id)[0]


async def test_an_answer_below_that_was_missed_in_a_flood_of_output_is_known_above(
    tmp_path: Path,
) -> None:
    look, touch = Touch("look", "pure", asked=False), Touch()
    kinds = {**tools(look, touch)}
    async with local_node(tmp_path, team, tools=kinds, agent_depth=2) as node:
        ws_id = await created(node.host)
        await send(node.host, ws_id, "sub [sub [ask one] & look a & look b]; say z")
        [question] = await asked(node.host, ws_id, 1)
        await look.runs("a", "b")

        async def flood() -> None:
            while True:
                for _ in range(CAPACITY):
                    look.going["a"]("x")
                    look.going["b"]("y")
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        try:
            await answer(node.host, question)
            answered, _ = await until(node.host, ws_id, ev.ApprovalAnswered)
        finally:
            flooding.cancel()
            await asyncio.wait({flooding})
        left = of_kind(await snapshot(node.host, ws_id), ev.ApprovalAsked)
        states = [info.state for info in await node.host.list()]
        await node.host.cancel(ws_id)

    assert answered.request_id == question.request_id
    assert left == []
    assert states == ["running"]
