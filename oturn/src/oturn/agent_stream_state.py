"""One assistant message from the items of its stream. Pure; knows no wire format and no turn.

Any splitting of the same answer into fragments gives the same message (I6). Fragments are
kept as they come and joined once at the end, so the cost per fragment does not grow.

The per-response reducer of 0.1 (dict events, signals, transitions) is found here as well; it
stands in `oturn.stream_signals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oturn.arguments import parse_arguments, read_arguments
from oturn.errors import ModelError
from oturn.signals import AssistantMessage, ToolCall
from oturn.stream_signals import (
    build_assembled_debug,
    build_tool_records,
    ingest_stream_event,
    reduce_stream_signal,
)
from oturn.stream_types import (
    AssistantDeltaPayload,
    AssistantDeltaTransition,
    AssistantDeltaTransitionPayload,
    AssistantDonePayload,
    AssistantDoneSignal,
    AssistantDoneTransition,
    AssistantDoneTransitionPayload,
    AssistantReasoningDeltaPayload,
    AssistantReasoningDeltaSignal,
    AssistantReasoningDeltaTransition,
    EmptyPayload,
    EmptyTransitionPayload,
    NoopTransition,
    ReasoningDetail,
    ReasoningExtra,
    SignalType,
    StreamSignal,
    StreamSignalUnion,
    StreamTransition,
    StreamTransitionUnion,
    ToolCallAccumulator,
    ToolCallDeltaDroppedTransition,
    ToolCallDeltaPayload,
    ToolCallDeltaSignal,
    ToolCallDeltaTransition,
    ToolCallsDoneSignal,
    ToolCallsDoneTransition,
    ToolCallTransitionPayload,
    ToolFunctionPayload,
    ToolRecord,
    TurnStreamState,
    UsageData,
)
from oturn.transport.base import (
    Failed,
    Finished,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)

__all__ = [
    "AssistantDeltaPayload",
    "AssistantDeltaTransition",
    "AssistantDeltaTransitionPayload",
    "AssistantDonePayload",
    "AssistantDoneSignal",
    "AssistantDoneTransition",
    "AssistantDoneTransitionPayload",
    "AssistantReasoningDeltaPayload",
    "AssistantReasoningDeltaSignal",
    "AssistantReasoningDeltaTransition",
    "EmptyPayload",
    "EmptyTransitionPayload",
    "MessageAssembler",
    "NoopTransition",
    "ReasoningDetail",
    "ReasoningExtra",
    "SignalType",
    "StreamSignal",
    "StreamSignalUnion",
    "StreamTransition",
    "StreamTransitionUnion",
    "ToolCallAccumulator",
    "ToolCallDeltaDroppedTransition",
    "ToolCallDeltaPayload",
    "ToolCallDeltaSignal",
    "ToolCallDeltaTransition",
    "ToolCallTransitionPayload",
    "ToolCallsDoneSignal",
    "ToolCallsDoneTransition",
    "ToolFunctionPayload",
    "ToolRecord",
    "TurnStreamState",
    "UsageData",
    "build_assembled_debug",
    "build_tool_records",
    "ingest_stream_event",
    "parse_arguments",
    "reduce_stream_signal",
    "tool_call",
]


@dataclass(slots=True)
class _Call:
    """A call while its fragments come; `place` orders it, and names it to subscribers."""

    place: int
    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class MessageAssembler:
    """Feed it the items of one stream; then `message()` is the answer, or `error` says why not."""

    def __init__(self) -> None:
        self.error: ModelError | None = None
        self.ended = False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._usage: Mapping[str, Any] | None = None
        self._model: str | None = None
        self._finish: str | None = None

    def feed(self, item: StreamItem) -> int | None:
        """Take one item. For a fragment of a tool call: the place of that call, from 0."""
        match item:
            case TextDelta():
                self._text.append(item.text)
            case ReasoningDelta():
                self._reasoning.append(item.text)
            case ToolCallDelta():
                return self._tool_call(item)
            case UsageReport():
                self._usage = item.usage
            case Finished():
                self._finish, self._model, self.ended = item.reason, item.model, True
            case Failed():
                self.error, self.ended = item.error, True
        return None

    def message(self) -> AssistantMessage:
        """The answer as far as it has come; whole once the stream has finished."""
        return AssistantMessage(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                tool_call(call.id, call.name, "".join(call.arguments), self._finish)
                for call in self._in_order()
            ),
            usage=self._usage,
            model=self._model,
            finish=self._finish,
        )

    def places(self) -> list[int]:
        """The place of each call of `message()`, in the same order."""
        return [call.place for call in self._in_order()]

    def _in_order(self) -> list[_Call]:
        return sorted(self._calls, key=lambda call: call.place)

    def _tool_call(self, delta: ToolCallDelta) -> int:
        call = self._find(delta) or self._new(delta.index)
        call.id = call.id or delta.id or ""
        call.name = delta.name or call.name
        if delta.arguments:
            call.arguments.append(delta.arguments)
        return call.place

    def _find(self, delta: ToolCallDelta) -> _Call | None:
        """The call that a fragment continues, or None when it opens one.

        Servers differ: some leave out the index, or the id after the first fragment; some
        send every call under index 0, told apart by their ids; some give every call one id.
        """
        by_id = self._last(lambda call: bool(delta.id) and call.id == delta.id)
        if delta.index is None:
            return by_id if delta.id else self._continued_without_name(delta)
        by_index = self._last(lambda call: call.index == delta.index)
        if by_index is None:
            return None if delta.name else by_id
        opens_another = delta.name and delta.id and by_index.id and delta.id != by_index.id
        return by_id if opens_another else by_index

    def _continued_without_name(self, delta: ToolCallDelta) -> _Call | None:
        """A fragment with neither index nor id continues the last call, unless it names one."""
        last = self._calls[-1] if self._calls else None
        return None if last is not None and delta.name and last.name else last

    def _last(self, fits: Callable[[_Call], bool]) -> _Call | None:
        return next((call for call in reversed(self._calls) if fits(call)), None)

    def _new(self, index: int | None) -> _Call:
        taken = {call.place for call in self._calls}
        place = index if index is not None and index not in taken else max(taken, default=-1) + 1
        call = _Call(place, index)
        self._calls.append(call)
        return call


def tool_call(call_id: str, name: str, arguments: str, finish: str | None = None) -> ToolCall:
    """A whole call from what the model sent: its arguments read, or what is wrong with it.

    `finish`: the finish_reason of the answer. It is part of what the call means: one that was
    cut off is never repaired.
    """
    read = read_arguments(arguments, finish)
    if not name:
        problem = "Not run: the call names no tool. Call a tool by its name."
        return ToolCall(call_id, name, arguments, problem=problem)
    return ToolCall(call_id, name, arguments, read.parsed, read.problem, read.repaired)
