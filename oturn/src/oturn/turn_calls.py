"""The tool calls of one answer: kept, judged, run, and their results kept and told.

What a call may do is asked in `oturn.gate`; prechecks and approvals are part of a tool's own
`run`, because each may depend on what the call before it has done. No model is asked here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from oturn import tool_outcome
from oturn.cancelling import being_cancelled
from oturn.gate import AnswerRaised, Gate
from oturn.model import FunctionInfo, Message, ToolCallInfo
from oturn.questions import Question, QuestionCancelled
from oturn.remote_tools import RemoteTools, is_remote
from oturn.signals import (
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Decision,
    ToolCall,
    ToolFinished,
)
from oturn.tool_debug import ToolDebug
from oturn.tool_deltas import ToolCallDeltas
from oturn.tools.base import STATUS_FAILURE, BaseTool, BaseToolRegistry, ToolResult
from oturn.tools.failures import failure_text, log_failure
from oturn.turn import NOT_RUN, TurnState, reduce
from oturn.turn_publish import TurnPublish

#: Seconds that what was cancelled has to stop by itself, before the turn goes on without it.
STOP_GRACE = 1.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass
class CallHandler:
    """The part of an `EffectHandler` that has to do with calls, on a `Context`."""

    context: Any
    tools: BaseToolRegistry
    publish: TurnPublish
    gate: Gate
    deltas: ToolCallDeltas = field(default_factory=ToolCallDeltas)
    remote: RemoteTools | None = None
    debug: ToolDebug | None = None
    cancel_event: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._answer: list[tuple[ToolCall, int]] = []  # its calls and their places, in order
        self._calls: dict[str, tuple[ToolCall, int]] = {}  # those without a result yet
        self._untold: list[Any] = []  # about broken calls: after every call has been announced
        self._approvals: dict[str, Question] = {}  # the last one asked about each call
        self._escaping: BaseException | None = None

    def check(self) -> None:
        """Raise what a subscriber has answered for the caller of the run, if one has."""
        if self._escaping is not None:
            raise self._escaping

    def keep_answer(
        self,
        message: AssistantMessage,
        places: Sequence[int],
        model: str | None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Add the answer to the history. `places` names its calls to subscribers."""
        self._answer = list(zip(message.tool_calls, places, strict=True))
        self._calls = {call.id: (call, place) for call, place in self._answer}
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
            model_name=model,
            extra=extra,
        )
        self.context.append_message(kept)

    async def decide(self, calls: Sequence[ToolCall]) -> CallsDecided:
        """Ask about each; no decision at all where an answer ends the run."""
        return await self.stoppable(self._decide(calls), "the tool policy")

    async def run(self, call: ToolCall) -> ToolFinished:
        """Run it here or elsewhere; what goes wrong is told in the result."""
        return await self.stoppable(self._run_tool(call), f"the tool {call.name}")

    async def finished(self, signal: ToolFinished) -> None:
        """Keep a result, and tell of it; of a broken call, when all calls are announced."""
        call, place = self._calls[signal.call_id]
        self.keep_result(signal)
        events = tool_outcome.events_of(call, place, signal)
        if signal.status == "invalid":
            self._untold += events
            if all(other.problem for other, _ in self._answer):  # then nothing will be judged
                await self.gate.announce(call, f"idx:{place}")
                if not self._calls:
                    await self.tell_rest()
            return
        for event in events:
            await self.publish(event)

    async def tell_rest(self) -> None:
        """Publish what is still to be said about broken calls."""
        untold, self._untold = self._untold, []
        for event in untold:
            await self.publish(event)

    def abandon(self, state: TurnState) -> None:
        """The run ends in the middle of a turn: tell the tools, and give each call a result."""
        self.cancel_event.set()
        told = {
            output.call_id: output
            for output in reduce(state, Cancelled()).events
            if isinstance(output, ToolFinished)
        }
        for call_id in list(self._calls):
            result = told.get(call_id) or ToolFinished(call_id, "cancelled", NOT_RUN)
            try:
                self.keep_result(result)
            except Exception as problem:  # what ended the run matters more
                _log.error("the result of the call %s could not be written: %s", call_id, problem)

    def keep_result(self, signal: ToolFinished) -> None:
        """Give a call its result in the history, unless it has one."""
        found = self._calls.pop(signal.call_id, None)
        if found is None:
            return
        call, _ = found
        approval = self._approvals.get(call.id)
        if signal.status == "cancelled" and approval is not None and not approval.was_settled:
            signal = replace(signal, text=NOT_RUN)  # it was waiting for a person
        self.context.append_message(
            Message(
                role="tool",
                name=call.name,
                tool_call_id=call.id,
                content=tool_outcome.content_of(call, signal),
            )
        )

    async def publish_from_tool(self, event: Any) -> None:
        """What a tool says reaches subscribers until the turn has ended."""
        if self.publish.over:
            await self.publish(event)  # nobody sees it; a question is given up at once
            return
        if isinstance(event, dict) and event.get("type") == "tool_call_delta":
            self.deltas.add(event)
        await self.gate.publish_from_tool(event)

    def close(self) -> None:
        """The turn is over, one way or another: nothing more of its tools reaches subscribers."""
        self.publish.close()
        self.gate.close()

    async def stoppable(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """Its result. When cancelled, it is given a moment to stop, and then left to itself."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_GRACE)
            if not task.done():
                _log.warning("%s did not stop when the turn was cancelled, and is left", what)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        return task.result()

    async def _decide(self, calls: Sequence[ToolCall]) -> CallsDecided:
        asked = {call.id for call in calls}
        decisions = []
        try:
            for call, place in self._answer:
                if call.problem:
                    await self.gate.announce(call, f"idx:{place}")
                elif call.id in asked:
                    decisions.append(await self._judge(call, place))
        except (AnswerRaised, QuestionCancelled) as answer:
            self._escaping = answer
            return CallsDecided(())
        except asyncio.CancelledError as problem:
            if being_cancelled():
                raise
            raise RuntimeError(failure_text(problem)) from problem
        await self.tell_rest()
        return CallsDecided(tuple(decisions))

    async def _judge(self, call: ToolCall, place: int) -> Decision:
        if self.debug is not None:
            await self.debug.assembled_final(call, place)
        return await self.gate.judge(call, f"idx:{place}", self._preview(call))

    async def _run_tool(self, call: ToolCall) -> ToolFinished:
        tool = self.tools.get_tool_class(call.name)
        arguments = dict(call.parsed or {})
        info: dict[str, Any] = {}

        async def ask(event: Any) -> None:
            if isinstance(event, Question):
                self._approvals[call.id] = event
            await self.publish_from_tool(event)

        try:
            if tool is not None:
                result = await tool.run(
                    arguments,
                    cancel_event=self.cancel_event,
                    approval_publish=ask,
                    event_publish=self.publish_from_tool,
                )
            elif self.remote is not None and is_remote(self.context, call.name):
                result = await self.remote.execute_remote_tool(self.context, call.name, arguments)
            else:
                return tool_outcome.unknown_tool(call, self.tools.list_tools())
        except asyncio.CancelledError as problem:
            if being_cancelled():
                raise
            if isinstance(problem, QuestionCancelled) or self.gate.was_cancelled():
                self._escaping = QuestionCancelled()
                return ToolFinished(call.id, "cancelled")
            result = _failed(call, problem)
        except Exception as problem:
            result = _failed(call, problem)
        if tool is not None and not result.success:
            info = _on_denial(tool, arguments)
        return tool_outcome.finished(call, result, info)

    def _preview(self, call: ToolCall) -> str | None:
        tool = self.tools.get_tool_class(call.name)
        if tool is None or call.parsed is None:
            return None
        try:
            return tool.get_preview(dict(call.parsed))
        except (Exception, asyncio.CancelledError):
            _log.exception("get_preview of the tool %r fails", call.name)
            return None


def _failed(call: ToolCall, problem: BaseException) -> ToolResult:
    log_failure(call.name, problem)
    return ToolResult(STATUS_FAILURE, error=failure_text(problem))


def _on_denial(tool: type[BaseTool], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return tool.on_denial(arguments) or {}
    except (Exception, asyncio.CancelledError):
        _log.exception("on_denial of the tool %r fails", tool.name)
        return {}
