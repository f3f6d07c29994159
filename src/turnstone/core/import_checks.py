"""What a file says of a conversation, made fit to be gone on with. Pure.

Nobody knows who wrote a file. What no model server takes is refused, where it has no meaning
here, or mended and told: no call without a result is left, and no result without a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from oturn.arguments import sendable_arguments
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import HistoryMessage
from turnstone.core.exporting import Exported
from turnstone.core.naming import is_name, named

#: What stands for a result that is not there: no provider takes a call without one.
NO_RESULT = "[the result of this call was not kept]"

#: Characters of an id that is told.
_SHOWN = 40


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _User(msgspec.Struct, tag_field="role", tag="user", forbid_unknown_fields=True):
    content: str
    images: list[str] = []


class _Assistant(msgspec.Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True):
    content: str
    tool_calls: list[_Call] = []


class _Result(msgspec.Struct, tag_field="role", tag="tool", forbid_unknown_fields=True):
    tool_call_id: str
    content: str
    images: list[str] = []


_Sent: TypeAlias = _User | _Assistant | _Result


def mended(session: Exported, source: str, notes: list[str]) -> Exported:
    """The session with a result for each call, a call for each result, and names that can be
    shown. What had to be changed for that is told in `notes`. A sound one stays as it is.

    Raises InvalidRequest for a message that no conversation of ours has, and says which one of
    the file `source` it is.
    """
    try:
        msgspec.convert(session.messages, list[_Sent])
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"{source} holds a message that no model server takes: {error} of its messages.",
            hint="Nothing of it was imported. Export the session anew.",
        ) from error
    told: dict[str, None] = {}
    history = _closed(msgspec.to_builtins(session.history), {"status": "unknown"}, told)
    messages = [_sendable(message) for message in _closed(session.messages, {}, told)]
    alias = session.alias.strip()
    if not is_name(alias):
        told[f"its alias is no name here, and it comes without: {named(alias)!r}"] = None
        alias = ""
    name, title = (
        text if is_name(text) else _renamed(text, told) for text in (session.name, session.title)
    )
    notes += [f"session {session.session_id}: {what}" for what in told]
    return msgspec.structs.replace(
        session,
        alias=alias,
        name=name,
        title=title,
        messages=messages,
        history=msgspec.convert(history, list[HistoryMessage]),
    )


def _renamed(text: str, told: dict[str, None]) -> str:
    told[f"a name of it is no single line, or too long: it is called {named(text)!r}"] = None
    return named(text)


def _closed(
    said: Sequence[dict[str, Any]], beside: Mapping[str, str], told: dict[str, None]
) -> list[dict[str, Any]]:
    """`beside`: what goes with a result that was missing."""
    whole: list[dict[str, Any]] = []
    due: list[str] = []

    def close() -> None:
        for call_id in due:
            told[f"the result of call {_id(call_id)} was missing"] = None
            result = {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}
            whole.append({**result, **beside})
        due.clear()

    for message in said:
        if message["role"] == "tool":
            if message["tool_call_id"] in due:
                due.remove(message["tool_call_id"])
                whole.append(message)
            else:
                what = f"a result of no call was left out: {_id(message['tool_call_id'])}"
                told[what] = None
            continue
        close()
        calls = message.get("tool_calls") or []
        kept = list({call["id"]: call for call in reversed(calls) if call["id"]}.values())[::-1]
        kept = kept if message["role"] == "assistant" else []
        if len(kept) < len(calls):
            told["a call without an id, with that of another, or of a person was left out"] = None
        due += [call["id"] for call in kept]
        whole.append(message if len(kept) == len(calls) else message | {"tool_calls": kept})
    close()
    return whole


def _sendable(message: dict[str, Any]) -> dict[str, Any]:
    """Of the messages that a model is sent: no empty list of calls, arguments that are JSON."""
    if "tool_calls" not in message:
        return message
    without = {key: value for key, value in message.items() if key != "tool_calls"}
    calls = [_sendable_call(call) for call in message["tool_calls"]]
    return without | ({"tool_calls": calls} if calls else {})


def _sendable_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return call | {
        "function": function | {"arguments": sendable_arguments(function["arguments"])},
    }


def _id(call_id: str) -> str:
    return repr(call_id[:_SHOWN])
