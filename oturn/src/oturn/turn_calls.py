"""The tool calls of one answer: kept, judged, run, and their results kept and told.

What a call may do is asked in `oturn.gate`; prechecks and approvals are part of a tool's own
`run`, because each may depend on what the call before it has done. No model is asked here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from oturn import tool_outcome
from oturn.gate import AnswerRaised, Gate
from oturn.model import FunctionInfo, Message, ToolCallInfo
from oturn.questions import Publish, Question
from oturn.remote_tools import RemoteTools, is_remote
from oturn.signals import AssistantMessage, CallsDecided, Cancelled, ToolCall, ToolFinished
from oturn.tool_debug import ToolDebug
from oturn.tool_deltas import ToolCallDeltas
from oturn.tools.base import STATUS_FAILURE, BaseTool, BaseToolRegistry, ToolResult
from oturn.turn import TurnState, reduce

#: Seconds that what was cancelled has to stop by itself, before the turn goes on without it.
STOP_GRACE = 1.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass
class CallHandler:
    """The part of an `EffectHandler` that has to do with calls, on a `Context`."""

    context: Any
    tools: BaseToolRegistry
    publish: Publish
    gate: Gate
    deltas: ToolCallDeltas = field(default_factory=ToolCallDeltas)
    remote: RemoteTools | None = None
    debug: ToolDebug | None = None
    cancel_event: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._calls: dict[str, tuple[ToolCall, int]] = {}  # those without a result, and places
        self._escaping: BaseException | None = None
        self._over = False

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
        self._calls = {
            call.id: (call, place) for call, place in zip(message.tool_calls, places, strict=True)
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
            model_name=model,
            extra=extra,
        )
        self.context.append_message(kept)

    async def decide(self, calls: Sequence[ToolCall]) -> CallsDecided:
        """Ask about each; no decision at all where an answer ends the run."""
        try:
            return await self.stoppable(self._decide(calls))
        except AnswerRaised as answer:
            self._escaping = answer
        except asyncio.CancelledError as problem:
            if _is_cancelled():
                raise
            self._escaping = problem  # a subscriber cancelled the future of a question
        return CallsDecided(())

    async def run(self, call: ToolCall) -> ToolFinished:
        """Run it here or elsewhere; what goes wrong is told in the result."""
        try:
            return await self.stoppable(self._run_tool(call))
        except asyncio.CancelledError as problem:
            if _is_cancelled():
                raise
            self._escaping = problem  # a subscriber cancelled the future of a question
            return ToolFinished(call.id, "cancelled")

    async def finished(self, signal: ToolFinished) -> None:
        """Keep a result, and tell of it."""
        call, place = self._calls[signal.call_id]
        self.keep_result(signal)
        if signal.status == "invalid":
            await self.gate.announce(call, f"idx:{place}")
        for event in tool_outcome.events_of(call, place, signal):
            await self.publish(event)

    def abandon(self, state: TurnState) -> None:
        """The run ends in the middle of a turn: tell the tools, and give each call a result."""
        self.cancel_event.set()
        for output in reduce(state, Cancelled()).events:
            if isinstance(output, ToolFinished):
                self.keep_result(output)

    def keep_result(self, signal: ToolFinished) -> None:
        """Give a call its result in the history, unless it has one."""
        found = self._calls.pop(signal.call_id, None)
        if found is None:
            return
        call, _ = found
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
        if self._over:
            if isinstance(event, Question):
                event.grace = 0.0  # nobody sees it: it is given up at once
            return
        if isinstance(event, dict) and event.get("type") == "tool_call_delta":
            self.deltas.add(event)
        await self.gate.publish_from_tool(event)

    def close(self) -> None:
        """The turn is over, one way or another: nothing more of its tools reaches subscribers."""
        self._over = True
        self.gate.close()

    async def stoppable(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. When cancelled, it is given a moment to stop, and then left to itself."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_GRACE)
            if not task.done():
                _log.warning("something did not stop when the turn was cancelled, and is left")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        return task.result()

    async def _decide(self, calls: Sequence[ToolCall]) -> CallsDecided:
        decisions = []
        for call in calls:
            place = self._calls[call.id][1]
            if self.debug is not None:
                await self.debug.assembled_final(call, place)
            decisions.append(await self.gate.judge(call, f"idx:{place}", self._preview(call)))
        return CallsDecided(tuple(decisions))

    async def _run_tool(self, call: ToolCall) -> ToolFinished:
        tool = self.tools.get_tool_class(call.name)
        arguments = dict(call.parsed or {})
        info: dict[str, Any] = {}
        try:
            if tool is not None:
                result = await tool.run(
                    arguments,
                    cancel_event=self.cancel_event,
                    approval_publish=self.publish_from_tool,
                    event_publish=self.publish_from_tool,
                )
            elif self.remote is not None and is_remote(self.context, call.name):
                result = await self.remote.execute_remote_tool(self.context, call.name, arguments)
            else:
                return tool_outcome.unknown_tool(call, self.tools.list_tools())
        except Exception as problem:
            result = ToolResult(STATUS_FAILURE, error=str(problem) or type(problem).__name__)
        if tool is not None and not result.success:
            info = _on_denial(tool, arguments)
        return tool_outcome.finished(call, result, info)

    def _preview(self, call: ToolCall) -> str | None:
        tool = self.tools.get_tool_class(call.name)
        if tool is None or call.parsed is None:
            return None
        try:
            return tool.get_preview(dict(call.parsed))
        except Exception:
            _log.exception("get_preview of the tool %r fails", call.name)
            return None


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _on_denial(tool: type[BaseTool], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return tool.on_denial(arguments) or {}
    except Exception:
        _log.exception("on_denial of the tool %r fails", tool.name)
        return {}
