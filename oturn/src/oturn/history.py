"""From the history to what the chat-completions API takes. Pure.

Providers refuse a request in which a tool call has no result, or a result no call; so both
are put right here, whatever happened to the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import is_
from typing import Any, TypeAlias

from pydantic import ValidationError

from oturn.arguments import sendable_arguments
from oturn.model import CompactRecord, Message, MessageTextRenderable, ToolCallInfo

Record: TypeAlias = Message | CompactRecord
ApiMessage: TypeAlias = dict[str, Any]
_Looks: TypeAlias = tuple[object, tuple[object, ...], tuple[object, ...]]

_NO_FIELDS: Mapping[str, object] = {}


def to_api_messages(history: Iterable[object]) -> list[ApiMessage]:
    """The messages for the API. After a compaction, its summary stands for all before it."""
    return ApiMessages().of(list(history))


class ApiMessages:
    """Follows a history that grows, and converts each record once.

    Whatever else became of the history (restored, forked, cut, a record replaced or a field of
    one set) is noticed, and it is converted anew. A list or dict that is changed in its place,
    deep in a record that was sent, is not noticed: set the field anew.
    """

    def __init__(self) -> None:
        self._begin()

    def of(self, history: Sequence[object]) -> list[ApiMessage]:
        """The messages for the API. A new list of dicts that are shared with later ones."""
        if not self._has_followed(history):
            self._begin()
        for place in range(self._start + len(self._taken), len(history)):
            self._take(place, history[place])
        return [*self._sent, *(_missing_result(call_id) for call_id in self._awaited)]

    def _begin(self) -> None:
        self._start = 0  # the place of the newest compaction; what is before it is not sent
        self._taken: list[_Looks] = []  # the records from there on, as they were
        self._sent: list[ApiMessage] = []
        self._awaited: dict[str, None] = {}  # calls of the last assistant without a result yet

    def _has_followed(self, history: Sequence[object]) -> bool:
        if len(history) < self._start + len(self._taken):
            return False
        followed = islice(history, self._start, self._start + len(self._taken))
        return all(map(_unchanged, followed, self._taken))

    def _take(self, place: int, given: object) -> None:
        record = _record(given)
        if isinstance(record, CompactRecord):
            self._begin()
            self._start = place
        self._taken.append(_looks(given))
        if record is None:
            return
        if isinstance(record, Message) and record.role == "tool":
            if record.tool_call_id in self._awaited:
                self._sent.append(_tool_message(record))
                del self._awaited[record.tool_call_id]
            return
        self._sent += [_missing_result(call_id) for call_id in self._awaited]
        self._awaited = {}
        if isinstance(record, CompactRecord):
            self._sent.append({"role": "assistant", "content": record.value})
        else:
            self._sent.append(_plain_message(record))
            self._awaited = dict.fromkeys(call.id for call in _calls(record))


def content_text(content: object) -> str:
    """How the model reads a content."""
    if isinstance(content, str):
        return content
    if isinstance(content, MessageTextRenderable):
        return content.to_message_text()
    dump = getattr(content, "model_dump", None)
    return str(content) if dump is None else json.dumps(dump(), ensure_ascii=False, default=str)


def _record(given: object) -> Record | None:
    """A record, also one that a file held without its type; None for what says nothing."""
    if isinstance(given, (Message, CompactRecord)):
        return given
    if not isinstance(given, Mapping):
        return None
    if given.get("type") == "compact":
        return CompactRecord(value=str(given.get("value") or ""))
    try:
        return Message.model_validate(dict(given))
    except ValidationError:
        return None


def _looks(given: object) -> _Looks:
    """The record and its fields, by identity: enough to see that one was set anew."""
    fields = _fields(given)
    return given, tuple(fields.values()), tuple(_fields(fields.get("content")).values())


def _fields(given: object) -> Mapping[str, object]:
    return getattr(given, "__dict__", _NO_FIELDS)


def _unchanged(given: object, looks: _Looks) -> bool:
    """For each request all records are looked at, so nothing is built for it."""
    record, before, content_before = looks
    if given is not record:
        return False
    if not before:
        return True
    fields = _fields(given)
    return _same(fields, before) and (
        not content_before or _same(_fields(fields["content"]), content_before)
    )


def _same(fields: Mapping[str, object], before: tuple[object, ...]) -> bool:
    return len(fields) == len(before) and all(map(is_, fields.values(), before))


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
    arguments = sendable_arguments(call.function.arguments)
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
