"""How the end of a tool call reads, to the model and in the events. Pure."""

from __future__ import annotations

from typing import Any

from oturn.events import (
    ToolCallDebugEvent,
    ToolEvent,
    ev_tool_call_debug_stage,
    ev_tool_exit,
    ev_tool_output,
)
from oturn.model import ToolMessageContent
from oturn.signals import ToolCall, ToolFinished, ToolStatus
from oturn.tool_runtime_utils import summarize_tool_arguments
from oturn.tools.base import STATUS_DENIED, STATUS_SUCCESS, ToolResult

UNKNOWN_TOOL = "unknown_tool"
INVALID_ARGUMENTS = "invalid_tool_arguments_json"


def finished(call: ToolCall, result: ToolResult, info: dict[str, Any]) -> ToolFinished:
    """The signal that a tool's result stands for. `info`: what `on_denial` gave."""
    content = _content(call, result, info)
    status: ToolStatus = "error"
    if result.success:
        status = "ok"
    elif result.status == STATUS_DENIED:
        status = "denied"
    needs_input = result.needs_user_input and not result.success
    return ToolFinished(call.id, status, content.to_message_text(), needs_input, content)


def unknown_tool(call: ToolCall, available: list[str]) -> ToolFinished:
    """The result of a call of a tool that does not exist, with those that do."""
    content = ToolMessageContent(
        status="failure",
        error=UNKNOWN_TOOL,
        data={
            "message": f"There is no tool {call.name!r}.",
            "received": {"name": call.name, "arguments": call.arguments},
            "available_tools": available,
            "hint": "Call one of the available tools by its exact name.",
        },
    )
    return ToolFinished(call.id, "error", content.to_message_text(), detail=content)


def content_of(call: ToolCall, signal: ToolFinished) -> ToolMessageContent:
    """What the history keeps of a result, also of one that no tool gave."""
    if isinstance(signal.detail, ToolMessageContent):
        return signal.detail
    if signal.status == "invalid":
        received = {"name": call.name, "arguments": call.arguments}
        data = {"message": signal.text, "received": received}
        return ToolMessageContent(status="failure", error=INVALID_ARGUMENTS, data=data)
    metadata = {"tool": call.name, "outcome": signal.status}
    return ToolMessageContent(status="failure", error=signal.text, metadata=metadata)


def events_of(
    call: ToolCall, place: int, signal: ToolFinished
) -> list[ToolEvent | ToolCallDebugEvent]:
    """What subscribers are told of a result: nothing of success, nor after a cancel."""
    content = content_of(call, signal)
    if signal.status == "invalid":
        summary = summarize_tool_arguments(call.arguments)
        stage = ev_tool_call_debug_stage(
            stage="invalid_arguments",
            tool=call.name,
            id=call.id,
            index=place,
            args_summary=summary,
        )
        return [stage]
    if signal.status in ("ok", "cancelled") or content.error == UNKNOWN_TOOL:
        return []
    return [
        ev_tool_output(stream="stdout", text=f"{content.to_message_text()}\n"),
        ev_tool_output(stream="stderr", text=f"{content.error}\n"),
        ev_tool_exit(1),
    ]


def _content(call: ToolCall, result: ToolResult, info: dict[str, Any]) -> ToolMessageContent:
    if result.success:
        return ToolMessageContent(
            status=STATUS_SUCCESS,
            data=result.content,
            error=result.error,
            metadata=result.metadata,
        )
    reasons = (result.metadata or {}).get("reasons")
    return ToolMessageContent(
        status="failure",
        data=result.metadata,
        error=result.error or "The tool failed and gave no reason.",
        metadata=result.metadata or {"tool": call.name, "reasons": reasons or None},
        info=info,
    )
