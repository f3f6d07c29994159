"""From the history to what the chat-completions API takes. Pure.

Providers refuse a request in which a tool call has no result, or a result no call; so both
are put right here, whatever happened to the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from oturn.model import CompactRecord, Message, MessageTextRenderable, ToolCallInfo

Record: TypeAlias = Message | CompactRecord
ApiMessage: TypeAlias = dict[str, Any]


def to_api_messages(history: Iterable[Record]) -> list[ApiMessage]:
    """The messages for the API. After a compaction, its summary stands for all before it."""
    sent: list[ApiMessage] = []
    awaited: dict[str, None] = {}  # calls of the last assistant message that have no result yet
    for record in history:
        if isinstance(record, Message) and record.role == "tool":
            if record.tool_call_id in awaited:
                sent.append(_tool_message(record))
                del awaited[record.tool_call_id]
            continue
        sent += [_missing_result(call_id) for call_id in awaited]
        awaited = {}
        if isinstance(record, CompactRecord):
            sent = [{"role": "assistant", "content": record.value}]
        else:
            sent.append(_plain_message(record))
            awaited = dict.fromkeys(call.id for call in _calls(record))
    return [*sent, *(_missing_result(call_id) for call_id in awaited)]


def content_text(content: object) -> str:
    """How the model reads a content."""
    if isinstance(content, str):
        return content
    if isinstance(content, MessageTextRenderable):
        return content.to_message_text()
    dump = getattr(content, "model_dump", None)
    return str(content) if dump is None else json.dumps(dump(), ensure_ascii=False, default=str)


def _calls(message: Message) -> list[ToolCallInfo]:
    return (message.tool_calls or []) if message.role == "assistant" else []


def _plain_message(message: Message) -> ApiMessage:
    sent: ApiMessage = {"role": message.role, "content": content_text(message.content)}
    if message.name:
        sent["name"] = message.name
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    if message.reasoning_content:
        sent["reasoning_content"] = message.reasoning_content
    sent |= message.extra or {}
    calls = _calls(message)
    if calls:
        sent["tool_calls"] = [_call(call) for call in calls]
    return sent


def _call(call: ToolCallInfo) -> dict[str, Any]:
    arguments = call.function.arguments
    if not isinstance(arguments, str):
        arguments = json.dumps(
            arguments if isinstance(arguments, Mapping) else {}, ensure_ascii=False
        )
    return {
        "id": call.id,
        "type": call.type,
        "function": {"name": call.function.name, "arguments": arguments},
    }


def _tool_message(message: Message) -> ApiMessage:
    sent: ApiMessage = {
        "role": "tool",
        "tool_call_id": message.tool_call_id,
        "content": content_text(message.content),
    }
    if message.name:
        sent["name"] = message.name
    return sent


def _missing_result(call_id: str) -> ApiMessage:
    content = {"status": "failure", "data": None, "error": "tool_result_missing"}
    return {
        "role": "tool",
        "tool_call_id": call_id,
        "content": json.dumps(content),
        "name": "missing",
    }
