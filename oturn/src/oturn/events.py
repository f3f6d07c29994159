"""The events that subscribers of `Oturn` get: plain dicts, one builder and one type for each.

Data, but for the `future` of a question (see `oturn.questions`). Nothing is published here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from oturn.tool_runtime_utils import ToolArgsSummary


class AssistantDeltaEvent(TypedDict):
    type: Literal["assistant_delta"]
    text: str
    model: str | None


class AssistantReasoningDeltaEvent(TypedDict):
    type: Literal["assistant_reasoning_delta"]
    text: str
    model: str | None


class ToolCallDeltaEvent(TypedDict):
    type: Literal["tool_call_delta"]
    tool: str
    args: str
    delta_id: str
    index: NotRequired[int]
    tool_call_id: NotRequired[str]
    preview: NotRequired[str]


class ToolCallRequestEvent(TypedDict):
    type: Literal["tool_call"]
    tool: str
    delta_id: str
    future: asyncio.Future[Any]


class ToolOutputEvent(TypedDict):
    type: Literal["tool_output"]
    stream: str
    text: str


class ToolExitEvent(TypedDict):
    type: Literal["tool_exit"]
    code: int


class ApprovalPrecheckPayload(TypedDict):
    status: str
    message: str | None
    reasons: list[str] | None
    metadata: dict[str, Any] | None


class ApprovalRequestEvent(TypedDict):
    type: Literal["approval_request"]
    id: str
    tool: str
    args: dict[str, Any]
    future: asyncio.Future[Any]
    precheck: ApprovalPrecheckPayload


class ChoiceRequestEvent(TypedDict):
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
    type: Literal["error"]
    error: str
    exception_type: NotRequired[str]
    traceback: NotRequired[str]


class AssistantFinalEvent(TypedDict):
    type: Literal["assistant_final"]
    text: str
    usage_data: NotRequired[dict[str, Any]]
    reasoning: NotRequired[str]


class MessageSentEvent(TypedDict):
    type: Literal["message_sent"]


class RunAbortedEvent(TypedDict):
    type: Literal["run_aborted"]
    reason: str


class DebugLatencyEvent(TypedDict):
    type: Literal["debug_latency"]
    stage: str
    ms: float


class ToolCallDebugDeltaEvent(TypedDict):
    type: Literal["tool_call_debug"]
    delta: dict[str, Any]


class ToolCallDebugWarningEvent(TypedDict):
    type: Literal["tool_call_debug"]
    warning: str


class ToolCallDebugAssembledEvent(TypedDict):
    type: Literal["tool_call_debug"]
    assembled: list[dict[str, Any]]


class ToolCallDebugStageEvent(TypedDict):
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
    return {"type": "message_sent"}


def ev_assistant_delta(text: str, model: str | None = None) -> AssistantDeltaEvent:
    return {"type": "assistant_delta", "text": text, "model": model}


def ev_assistant_reasoning_delta(
    text: str, model: str | None = None
) -> AssistantReasoningDeltaEvent:
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
    return {"type": "tool_call", "tool": tool, "delta_id": delta_id, "future": future}


def ev_approval_request(
    *,
    id: str,  # noqa: A002 the name of the key, part of the interface
    tool: str,
    args: dict[str, Any],
    future: asyncio.Future[Any],
    precheck: ApprovalPrecheckPayload,
) -> ApprovalRequestEvent:
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
    return {
        "type": "unanswered",
        "request": request,
        "id": id,
        "tool": tool,
        "decision": decision,
    }


def ev_lagged(missed: int) -> LaggedEvent:
    return {"type": "lagged", "missed": missed}


def ev_tool_output(*, stream: str, text: str) -> ToolOutputEvent:
    return {"type": "tool_output", "stream": stream, "text": text}


def ev_tool_exit(code: int) -> ToolExitEvent:
    return {"type": "tool_exit", "code": code}


def ev_assistant_final(
    text: str, *, usage_data: dict[str, Any] | None = None, reasoning: str | None = None
) -> AssistantFinalEvent:
    event: AssistantFinalEvent = {"type": "assistant_final", "text": text}
    if usage_data is not None:
        event["usage_data"] = usage_data
    if reasoning:
        event["reasoning"] = reasoning
    return event


def ev_run_aborted(reason: str = "cancelled") -> RunAbortedEvent:
    return {"type": "run_aborted", "reason": reason}


def ev_error(
    error: str, *, exception_type: str | None = None, traceback_text: str | None = None
) -> ErrorEvent:
    event: ErrorEvent = {"type": "error", "error": error}
    if exception_type is not None:
        event["exception_type"] = exception_type
    if traceback_text is not None:
        event["traceback"] = traceback_text
    return event


def ev_debug_latency(*, stage: str, ms: float) -> DebugLatencyEvent:
    return {"type": "debug_latency", "stage": stage, "ms": ms}


def ev_tool_call_debug_delta(delta: dict[str, Any]) -> ToolCallDebugDeltaEvent:
    return {"type": "tool_call_debug", "delta": delta}


def ev_tool_call_debug_assembled(assembled: list[dict[str, Any]]) -> ToolCallDebugAssembledEvent:
    return {"type": "tool_call_debug", "assembled": assembled}


def ev_tool_call_debug_warning(warning: str) -> ToolCallDebugWarningEvent:
    return {"type": "tool_call_debug", "warning": warning}


def ev_tool_call_debug_stage(
    *,
    stage: str,
    tool: str,
    id: str,  # noqa: A002 the name of the key, part of the interface
    index: int,
    args_summary: ToolArgsSummary,
) -> ToolCallDebugStageEvent:
    return {
        "type": "tool_call_debug",
        "stage": stage,
        "tool": tool,
        "id": id,
        "index": index,
        "args_summary": args_summary,
    }
