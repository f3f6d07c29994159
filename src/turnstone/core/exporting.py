"""A session as a file, and back: JSON, or the Markdown that oturn keeps sessions in. No I/O.

A file holds the conversation as readers see it and, where that differs, as the model is sent
it, and what it has read from outside. What is read back is equal to what was written, in all of
it. Permissions, costs and the journal itself are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from oturn.model import FunctionInfo, Message, ToolCallInfo
from oturn.session_format import SessionFormatError
from oturn.session_format_read import StoredRecord, parse
from oturn.session_records import write_item
from turnstone.core.conversation import Conversation
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import (
    Event,
    HistoryMessage,
    Shown,
    ToolCallRecord,
    ToolFinished,
)
from turnstone.core.host import ExportFormat
from turnstone.core.naming import is_name
from turnstone.core.transcript import Transcript

_MESSAGE = "pydantic:oturn.model.Message"
_HEADER = "turnstone_session"
_VERSION = 1

#: The last record of Markdown, with the count of messages: without it a file that was cut off
#: between two records is no different from a whole one.
_END = "turnstone_end"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of a session. `created` and `updated` in Unix seconds; 0: it does not say.

    `turnstone_session` is 0 for a file of oturn: those have no end mark.
    """

    turnstone_session: int = _VERSION
    session_id: str = ""
    name: str = ""
    alias: str = ""
    title: str = ""
    created: float = 0.0
    updated: float = 0.0
    workspace: str = ""
    messages: list[dict[str, Any]] = []  # as the model is sent them
    history: list[HistoryMessage] = []  # as a reader is shown them
    tainted: list[str] | None = None  # what it has read from outside; None: the file does not say


def exported(records: Iterable[Event]) -> Exported:
    """The session of a journal, as it is now. A call without a result is left out."""
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
    messages, history = transcript.conversation.whole()
    summary, created = transcript.summary, transcript.created
    return Exported(
        session_id=summary.session_id or created.session_id,
        name=summary.name,
        alias=summary.alias,
        title=transcript.title,
        created=created.timestamp,
        updated=summary.updated,
        workspace=created.workspace,
        messages=messages,
        history=[msgspec.structs.replace(m, correlation_id="") for m in history],
        tainted=list(transcript.tainted),
    )


def written(records: Iterable[Event], form: ExportFormat) -> str:
    """The file of a session. Raises InvalidRequest where nothing was said in it yet."""
    session = exported(records)
    if not session.history:
        raise InvalidRequest(
            f"Session {session.session_id} holds no conversation: there is nothing to export."
        )
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(session), indent=2).decode() + "\n"
    return markdown(session)


def markdown(session: Exported) -> str:
    """The same, as oturn reads it: a record about the session, its messages, and an end mark."""
    about = msgspec.to_builtins(session)
    del about["messages"], about["history"]
    items: list[Any] = [about, *map(_message, session.history)]
    if _sent(session.history) != session.messages:
        items.append({"sent": session.messages})
    items.append({_END: len(session.history)})
    return "\n".join(map(write_item, items))


def read(text: str, name: str) -> Exported:
    """The session of a file, of either format. Raises InvalidRequest, which names the file."""
    try:
        if text.lstrip("\ufeff \t\r\n").startswith("{"):
            session = msgspec.json.decode(text.removeprefix("\ufeff"), type=Exported)
        else:
            session = _from_markdown(text, name)
    except (msgspec.DecodeError, SessionFormatError, ValueError) as error:
        raise InvalidRequest(
            f"{name} is no session that was exported: {error}.",
            hint="It must be a file of `turnstone export`, of oturn, or a .turnstone.db of 0.2.",
        ) from error
    if session.turnstone_session > _VERSION:
        raise InvalidRequest(
            f"{name} was written by a newer turnstone (form {session.turnstone_session})."
        )
    if not session.history:
        raise InvalidRequest(f"{name} holds no conversation.")
    if not is_name(session.session_id):
        raise InvalidRequest(
            f"{name} says an id of its session that is none: {session.session_id[:40]!r}.",
            hint="It must be one line of up to 100 characters.",
        )
    if not session.session_id.strip():
        return msgspec.structs.replace(session, session_id=_digest(text))
    return session


def _from_markdown(text: str, name: str) -> Exported:
    records = parse(text).records
    about: dict[str, Any] = {}
    end: object = None
    sent: list[dict[str, Any]] | None = None
    history: list[HistoryMessage] = []
    for record in records:
        if record.kind == _MESSAGE:
            history += _read_message(record)
        elif isinstance(record.data, dict) and _HEADER in record.data:
            about = record.data
        elif isinstance(record.data, dict) and "sent" in record.data:
            sent = record.data["sent"]
        elif isinstance(record.data, dict) and _END in record.data:
            end = record.data[_END]
    if not about:
        about = {_HEADER: 0}
    elif end != len(history):
        raise _incomplete(name, end, len(history))
    messages = _sent(history) if sent is None else sent
    whole = about | {"messages": messages, "history": msgspec.to_builtins(history)}
    return msgspec.convert(whole, Exported)


def _digest(text: str) -> str:
    """The id of a session whose file says none: the same each time that it is read."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _incomplete(name: str, end: object, count: int) -> InvalidRequest:
    if end is None:
        told = f"{name} is cut off behind {count} message(s): its end mark is missing."
    else:
        told = f"{name} holds {count} message(s), and its end mark says {end}."
    return InvalidRequest(
        f"{told} Nothing of it was imported.", hint="Export the session anew, or copy the file."
    )


def _message(message: HistoryMessage) -> Message:
    calls = [
        ToolCallInfo(call.id, "function", FunctionInfo(call.name, call.arguments))
        for call in message.tool_calls
    ]
    extra: dict[str, Any] = {}
    if message.status:
        extra["status"] = message.status
    if message.said:
        extra["said"] = message.said
    if message.timestamp:
        extra["timestamp"] = message.timestamp
    if message.shown != Shown():
        extra["shown"] = msgspec.to_builtins(message.shown)
    return Message(
        role=message.role,
        content=message.content,
        tool_calls=calls or None,
        tool_call_id=message.tool_call_id or None,
        extra=extra or None,
    )


def _read_message(record: StoredRecord) -> list[HistoryMessage]:
    """A message of ours, or of oturn itself; what a system said is no part of a conversation."""
    message = Message.model_validate(record.data)
    if message.role == "system":
        return []
    said = message.content
    text = said if isinstance(said, str) else _text_of(said)
    calls = [_call(call) for call in message.tool_calls or ()]
    extra = message.extra or {}
    return [
        HistoryMessage(
            role=message.role,
            content=text,
            tool_calls=calls,
            tool_call_id=message.tool_call_id or "",
            status=str(extra.get("status", "")),
            said=str(extra.get("said", "")),
            timestamp=msgspec.convert(extra.get("timestamp", 0.0), float),
            shown=msgspec.convert(extra.get("shown", {}), Shown),
        )
    ]


def _text_of(content: object) -> str:
    say = getattr(content, "to_message_text", None)
    return str(say()) if callable(say) else str(content)


def _call(call: ToolCallInfo) -> ToolCallRecord:
    arguments = call.function.arguments
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments if arguments is not None else {}).decode()
    return ToolCallRecord(call.id, call.function.name, arguments)


def _sent(history: Iterable[HistoryMessage]) -> list[dict[str, Any]]:
    """What a model is sent of a conversation that was never shortened."""
    said = Conversation()
    for message in history:
        if message.role == "tool":
            result = ToolFinished(call_id=message.tool_call_id, output=message.content)
            said.returned([result])
        else:
            said.say(message.role, message.content, message.tool_calls, shown=message.shown)
    return said.messages
