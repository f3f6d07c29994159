"""Gates, policy, approvals and choices: who is asked, how long, and what an answer does."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import pprint
from collections.abc import Callable
from typing import Any

import pytest

from agent_session import (
    LONG,
    PATIENCE,
    SHORT,
    Echo,
    React,
    Session,
    kinds,
    scripted,
    tool_contents,
)
from oturn.questions import Question, new_future
from oturn.tools.precheck import STATUS_DENY, STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.scripted import (
    call,
    call_tools,
    say,
)
from tools_for_tests import SmallTool


async def test_a_future_that_was_taken_is_waited_for_beyond_the_grace() -> None:
    taken: list[asyncio.Future[Any]] = []

    def take(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            taken.append(event["future"])
            asyncio.get_running_loop().call_later(SHORT * 4, taken[0].set_result, None)

    agent = scripted(call_tools(call("echo", words="x")), say("done"), tools=[Echo])
    async with Session(agent, take) as session:
        events = await session.ask()
    assert "unanswered" not in kinds(events)
    assert taken[0].done()


@pytest.mark.parametrize(
    "take",
    [
        lambda e: e.get("future"),
        lambda e: list(e.items()),
        lambda e: list(e.values()),
        lambda e: dict(e)["future"],
        lambda e: {**e}["future"],
        lambda e: e.copy()["future"],
        lambda e: e.pop("future"),
        lambda e: e.setdefault("future", None),
        lambda e: e.popitem(),
        lambda e: (e | {"more": 1})["future"],
        lambda e: ({"more": 1} | e)["future"],
        lambda e: copy.copy(e)["future"],
        lambda e: "{future}".format_map(e),
        lambda e: matched(e),
        lambda e: json.dumps(e, default=str),
    ],
)
async def test_every_way_to_take_the_future_counts(take: React) -> None:
    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            future = dict.__getitem__(event, "future")
            take(event)
            asyncio.get_running_loop().call_later(SHORT * 3, future.set_result, None)

    agent = scripted(call_tools(call("echo", words="x")), say("done"), tools=[Echo])
    async with Session(agent, react) as session:
        assert "unanswered" not in kinds(await session.ask())


def matched(event: dict[str, Any]) -> Any:
    match event:
        case {"type": "tool_call", "future": future}:
            return future
    raise AssertionError("a question has a future")


@pytest.mark.parametrize(
    "look",
    [
        print,
        str,
        pprint.pformat,
        list,
        len,
        lambda e: (e["type"], e.get("tool"), "future" in e, e == {}),
        lambda e: [key for key in e if key != "type"],
        lambda e: {key: e[key] for key in e if key != "future"},
        lambda e: list(e.keys()),
        lambda e: e.request_id,
    ],
)
async def test_looking_at_a_question_is_no_taking(look: Callable[[Any], Any]) -> None:
    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            look(event)

    agent = scripted(call_tools(call("echo", words="x")), say("done"), tools=[Echo])
    async with Session(agent, react) as session:
        assert "unanswered" in kinds(await session.ask())


async def test_one_subscriber_of_several_that_takes_it_is_enough_also_when_it_leaves() -> None:
    agent = scripted(call_tools(call("echo", words="x")), say("done"), tools=[Echo])
    taker: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(taker)

    async def take_leave_and_answer_late() -> None:
        while (event := await taker.get())["type"] != "tool_call":
            pass
        future = event["future"]
        agent.unsubscribe(taker)
        asyncio.get_running_loop().call_later(SHORT * 3, future.set_result, None)

    taking = asyncio.create_task(take_leave_and_answer_late())
    async with Session(agent) as session:
        assert "unanswered" not in kinds(await session.ask())
    await taking
    assert taker.empty()


async def test_a_question_cannot_be_pickled_and_says_why() -> None:
    event = Question({"type": "tool_call", "future": new_future()})
    with pytest.raises(TypeError, match="leave its 'future' out"):
        pickle.dumps(event)
    with pytest.raises(TypeError, match="leave its 'future' out"):
        copy.deepcopy(event)


async def test_an_answer_that_comes_too_late_does_no_harm() -> None:
    kept: list[dict[str, Any]] = []

    def keep(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            kept.append(event)

    agent = scripted(call_tools(call("echo", words="x")), say("done"), tools=[Echo])
    async with Session(agent, keep) as session:
        assert "unanswered" in kinds(await session.ask())
        kept[0]["future"].set_result(None)


async def test_an_exception_set_on_a_tool_call_ends_the_run_with_it() -> None:
    def refuse(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            event["future"].set_exception(LookupError("not here"))

    agent = scripted(call_tools(call("echo")), tools=[Echo], grace=LONG)
    session = Session(agent, refuse)
    session.run = asyncio.create_task(agent.run_queues(session.context))
    agent.enqueue_user_input_nowait("hi")
    await session.until("tool_call")
    with pytest.raises(LookupError, match="not here"):
        await asyncio.wait_for(session.run, PATIENCE)


async def test_cancelling_the_future_of_a_tool_call_cancels_the_run() -> None:
    def cancel(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            event["future"].cancel()

    agent = scripted(call_tools(call("echo")), tools=[Echo], grace=LONG)
    session = Session(agent, cancel)
    session.run = asyncio.create_task(agent.run_queues(session.context))
    agent.enqueue_user_input_nowait("hi")
    await session.until("tool_call")
    await asyncio.wait({session.run}, timeout=PATIENCE)
    assert session.run.cancelled()


async def test_the_tool_policy_is_asked_and_its_no_is_told_to_the_model() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def policy(name: str, args: dict[str, Any]) -> bool:
        asked.append((name, args))
        return False

    agent = scripted(call_tools(call("echo", words="x")), say("ok"), tools=[Echo], policy=policy)
    async with Session(agent) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    assert asked == [("echo", {"words": "x"})]
    assert content.status == "failure"
    assert "not allowed" in str(content.error)
    unanswered = next(e for e in events if e["type"] == "unanswered")
    assert unanswered["decision"] == "denied"
    assert events[-1]["text"] == "ok"


class Guarded(Echo):
    name = "guarded"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        if args.get("words") == "never":
            return ToolPrecheckResult(STATUS_DENY, "never that", ["a rule"])
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?", ["it is guarded"])


def gated(answer: Any) -> React:
    def react(event: dict[str, Any]) -> None:
        if event["type"] in ("tool_call", "approval_request", "choice_request"):
            event["future"].set_result(answer)

    return react


@pytest.mark.parametrize("answer", [True, {"approved": True}, "yes"])
async def test_an_approved_call_runs(answer: Any) -> None:
    agent = scripted(call_tools(call("guarded", words="x")), say("ok"), tools=[Guarded], grace=LONG)
    async with Session(agent, gated(answer)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    (asked,) = [e for e in events if e["type"] == "approval_request"]
    assert asked["id"].startswith("appr_")
    assert len(asked["id"]) == len("appr_") + 32
    assert (asked["tool"], asked["args"]) == ("guarded", {"words": "x"})
    assert asked["precheck"] == {
        "status": "needs_approval",
        "message": "may I?",
        "reasons": ["it is guarded"],
        "metadata": None,
    }
    assert (content.status, content.data) == ("success", "x")


@pytest.mark.parametrize("answer", [False, None, {"approved": False}, {}])
async def test_a_call_that_is_not_approved_hands_back_to_the_person(answer: Any) -> None:
    agent = scripted(call_tools(call("guarded", words="x")), tools=[Guarded], grace=LONG)
    async with Session(agent, gated(answer)) as session:
        events = await session.ask()
    assert kinds(events)[-5:] == [
        "approval_request",
        "tool_output",
        "tool_output",
        "tool_exit",
        "assistant_final",
    ]
    assert events[-1]["text"] == ""
    assert events[-3]["text"] == "may I?\n"


async def test_an_approval_that_nobody_takes_is_denied_and_that_is_told() -> None:
    agent = scripted(call_tools(call("guarded", words="x")), tools=[Guarded])
    async with Session(agent) as session:
        events = await session.ask()
    told = [e for e in events if e["type"] == "unanswered"]
    assert [(e["request"], e["decision"]) for e in told] == [
        ("tool_call", "allowed"),
        ("approval_request", "denied"),
    ]


async def test_a_call_that_a_precheck_denies_is_told_to_the_model_which_goes_on() -> None:
    agent = scripted(call_tools(call("guarded", words="never")), say("I see"), tools=[Guarded])
    async with Session(agent) as session:
        assert (await session.ask())[-1]["text"] == "I see"
        (content,) = tool_contents(session.context)
    assert content.error == "never that"
    assert content.metadata == {"reasons": ["a rule"]}


class Chooser(SmallTool):
    name = "chooser"

    @staticmethod
    async def execute(event_publish: Any) -> Any:
        return await Chooser._request_choice(event_publish, "Which?", ["a", "b"], hint="one")


async def test_a_choice_is_answered_through_its_future() -> None:
    def choose(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            event["future"].set_result(None)
        if event["type"] == "choice_request":
            assert (event["prompt"], event["choices"], event["hint"]) == (
                "Which?",
                ["a", "b"],
                "one",
            )
            event["future"].set_result({"selected": "b", "confirmed": True})

    agent = scripted(call_tools(call("chooser")), say("ok"), tools=[Chooser], grace=LONG)
    async with Session(agent, choose) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == ("b", True)


async def test_a_choice_that_nobody_takes_is_none() -> None:
    agent = scripted(call_tools(call("chooser")), say("ok"), tools=[Chooser])
    async with Session(agent) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == (None, False)
