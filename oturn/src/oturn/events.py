"""The events that subscribers of `Oturn` get: plain dicts, one builder and one type for each.

Data, but for the `future` of a question (see `oturn.questions`). Nothing is published here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from oturn.tool_runtime_utils import ToolArgsSummary


class AssistantDeltaEvent(TypedDict):
    """A fragment of the answer. `model`: the name under which it was asked."""

    type: Literal["assistant_delta"]
    text: str
    model: str | None


class AssistantReasoningDeltaEvent(TypedDict):
    """A fragment of the reasoning."""

    type: Literal["assistant_reasoning_delta"]
    text: str
    model: str | None


class ToolCallDeltaEvent(TypedDict):
    """A fragment of a call: `tool` and `args` are pieces, to be put together by `delta_id`."""

    type: Literal["tool_call_delta"]
    tool: str
    args: str
    delta_id: str
    index: NotRequired[int]
    tool_call_id: NotRequired[str]
    preview: NotRequired[str]


class ToolCallRequestEvent(TypedDict):
    """A whole call, before it runs: a question. False refuses it."""

    type: Literal["tool_call"]
    tool: str
    delta_id: str
    future: asyncio.Future[Any]


class ToolOutputEvent(TypedDict):
    """What a tool says; `stream` is "stdout" or "stderr"."""

    type: Literal["tool_output"]
    stream: str
    text: str


class ToolExitEvent(TypedDict):
    """A call has ended; `code` is 1 when it has failed."""

    type: Literal["tool_exit"]
    code: int


class ApprovalPrecheckPayload(TypedDict):
    """What the precheck of a tool found; `status` is "needs_approval"."""

    status: str
    message: str | None
    reasons: list[str] | None
    metadata: dict[str, Any] | None


class ApprovalRequestEvent(TypedDict):
    """A question whether a call may run. The future takes a bool or `{"approved": bool}`."""

    type: Literal["approval_request"]
    id: str
    tool: str
    args: dict[str, Any]
    future: asyncio.Future[Any]
    precheck: ApprovalPrecheckPayload


class ChoiceRequestEvent(TypedDict):
    """A question that offers `choices`. The future takes `{"selected", "confirmed"}`."""

    type: Literal["choice_request"]
    id: str
    tool: str
    prompt: str
    choices: list[str]
    hint: str | None
    future: asyncio.Future[Any]


class UnansweredEvent(TypedDict):
    """Nobody took the future of a question in time; `decision` is what policy made of it."""

    type: Literal["unanswered"]
    request: Literal["tool_call", "approval_request", "choice_request"]
    id: str
    tool: str
    decision: str


class LaggedEvent(TypedDict):
    """In the place of `missed` events that a subscriber was too slow for."""

    type: Literal["lagged"]
    missed: int


class ErrorEvent(TypedDict):
    """A turn has failed; `error` is a sentence, `traceback` is there for faults of a program."""

    type: Literal["error"]
    error: str
    exception_type: NotRequired[str]
    traceback: NotRequired[str]


class AssistantFinalEvent(TypedDict):
    """The turn is over. `usage_data` is as the server sent it."""

    type: Literal["assistant_final"]
    text: str
    usage_data: NotRequired[dict[str, Any]]
    reasoning: NotRequired[str]


class MessageSentEvent(TypedDict):
    """The model is about to be asked."""

    type: Literal["message_sent"]


class RunAbortedEvent(TypedDict):
    """The turn was cancelled; an `assistant_final` follows."""

    type: Literal["run_aborted"]
    reason: str


class DebugLatencyEvent(TypedDict):
    """With `debug_loop`: `ms` milliseconds from the input to this stage."""

    type: Literal["debug_latency"]
    stage: str
    ms: float


class ToolCallDebugDeltaEvent(TypedDict):
    """With `debug_tools`: a fragment of a call as it came."""

    type: Literal["tool_call_debug"]
    delta: dict[str, Any]


class ToolCallDebugWarningEvent(TypedDict):
    """With `debug_tools`: a fragment that belongs to no call."""

    type: Literal["tool_call_debug"]
    warning: str


class ToolCallDebugAssembledEvent(TypedDict):
    """With `debug_tools`: the calls of an answer, put together."""

    type: Literal["tool_call_debug"]
    assembled: list[dict[str, Any]]


class ToolCallDebugStageEvent(TypedDict):
    """How a call stands: "assembled_final", or "invalid_arguments" (told always)."""

    type: Literal["tool_call_debug"]
    stage: str
    tool: str
    id: str
    index: int
    args_summary: ToolArgsSummary


ToolCallDebugEvent: TypeAlias = (
    ToolCallDebugDeltaEvent
    | ToolCallDebugWarningEvent
    | ToolCallDebugAssembledEvent
    | ToolCallDebugStageEvent
)
StreamOutEvent: TypeAlias = AssistantDeltaEvent | AssistantReasoningDeltaEvent | ToolCallDeltaEvent
CoreEvent: TypeAlias = (
    AssistantFinalEvent
    | MessageSentEvent
    | RunAbortedEvent
    | ErrorEvent
    | DebugLatencyEvent
    | LaggedEvent
)
ToolEvent: TypeAlias = (
    ToolCallRequestEvent
    | ToolOutputEvent
    | ToolExitEvent
    | ApprovalRequestEvent
    | ChoiceRequestEvent
    | UnansweredEvent
)
EventPayload: TypeAlias = StreamOutEvent | CoreEvent | ToolEvent | ToolCallDebugEvent


def ev_message_sent() -> MessageSentEvent:
    """The model is about to be asked."""
    return {"type": "message_sent"}


def ev_assistant_delta(text: str, model: str | None = None) -> AssistantDeltaEvent:
    """A fragment of the answer."""
    return {"type": "assistant_delta", "text": text, "model": model}


def ev_assistant_reasoning_delta(
    text: str, model: str | None = None
) -> AssistantReasoningDeltaEvent:
    """A fragment of the reasoning."""
    return {"type": "assistant_reasoning_delta", "text": text, "model": model}


def ev_tool_call_delta(
    *,
    tool: str,
    args: str,
    delta_id: str,
    index: int | None = None,
    tool_call_id: str | None = None,
    preview: str | None = None,
) -> ToolCallDeltaEvent:
    """A fragment of a call. What is None is left out of the event."""
    event: ToolCallDeltaEvent = {
        "type": "tool_call_delta",
        "tool": tool,
        "args": args,
        "delta_id": delta_id,
    }
    if index is not None:
        event["index"] = index
    if tool_call_id:
        event["tool_call_id"] = tool_call_id
    if preview is not None:
        event["preview"] = preview
    return event


def ev_tool_call_request(
    *, tool: str, delta_id: str, future: asyncio.Future[Any]
) -> ToolCallRequestEvent:
    """A whole call, before it runs."""
    return {"type": "tool_call", "tool": tool, "delta_id": delta_id, "future": future}


def ev_approval_request(
    *,
    id: str,  # noqa: A002 the name of the key, part of the interface
    tool: str,
    args: dict[str, Any],
    future: asyncio.Future[Any],
    precheck: ApprovalPrecheckPayload,
) -> ApprovalRequestEvent:
    """A question whether a call may run."""
    return {
        "type": "approval_request",
        "id": id,
        "tool": tool,
        "args": args,
        "future": future,
        "precheck": precheck,
    }


def ev_choice_request(
    *,
    id: str,  # noqa: A002 the name of the key, part of the interface
    tool: str,
    prompt: str,
    choices: list[str],
    hint: str | None,
    future: asyncio.Future[Any],
) -> ChoiceRequestEvent:
    """A question that offers choices."""
    return {
        "type": "choice_request",
        "id": id,
        "tool": tool,
        "prompt": prompt,
        "choices": choices,
        "hint": hint,
        "future": future,
    }


def ev_unanswered(
    *,
    request: Literal["tool_call", "approval_request", "choice_request"],
    id: str,  # noqa: A002 the name of the key, part of the interface
    tool: str,
    decision: str,
) -> UnansweredEvent:
    """`decision`: what was done about a question that nobody took."""
    return {
        "type": "unanswered",
        "request": request,
        "id": id,
        "tool": tool,
        "decision": decision,
    }


def ev_lagged(missed: int) -> LaggedEvent:
    """In the place of `missed` events."""
    return {"type": "lagged", "missed": missed}


def ev_tool_output(*, stream: str, text: str) -> ToolOutputEvent:
    """What a tool says on `stream`, "stdout" or "stderr"."""
    return {"type": "tool_output", "stream": stream, "text": text}


def ev_tool_exit(code: int) -> ToolExitEvent:
    """A call has ended; 0 for success."""
    return {"type": "tool_exit", "code": code}


def ev_assistant_final(
    text: str, *, usage_data: dict[str, Any] | None = None, reasoning: str | None = None
) -> AssistantFinalEvent:
    """The end of a turn. What is None or empty, beside the text, is left out."""
    event: AssistantFinalEvent = {"type": "assistant_final", "text": text}
    if usage_data is not None:
        event["usage_data"] = usage_data
    if reasoning:
        event["reasoning"] = reasoning
    return event


def ev_run_aborted(reason: str = "cancelled") -> RunAbortedEvent:
    """The turn was cancelled."""
    return {"type": "run_aborted", "reason": reason}


def ev_error(
    error: str, *, exception_type: str | None = None, traceback_text: str | None = None
) -> ErrorEvent:
    """A turn has failed. What is None is left out."""
    event: ErrorEvent = {"type": "error", "error": error}
    if exception_type is not None:
        event["exception_type"] = exception_type
    if traceback_text is not None:
        event["traceback"] = traceback_text
    return event


def ev_debug_latency(*, stage: str, ms: float) -> DebugLatencyEvent:
    """`ms`: milliseconds from the input to this stage."""
    return {"type": "debug_latency", "stage": stage, "ms": ms}


def ev_tool_call_debug_delta(delta: dict[str, Any]) -> ToolCallDebugDeltaEvent:
    """A fragment of a call as it came."""
    return {"type": "tool_call_debug", "delta": delta}


def ev_tool_call_debug_assembled(assembled: list[dict[str, Any]]) -> ToolCallDebugAssembledEvent:
    """The calls of an answer, put together."""
    return {"type": "tool_call_debug", "assembled": assembled}


def ev_tool_call_debug_warning(warning: str) -> ToolCallDebugWarningEvent:
    """A fragment that belongs to no call."""
    return {"type": "tool_call_debug", "warning": warning}


def ev_tool_call_debug_stage(
    *,
    stage: str,
    tool: str,
    id: str,  # noqa: A002 the name of the key, part of the interface
    index: int,
    args_summary: ToolArgsSummary,
) -> ToolCallDebugStageEvent:
    """How a call stands."""
    return {
        "type": "tool_call_debug",
        "stage": stage,
        "tool": tool,
        "id": id,
        "index": index,
        "args_summary": args_summary,
    }
