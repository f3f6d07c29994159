"""The world of one turn of `Oturn`: its effects on context, transport, tools and subscribers.

It decides nothing about how a turn goes on. What it does about tool calls is in
`oturn.turn_calls`. Nothing reaches subscribers once the ending has.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from oturn.agent_stream_state import MessageAssembler
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
)
from oturn.signals import (
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolFinished,
)
from oturn.tool_deltas import ToolCallDeltas
from oturn.transport.base import (
    ModelRequest,
    ModelTransport,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
from oturn.transport.closing import closing
from oturn.turn import TurnEnded
from oturn.turn_calls import CallHandler
from oturn.turn_publish import TurnPublish

_log = logging.getLogger(__name__)


@dataclass
class TurnHandler:
    """An `EffectHandler` on a `Context`. `request` makes the request of the next step."""

    calls: CallHandler
    transport: ModelTransport
    publish: TurnPublish
    latency: Callable[[str], Awaitable[None]]
    deltas: ToolCallDeltas
    request: Callable[[], ModelRequest]

    def __post_init__(self) -> None:
        self._message = AssistantMessage()
        self._coming: MessageAssembler | None = None  # an answer that is not whole
        self._places: list[int] = []
        self._model = ""

    async def record(self, signal: Signal | TurnEnded) -> None:
        self.calls.check()
        match signal:
            case StepStarted():
                self.deltas.clear()
                await self.publish(ev_message_sent())
                await self.latency("message_sent")
            case StepFinished(message):
                self._message, self._coming = message, None
                self.calls.keep_answer(message, self._places, self._model)
            case ToolFinished():
                await self.calls.finished(signal)
            case Cancelled():
                self._keep_what_came()
            case TurnEnded():
                if signal.outcome == "failed":
                    await self.calls.tell_rest()
                self.calls.close()
                await self._ended(signal)

    async def call_model(self, effect: CallModel) -> StepFinished | StepFailed:
        return await self.calls.stoppable(self._call_model(), "the model's transport")

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        return await self.calls.decide(effect.calls)

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        return await self.calls.run(effect.call)

    async def _call_model(self) -> StepFinished | StepFailed:
        try:
            request = self.request()
        except Exception as problem:
            _log.exception("the request to the model cannot be made")
            return StepFailed(f"API call failed: {problem}")
        self._model = request.model
        self._coming = assembler = MessageAssembler()
        try:
            async with closing(self.transport.stream(request)) as items:
                async for item in items:
                    place = assembler.feed(item)
                    if type(item) is TextDelta:  # most are, and each call costs
                        await self.publish(ev_assistant_delta(item.text, self._model))
                    else:
                        await self._delta(item, place)
        except Exception as problem:
            _log.exception("the transport fails, against its contract")
            return StepFailed(f"Stream processing failed: {problem}")
        if assembler.error is not None:
            return StepFailed(f"Stream processing failed: {assembler.error.message}")
        self._places = assembler.places()
        message = assembler.message()
        if self.calls.debug is not None and message.tool_calls:
            await self.calls.debug.assembled(message.tool_calls, self._places)
        return StepFinished(message)

    def _keep_what_came(self) -> None:
        """The text of an answer that was cut off, so that the history has what people have read.
        Its calls, if any, are not run and not kept."""
        coming, self._coming = self._coming, None
        message = AssistantMessage() if coming is None else coming.message()
        if message.text.strip():
            self.calls.keep_answer(replace(message, tool_calls=()), [], self._model)

    async def _delta(self, item: StreamItem, place: int | None) -> None:
        match item:
            case ReasoningDelta(text):
                await self.publish(ev_assistant_reasoning_delta(text, self._model))
            case ToolCallDelta():
                if self.calls.debug is not None:
                    await self.calls.debug.fragment(item, self._model, place)
                event = ev_tool_call_delta(
                    tool=item.name or "",
                    args=item.arguments or "",
                    delta_id=f"idx:{place}",
                    index=place,
                    tool_call_id=item.id,
                )
                self.deltas.add(event)
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
                await self.publish.ending(final)
            case "cancelled":
                await self.publish.ending(ev_run_aborted())
                await self.publish.ending(ev_assistant_final(""))
            case "needs_input":
                await self.publish.ending(ev_assistant_final(""))
            case "empty" | "max_steps" | "max_time" | "max_tokens" | "over_budget" | "failed":
                await self.publish.ending(ev_error(ending.reason))
                await self.publish.ending(ev_assistant_final(f"Error: {ending.reason}"))
