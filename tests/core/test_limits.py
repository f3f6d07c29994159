"""The limits of a turn: each is told, stops what runs, and counts the same after a restart."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import tool_results
from support.held_tools import HeldTool
from support.nodes import local_node, start_host
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.limits import Limits, WorkTime

USED = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}


def worked(*records: ev.Event) -> WorkTime:
    time = WorkTime()
    for record in records:
        time = time.after(record)
    return time


def at(timestamp: float, kind: type[ev.Event] = ev.StepStarted) -> ev.Event:
    return kind(timestamp=timestamp)


def test_time_counts_from_the_first_record_on() -> None:
    assert worked(at(100)).seconds == 0
    assert worked(at(100), at(103), at(110)).seconds == 10


def test_time_in_which_a_person_is_asked_does_not_count() -> None:
    asked = (at(100), at(101, ev.ApprovalAsked))
    assert worked(*asked).asking
    assert worked(*asked, at(900, ev.TurnResumed), at(999, ev.CallsDecided)).seconds == 1
    assert worked(*asked, at(999, ev.CallsDecided), at(1001)).seconds == 3


def test_time_in_which_sub_agents_work_is_counted_in_their_turns() -> None:
    def started(timestamp: float, call_id: str) -> ev.Event:
        return ev.ToolStarted(timestamp=timestamp, call_id=call_id, effect="agent")

    def finished(timestamp: float, call_id: str) -> ev.Event:
        return ev.ToolFinished(timestamp=timestamp, call_id=call_id)

    both = (at(100), started(102, "a"), started(103, "b"))
    assert worked(*both).asking
    assert worked(*both, finished(500, "a")).seconds == 2
    assert worked(*both, finished(500, "a"), finished(900, "b"), at(901)).seconds == 3
    assert worked(*both, at(900, ev.CancelRequested), at(901)).seconds == 3


def test_time_in_which_no_process_had_it_does_not_count() -> None:
    assert worked(at(100), at(102), at(9000, ev.TurnResumed), at(9001)).seconds == 3


def test_a_clock_that_was_set_and_a_machine_that_slept_add_nothing() -> None:
    woken = ev.StepStarted(timestamp=103 + 3600, elapsed=3)
    set_back = ev.StepStarted(timestamp=50, elapsed=4)
    assert worked(at(100), woken, set_back).seconds == 7


kinds = st.sampled_from([ev.StepStarted, ev.ApprovalAsked, ev.CallsDecided, ev.TurnResumed])


@given(st.lists(st.tuples(kinds, st.floats(0, 1e9))))
def test_time_never_goes_back_whatever_the_clock_does(
    records: list[tuple[type[ev.Event], float]],
) -> None:
    time = WorkTime()
    for kind, timestamp in records:
        after = time.after(at(timestamp, kind))
        assert after.seconds >= time.seconds
        time = after


def test_limits_that_are_not_set_stop_nothing() -> None:
    time = worked(at(0), at(1e9))
    assert Limits().passed(time, ev.Usage(10**9, 10**9, 10**9)) is None
    assert Limits().left(time) is None


def test_a_limit_is_told_with_its_number() -> None:
    stop = Limits(seconds=5).passed(worked(at(0), at(6)), None)
    assert stop == ("stopped after 5 s, the time limit of a turn", "max_time")
    stop = Limits(tokens=1000).passed(WorkTime(), ev.Usage(1, 1, 1500))
    assert stop == ("stopped after 1,500 tokens; the limit of a turn is 1,000", "max_tokens")


async def test_a_turn_that_hangs_in_its_model_is_stopped_in_time(tmp_path: Path) -> None:
    gate = threading.Event()
    async with local_node(
        tmp_path, lambda body: hold(text("never " * 9), gate, before=3), limits=Limits(seconds=0.3)
    ) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        ended = await ending(node.host, ws.id, "c1")
        [info] = await node.host.list()
        gate.set()

    assert (ended.outcome, ended.text) == ("max_time", "")
    assert ended.reason == "stopped after 0.3 s, the time limit of a turn"
    assert info.state == "idle"


async def test_a_command_that_runs_over_the_time_is_stopped_as_by_a_cancel(tmp_path: Path) -> None:
    tool = HeldTool()

    def plan(_: dict[str, Any]) -> Reply:
        return calls(call("wait", key="one"), call("wait", key="two"))

    async with local_node(tmp_path, plan, tools={"wait": tool}, limits=Limits(seconds=0.3)) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        ended, seen = await until(node.host, ws.id, ev.TurnEnded, "c1")

    assert ended.outcome == "max_time"
    assert tool.log == [("began", "one"), ("stopped", "one")]
    assert [e.status for e in seen if isinstance(e, ev.ToolFinished)] == ["cancelled"] * 2


async def test_a_question_may_wait_longer_than_the_turn_may_take(tmp_path: Path) -> None:
    """The node is slow to ask only where a model is; the limit is far above that."""

    def plan(body: dict[str, Any]) -> Reply:
        return text("done") if tool_results(body) else calls(call("bash", command="true"))

    limits = Limits(seconds=3)
    async with local_node(tmp_path, plan, limits=limits) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        asked, seen = await until(node.host, ws.id, ev.ApprovalAsked, "c1")
        records = [e for e in seen if e.id.endswith("-0")]

        later = worked(*records[1:], at(asked.timestamp + 1e6, ev.CallsDecided))
        assert limits.passed(later, None) is None
        assert limits.left(worked(*records[1:])) is None
        await node.host.approve(Answer(ws_id=ws.id, approved=True))
        assert (await ending(node.host, ws.id, "c1")).outcome == "done"


async def test_tokens_are_summed_over_the_steps_and_no_call_is_begun_beyond(
    tmp_path: Path,
) -> None:
    tool = HeldTool()

    def plan(body: dict[str, Any]) -> Reply:
        made = calls(call("wait", key=f"k{len(tool_results(body))}"))
        return Reply(calls=made.calls, usage=USED)

    async with local_node(tmp_path, plan, tools={"wait": tool}, limits=Limits(tokens=1000)) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k0")
        tool.let_go("k0")
        ended, seen = await until(node.host, ws.id, ev.TurnEnded, "c1")

    assert ended.outcome == "max_tokens"
    assert "1,000 tokens" in ended.reason
    assert ended.usage == ev.Usage(800, 200, 1000)
    assert tool.log == [("began", "k0"), ("ended", "k0")]
    assert [e.status for e in seen if isinstance(e, ev.ToolFinished)] == ["ok", "cancelled"]


async def test_an_answer_that_is_there_is_given_whatever_it_cost(tmp_path: Path) -> None:
    async with local_node(
        tmp_path, lambda body: text("here", usage=USED), limits=Limits(tokens=10)
    ) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        ended = await ending(node.host, ws.id, "c1")

    assert (ended.outcome, ended.text) == ("done", "here")


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [(Limits(tokens=500), "max_tokens"), (Limits(seconds=1e-6), "max_time")],
)
async def test_a_turn_over_its_limit_is_ended_by_the_process_that_finds_it(
    tmp_path: Path, limits: Limits, outcome: str
) -> None:
    tool = HeldTool(effect="idempotent")

    def plan(_: dict[str, Any]) -> Reply:
        return Reply(calls=calls(call("wait", key="k")).calls, usage=USED)

    with ModelServer(plan) as model:
        host = await start_host(tmp_path, model.base_url, tools={"wait": tool})
        ws = await host.create(CreateWorkstream())
        await send(host, ws.id, "go", "c1")
        await tool.runs("k")
        await host.aclose()

        again = await start_host(tmp_path, model.base_url, tools={"wait": tool}, limits=limits)
        ended, seen = await until(again, ws.id, ev.TurnEnded, "c1", after=3)
        await again.aclose()

    assert ended.outcome == outcome
    assert len(model.requests) == 1
    [finished] = [e for e in seen if isinstance(e, ev.ToolFinished)]
    assert finished.status == "unknown"  # another process had started it
