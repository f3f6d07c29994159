"""Answering by id, by callback, and questions that tools make themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent_session import (
    LONG,
    SHORT,
    Echo,
    Session,
    kinds,
    resolve,
    scripted,
    tool_contents,
)
from oturn import Oturn
from oturn.events import ev_approval_request, ev_choice_request
from oturn.questions import new_future
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.scripted import call, call_tools, say
from tools_for_tests import SmallTool

Event = dict[str, Any]


class Guarded(Echo):
    name = "guarded"

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return f"Say {args['words']}"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?")


class Chooser(SmallTool):
    name = "chooser"

    @staticmethod
    async def execute(event_publish: Any) -> Any:
        return await Chooser._request_choice(event_publish, "Which?", ["a", "b"])


class Answering:
    """Answers by id, each question once, and notes what came of it."""

    def __init__(self, agent: Oturn, **answers: Any) -> None:
        self.agent = agent
        self.answers = answers
        self.taken: list[tuple[str, bool]] = []
        self.again: list[bool] = []

    def __call__(self, event: Event) -> None:
        kind = event["type"]
        if kind in self.answers:
            request_id = event.request_id  # type: ignore[attr-defined] # questions have one
            self.taken.append((request_id, self.agent.answer(request_id, self.answers[kind])))
            self.again.append(self.agent.answer(request_id, self.answers[kind]))


async def test_questions_are_answered_by_their_ids_and_each_only_once() -> None:
    reply = call_tools(call("guarded", words="x"), call("chooser"))
    agent = scripted(reply, say("ok"), tools=[Guarded, Chooser], grace=LONG)
    answering = Answering(agent, tool_call=True, approval_request=True, choice_request="b")
    async with Session(agent, answering) as session:
        events = await session.ask()
        contents = tool_contents(session.context)
    assert [content.data for content in contents] == ["x", ("b", True)]
    ids = [event["id"] for event in events if event["type"].endswith("_request")]
    assert [taken for taken, _ in answering.taken[2:]] == ids
    assert [done for _, done in answering.taken] == [True] * 4
    assert answering.again == [False] * 4
    assert not agent.answer(ids[0])
    assert not agent.answer("appr_unknown")


@pytest.mark.parametrize("no", [False, {"approved": False}, {}])
async def test_a_tool_call_that_is_answered_with_a_no_does_not_run_and_hands_back(no: Any) -> None:
    agent = scripted(call_tools(call("echo", words="x")), tools=[Echo], grace=LONG)
    async with Session(agent, Answering(agent, tool_call=no)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    assert content.error == "Not run: echo was not approved."
    assert kinds(events)[-4:] == ["tool_output", "tool_output", "tool_exit", "assistant_final"]


async def test_a_tool_call_may_be_answered_by_its_delta_id_while_it_is_the_only_one() -> None:
    agent = scripted(call_tools(call("echo", words="x")), say("ok"), tools=[Echo], grace=LONG)
    done: list[bool] = []

    def react(event: Event) -> None:
        if event["type"] == "tool_call":
            done.append(agent.answer(event["delta_id"]))

    async with Session(agent, react) as session:
        assert (await session.ask())[-1]["text"] == "ok"
    assert done == [True]
    assert not agent.answer("idx:0")


async def test_an_answer_that_is_no_choice_is_refused_and_the_question_stays_open() -> None:
    agent = scripted(call_tools(call("chooser")), say("ok"), tools=[Chooser], grace=LONG)

    def react(event: Event) -> None:
        resolve(None)(event)
        if event["type"] == "choice_request":
            with pytest.raises(
                ValueError, match=r"'c' is no choice here: give one of \['a', 'b'\]"
            ):
                agent.answer(event["id"], "c")
            assert agent.answer(event["id"], None)

    async with Session(agent, react) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == (None, False)


async def test_nothing_is_open_once_a_question_was_given_up_or_its_turn_cancelled() -> None:
    agent = scripted(*[call_tools(call("echo"))] * 2, say("ok"), tools=[Echo])
    seen: list[Event] = []

    def keep(event: Event) -> None:
        if event["type"] == "tool_call":
            seen.append(event)

    async with Session(agent, keep) as session:
        await session.ask()
    assert len(seen) == 2
    assert not any(agent.answer(event["request_id"]) for event in seen)


async def test_a_tool_call_shows_arguments_and_preview_to_those_who_look_for_them() -> None:
    agent = scripted(call_tools(call("guarded", words="x")), tools=[Guarded], grace=LONG)
    seen: list[Event] = []

    def react(event: Event) -> None:
        if event["type"] == "tool_call":
            seen.append(event)
            assert event["args"] == event.get("args") == '{"words": "x"}'
            assert event.get("preview") == "Say x"
            assert "preview" in event
            assert event.get("nothing", 3) == 3
        resolve(None)(event)
        resolve(True, "approval_request")(event)

    async with Session(agent, react) as session:
        await session.ask()
    assert list(seen[0]) == ["type", "tool", "delta_id", "future"]


async def test_callbacks_answer_approvals_and_choices_without_any_subscriber_that_does() -> None:
    asked: list[Event] = []

    async def approve(event: Event) -> bool:
        asked.append(event)
        await asyncio.sleep(SHORT * 3)  # a person takes longer than the grace
        return True

    async def choose(event: Event) -> dict[str, Any]:
        asked.append(event)
        return {"selected": event["choices"][1], "confirmed": True}

    reply = call_tools(call("guarded", words="x"), call("chooser"))
    agent = scripted(reply, say("ok"), tools=[Guarded, Chooser])
    agent.set_approval_callback(approve)
    agent.set_choice_callback(choose)
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        contents = tool_contents(session.context)
    assert [content.data for content in contents] == ["x", ("b", True)]
    assert "unanswered" not in kinds(events)
    assert [event["type"] for event in asked] == ["approval_request", "choice_request"]
    assert not any("future" in event for event in asked)


async def test_a_callback_that_fails_is_a_no() -> None:
    async def fails(event: Event) -> bool:
        raise RuntimeError("no terminal here")

    agent = scripted(call_tools(call("guarded", words="x")), tools=[Guarded])
    agent.set_approval_callback(fails)
    async with Session(agent, resolve(None)) as session:
        assert (await session.ask())[-1]["text"] == ""
        (content,) = tool_contents(session.context)
    assert content.error == "may I?"


async def test_a_subscriber_that_is_quicker_than_the_callback_has_answered() -> None:
    stopped = asyncio.Event()

    async def never(event: Event) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return False

    agent = scripted(call_tools(call("guarded", words="x")), say("ok"), tools=[Guarded])
    agent.set_approval_callback(never)

    def react(event: Event) -> None:
        resolve(None)(event)
        resolve(True, "approval_request")(event)

    async with Session(agent, react) as session:
        assert (await session.ask())[-1]["text"] == "ok"
    assert stopped.is_set()


def approval(future: Any) -> Any:
    precheck: Any = {"status": "needs_approval", "message": None, "reasons": None, "metadata": None}
    return ev_approval_request(id="appr_own", tool="own", args={}, future=future, precheck=precheck)


def choice(future: Any) -> Any:
    return ev_choice_request(
        id="choice_own", tool="own", prompt="?", choices=["a"], hint=None, future=future
    )


@pytest.mark.parametrize(
    ("make", "answer", "decision"), [(approval, False, "denied"), (choice, None, "not chosen")]
)
async def test_a_question_of_a_tools_own_making_is_not_waited_for_without_end_either(
    make: Callable[[Any], Any], answer: Any, decision: str
) -> None:
    class Own(SmallTool):
        name = "own"

        @staticmethod
        async def execute(event_publish: Any) -> str:
            future = new_future()
            await event_publish(make(future))
            return f"answered {await future!r}"

    agent = scripted(call_tools(call("own")), say("ok"), tools=[Own])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == f"answered {answer!r}"
    (told,) = [event for event in events if event["type"] == "unanswered"]
    assert told["decision"] == decision
    assert told["id"].endswith("_own")
