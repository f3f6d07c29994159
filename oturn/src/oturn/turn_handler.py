"""The world of one turn of `Oturn`: its effects on context, transport, tools and subscribers.

It decides nothing about how a turn goes on. A call is gated in `decide` by the `future` of its
`tool_call` event and by the tool policy; prechecks and approvals are part of a tool's own
`run`, because each may depend on what the call before it has done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from oturn import tool_outcome
from oturn.agent_stream_state import MessageAssembler
from oturn.context import Context
from oturn.driver import Report
from oturn.effects import CallModel, DecideCalls, RunTool
from oturn.events import (
    ev_assistant_delta,
    ev_assistant_final,
    ev_assistant_reasoning_delta,
    ev_error,
    ev_message_sent,
    ev_run_aborted,
    ev_tool_call_delta,
    ev_tool_call_request,
)
from oturn.history import to_api_messages
from oturn.model import FunctionInfo, Message, ToolCallInfo
from oturn.questions import Publish, Question, new_future
from oturn.signals import (
    AssistantMessage,
    CallsDecided,
    Decision,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolFinished,
)
from oturn.tool_deltas import ToolCallDeltas
from oturn.tools.base import STATUS_FAILURE, BaseTool, BaseToolRegistry, ToolResult
from oturn.transport.base import (
    ModelRequest,
    ModelTransport,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
from oturn.turn import TurnEnded

ToolPolicy: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[bool]]
"""Whether a tool may be called with these arguments."""

_log = logging.getLogger(__name__)


class AnswerRaised(Exception):
    """A subscriber answered a `tool_call` with an exception; it is for the caller of the run."""

    def __init__(self, problem: BaseException) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass
class TurnHandler:
    """An `EffectHandler` on a `Context`. `request` makes a model request of messages."""

    context: Context
    transport: ModelTransport
    tools: BaseToolRegistry
    publish: Publish
    deltas: ToolCallDeltas
    request: Callable[[list[dict[str, Any]]], ModelRequest]
    policy: ToolPolicy | None
    grace: float | None
    cancel_event: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._message = AssistantMessage()
        self._calls: dict[str, tuple[ToolCall, int]] = {}  # by id: the call, and its place
        self._places: list[int] = []
        self._model = ""
        self._escaping: BaseException | None = None

    async def record(self, signal: Signal | TurnEnded) -> None:
        if self._escaping is not None:
            raise self._escaping
        match signal:
            case StepStarted():
                self.deltas.clear()
                await self.publish(ev_message_sent())
            case StepFinished(message):
                self._keep(message)
            case ToolFinished():
                await self._tool_finished(signal)
            case TurnEnded():
                await self._ended(signal)

    async def call_model(self, effect: CallModel) -> StepFinished | StepFailed:
        request = self.request(to_api_messages(self.context.history))
        self._model = request.model
        assembler = MessageAssembler()
        async with _closing(self.transport.stream(request)) as items:
            async for item in items:
                await self._delta(item, assembler.feed(item))
        if assembler.error is not None:
            return StepFailed(assembler.error.message)
        self._places = assembler.places()
        return StepFinished(assembler.message())

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        decisions = []
        for call in effect.calls:
            question = self._question(call)
            await self.publish(question)
            settled = await question.settled()
            if settled is not None and not self._may_go_on(settled):
                return CallsDecided(())
            decision = await self._judged(call)
            if settled is None:
                shown = "allowed" if decision.verdict == "allow" else "denied"
                await self.publish(question.given_up(shown))
            decisions.append(decision)
        return CallsDecided(tuple(decisions))

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        call = effect.call
        tool = self.tools.get_tool_class(call.name)
        if tool is None:
            return tool_outcome.unknown_tool(call, self.tools.list_tools())
        arguments = dict(call.parsed or {})
        try:
            result = await tool.run(
                arguments,
                cancel_event=self.cancel_event,
                approval_publish=self._publish_from_tool,
                event_publish=self._publish_from_tool,
            )
        except asyncio.CancelledError as problem:
            if _is_cancelled():
                raise
            self._escaping = problem  # a subscriber cancelled the future of a question
            return ToolFinished(call.id, "cancelled")
        except Exception as problem:
            result = ToolResult(STATUS_FAILURE, error=str(problem) or type(problem).__name__)
        info = {} if result.success else _on_denial(tool, arguments)
        return tool_outcome.finished(call, result, info)

    async def _delta(self, item: StreamItem, place: int | None) -> None:
        match item:
            case TextDelta(text):
                await self.publish(ev_assistant_delta(text, self._model))
            case ReasoningDelta(text):
                await self.publish(ev_assistant_reasoning_delta(text, self._model))
            case ToolCallDelta():
                event = ev_tool_call_delta(
                    tool=item.name or "",
                    args=item.arguments or "",
                    delta_id=f"idx:{place}",
                    index=place,
                    tool_call_id=item.id,
                )
                self.deltas.add(event)
                await self.publish(event)

    def _question(self, call: ToolCall) -> Question:
        event = ev_tool_call_request(
            tool=call.name, delta_id=f"idx:{self._calls[call.id][1]}", future=new_future()
        )
        return Question(event, self.grace)

    def _may_go_on(self, settled: asyncio.Future[Any]) -> bool:
        """Whether a `tool_call` was let through. An exception or cancel ends the whole run."""
        if settled.cancelled():
            self._escaping = asyncio.CancelledError()
        elif (problem := settled.exception()) is not None:
            self._escaping = AnswerRaised(problem)
        return self._escaping is None

    async def _judged(self, call: ToolCall) -> Decision:
        if self.policy is None or await self.policy(call.name, dict(call.parsed or {})):
            return Decision(call.id, "allow")
        return Decision(call.id, "deny", f"Not run: {call.name} is not allowed with this.")

    async def _publish_from_tool(self, event: Any) -> None:
        if isinstance(event, Question):
            event.grace = self.grace
        elif isinstance(event, dict) and event.get("type") == "tool_call_delta":
            self.deltas.add(event)
        await self.publish(event)

    def _keep(self, message: AssistantMessage) -> None:
        self._message = message
        self._calls = {
            call.id: (call, place)
            for call, place in zip(message.tool_calls, self._places, strict=True)
        }
        infos = [
            ToolCallInfo(call.id, "function", FunctionInfo(call.name, call.parsed or None))
            for call in message.tool_calls
        ]
        kept = Message(
            role="assistant",
            content=message.text,
            tool_calls=infos or None,
            usage=None if message.usage is None else dict(message.usage),
            reasoning_content=message.reasoning or None,
            model_name=self._model,
        )
        self.context.append_message(kept)

    async def _tool_finished(self, signal: ToolFinished) -> None:
        call, place = self._calls[signal.call_id]
        self.context.append_message(
            Message(
                role="tool",
                name=call.name,
                tool_call_id=call.id,
                content=tool_outcome.content_of(call, signal),
            )
        )
        for event in tool_outcome.events_of(call, place, signal):
            await self.publish(event)

    async def _ended(self, ending: TurnEnded) -> None:
        match ending.outcome:
            case "done":
                usage = self._message.usage
                final = ev_assistant_final(
                    self._message.text,
                    usage_data=None if usage is None else dict(usage),
                    reasoning=self._message.reasoning,
                )
                await self.publish(final)
            case "cancelled":
                await self.publish(ev_run_aborted())
                await self.publish(ev_assistant_final(""))
            case "needs_input":
                await self.publish(ev_assistant_final(""))
            case "empty" | "max_steps" | "max_time" | "max_tokens" | "failed":
                await self.publish(ev_error(ending.reason))
                await self.publish(ev_assistant_final(f"Error: {ending.reason}"))


@asynccontextmanager
async def _closing(items: AsyncIterator[StreamItem]) -> AsyncIterator[AsyncIterator[StreamItem]]:
    """Close the stream at once when its reader leaves, if it can be (generators can)."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _on_denial(tool: type[BaseTool], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return tool.on_denial(arguments) or {}
    except Exception:
        _log.exception("on_denial of the tool %r fails", tool.name)
        return {}
