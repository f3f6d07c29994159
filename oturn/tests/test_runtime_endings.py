"""What is left of a turn behind its ending, however it ends: results, late words, late answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agent_session import LONG, PATIENCE, Echo, Session, config, kinds, resolve, scripted
from oturn import BaseToolRegistry, Context, Message, Oturn
from oturn.events import ApprovalPrecheckPayload, ApprovalRequestEvent, ev_approval_request
from oturn.gate import Gate, Rules
from oturn.questions import new_future
from oturn.tool_deltas import ToolCallDeltas
from oturn.tool_runtime import ToolRuntime
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.base import Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.closing import closing
from oturn.transport.scripted import ScriptedTransport, call, call_tools, say
from oturn.turn import TurnEnded
from oturn.turn_calls import CallHandler
from oturn.turn_handler import TurnHandler
from oturn.turn_publish import TurnPublish
from tools_for_tests import SmallTool


def unanswered(history: Any) -> set[str]:
    """The calls of a history that have no result."""
    messages = [record for record in history if isinstance(record, Message)]
    asked = {made.id for message in messages for made in message.tool_calls or ()}
    return asked - {message.tool_call_id for message in messages if message.role == "tool"}


def refuse_writing(file: Path) -> None:
    """No record can be appended from now on: a folder is in the place of the file."""
    file.unlink(missing_ok=True)
    file.mkdir()


async def test_a_disk_that_refuses_a_result_leaves_no_call_without_one() -> None:
    class Breaker(SmallTool):
        name = "breaker"

        @staticmethod
        def execute() -> str:
            refuse_writing(session.context.history_file)
            return "broken"

    calls = call_tools(call("breaker"), call("echo", words="x"))
    agent = scripted(calls, say("next"), tools=[Breaker, Echo])
    session = Session(agent, resolve(None))
    async with session:
        assert kinds(await session.ask())[-2:] == ["error", "assistant_final"]
        assert unanswered(session.context.history) == set()
        session.context.history_file.rmdir()
        await session.ask("again")
        assert unanswered(session.context.history) == set()
    again = Context(session.context.history_file)
    assert again.restore()
    assert again.history[-1] == session.context.history[-1]
    assert unanswered(again.history) == set()


async def test_a_disk_that_refuses_an_answer_is_told_and_its_calls_have_results(
    tmp_path: Path,
) -> None:
    async def publish(event: Any) -> None:
        raise AssertionError(f"nothing to tell: {event}")

    context = Context(tmp_path / "s.md")
    refuse_writing(tmp_path / "s.md")
    runtime = ToolRuntime(BaseToolRegistry(), publish, None, asyncio.Event())
    records = [{"index": i, "id": f"c{i}", "function": {"name": "echo"}} for i in range(2)]
    with pytest.raises(OSError, match="directory"):
        await runtime.process_tool_records(
            ctx=context,
            tool_records=records,
            final="I look.",
            reasoning="",
            reasoning_details=None,
            usage_data=None,
            model_name="m",
        )
    assert len(context.history) == 3
    assert unanswered(context.history) == set()


class Deaf:
    """A transport that swallows the cancel, and goes on when it is let; then a plain answer."""

    def __init__(self) -> None:
        self.let, self.through = asyncio.Event(), asyncio.Event()
        self._asked = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        self._asked += 1
        yield TextDelta("begun")
        if self._asked == 1:
            while not self.let.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.let.wait()
            yield TextDelta("too late")
            self.through.set()
        yield Finished("stop")

    async def aclose(self) -> None:
        pass


async def test_a_transport_that_will_not_stop_says_nothing_behind_the_ending() -> None:
    transport = Deaf()
    agent = Oturn(Path.cwd(), config(), transport=transport)

    def cancel(event: dict[str, Any]) -> None:
        if event["type"] == "assistant_delta" and not transport.let.is_set():
            agent.request_cancel_tool()

    async with Session(agent, cancel) as session:
        assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]
        transport.let.set()
        await asyncio.wait_for(transport.through.wait(), PATIENCE)
        said = [e["text"] for e in await session.ask() if e["type"] == "assistant_delta"]
    assert said == ["begun"]


async def test_nothing_that_a_tool_says_comes_between_the_events_of_an_ending() -> None:
    published: list[str] = []

    async def to_subscribers(event: Any) -> None:
        published.append(event["type"])
        if event["type"] == "run_aborted":
            await calls.publish_from_tool({"type": "noise"})

    async def reached(stage: str) -> None:
        raise AssertionError(stage)

    publish = TurnPublish(to_subscribers)
    deltas = ToolCallDeltas()
    gate = Gate(publish, Rules())
    calls = CallHandler(None, BaseToolRegistry(), publish, gate, deltas)
    request = ModelRequest("m", [])
    handler = TurnHandler(calls, ScriptedTransport([]), publish, reached, deltas, lambda: request)
    await handler.record(TurnEnded("cancelled"))
    assert published == ["run_aborted", "assistant_final"]


async def test_a_stream_that_is_left_is_closed_at_once() -> None:
    closed = False

    async def stream() -> AsyncIterator[StreamItem]:
        nonlocal closed
        try:
            yield TextDelta("one")
            yield TextDelta("two")
        finally:
            closed = True

    kept = stream()  # held, so that it is not collected
    async with closing(kept) as items:
        async for _ in items:
            break
        assert not closed
    assert closed


def question(future: asyncio.Future[Any]) -> ApprovalRequestEvent:
    found: ApprovalPrecheckPayload = {
        "status": STATUS_NEEDS_APPROVAL,
        "message": None,
        "reasons": None,
        "metadata": None,
    }
    return ev_approval_request(id="z", tool="a tool", args={}, future=future, precheck=found)


class Asking(SmallTool):
    """Asks in the way of 0.1: by an event that it makes itself."""

    name = "asking"

    @staticmethod
    async def execute(event_publish: Any) -> bool:
        future = new_future()
        await event_publish(question(future))
        return bool(await future)


class Leaving(SmallTool):
    """Leaves the wait for the answer to something that lives longer than the turn."""

    name = "leaving"
    waited: ClassVar[list[asyncio.Future[Any]]] = []

    @staticmethod
    async def execute(event_publish: Any) -> str:
        future = new_future()
        Leaving.waited.append(future)
        await event_publish(question(future))
        return "asked"


class Guarded(Echo):
    name = "guarded"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?")


async def yes(event: dict[str, Any]) -> bool:
    return True


@pytest.mark.parametrize("tool", [Asking, Guarded])
@pytest.mark.parametrize("callback", [None, yes])
async def test_an_answer_behind_that_of_policy_or_callback_raises_nothing(
    tool: type[SmallTool], callback: Any
) -> None:
    asked: list[Any] = []

    def keep(event: dict[str, Any]) -> None:
        if event["type"] == "approval_request":
            asked.append(event)

    agent = scripted(call_tools(call(tool.name)), say("done"), say("more"), tools=[tool])
    agent.set_approval_callback(callback)
    async with Session(agent, keep) as session:
        await session.ask()
        asked[0]["future"].set_result(True)
        assert kinds(await session.ask())[-1] == "assistant_final"


async def test_what_a_subscriber_sets_reaches_a_tool_that_made_its_question_itself() -> None:
    agent = scripted(call_tools(call("asking")), say("done"), tools=[Asking], grace=LONG)

    def answer(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == "approval_request":
            event["future"].set_exception(LookupError("nobody is here"))

    async with Session(agent, answer) as session:
        await session.ask()
        assert "nobody is here" in str(session.context.history[-2])


async def test_a_question_is_closed_with_its_turn_and_its_future_is_not() -> None:
    asked: list[asyncio.Future[Any]] = []

    def keep(event: dict[str, Any]) -> None:
        resolve(None)(event)
        if event["type"] == "approval_request":
            asked.append(event["future"])

    replies = call_tools(call("leaving")), say("done"), say("more")
    agent = scripted(*replies, tools=[Leaving], grace=LONG)
    async with Session(agent, keep) as session:
        await session.ask()
        await session.ask()
        assert agent.answer("z", True) is False
        asked[0].set_result("yes")
        assert await asyncio.wait_for(Leaving.waited.pop(), PATIENCE) == "yes"
