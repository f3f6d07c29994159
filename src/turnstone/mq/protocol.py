"""The wire of the queue: every message and event of 0.2, and the reading of foreign bytes.

The messages are in `inbound`, the events in `outbound`, and all are exported here, where
programs of 0.2 look for them. `parse` is what a worker uses on bytes that anybody may have
written: it believes nothing, and says in one sentence what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn

from turnstone.mq.entry import (
    CORRELATION_MAX,
    GIVEN,
    MESSAGE_MAX,
    NAME,
    check_text,
    is_correlation,
)
from turnstone.mq.errors import MalformedMessage
from turnstone.mq.inbound import (
    ApproveMessage,
    CancelMessage,
    CancelTimerMessage,
    CloseWorkstreamMessage,
    CommandMessage,
    CreateWorkstreamMessage,
    HealthMessage,
    InboundMessage,
    ListNodesMessage,
    ListTimersMessage,
    ListWorkstreamsMessage,
    PauseTimerMessage,
    PlanFeedbackMessage,
    SendMessage,
    made,
)
from turnstone.mq.labels import LABELS_WANTED, requirement
from turnstone.mq.outbound import (
    AckEvent,
    ApprovalRequestEvent,
    ClusterStateEvent,
    ContentEvent,
    ErrorEvent,
    HealthResponseEvent,
    InfoEvent,
    NodeListEvent,
    OutboundEvent,
    PlanReviewEvent,
    ReasoningEvent,
    StateChangeEvent,
    StatusEvent,
    StreamEndEvent,
    TimerListEvent,
    ToolInfoEvent,
    ToolResultEvent,
    TurnCompleteEvent,
    WorkstreamClosedEvent,
    WorkstreamCreatedEvent,
    WorkstreamListEvent,
    WorkstreamRenameEvent,
)

__all__ = [
    "AckEvent",
    "ApprovalRequestEvent",
    "ApproveMessage",
    "CancelMessage",
    "CancelTimerMessage",
    "CloseWorkstreamMessage",
    "ClusterStateEvent",
    "CommandMessage",
    "ContentEvent",
    "CreateWorkstreamMessage",
    "ErrorEvent",
    "HealthMessage",
    "HealthResponseEvent",
    "InboundMessage",
    "InfoEvent",
    "ListNodesMessage",
    "ListTimersMessage",
    "ListWorkstreamsMessage",
    "MalformedMessage",
    "NodeListEvent",
    "OutboundEvent",
    "PauseTimerMessage",
    "PlanFeedbackMessage",
    "PlanReviewEvent",
    "ReasoningEvent",
    "SendMessage",
    "StateChangeEvent",
    "StatusEvent",
    "StreamEndEvent",
    "TimerListEvent",
    "ToolInfoEvent",
    "ToolResultEvent",
    "TurnCompleteEvent",
    "WorkstreamClosedEvent",
    "WorkstreamCreatedEvent",
    "WorkstreamListEvent",
    "WorkstreamRenameEvent",
    "parse",
    "problem_of",
]


_TYPES = ", ".join(InboundMessage.types())


def parse(raw: bytes) -> InboundMessage:
    """The message of bytes that anybody may have written, with every field checked.

    Raises MalformedMessage. A missing correlation id stays empty here: the queue has given one
    by then, and says it beside the message.
    """
    data = _decoded(raw)
    known = InboundMessage.of_type(data.get("type"))
    if data.get("type") is None:
        raise MalformedMessage(f"The message has no type; there are {_TYPES}.")
    if known is None:
        raise MalformedMessage(
            f"There is no message of type {_shown(data.get('type'))}; there are {_TYPES}."
        )
    for f in fields(known):
        if f.name in data and f.name in _CHECKS:
            _CHECKS[f.name](f.name, data[f.name])
    if data.get("correlation_id") is None:
        data["correlation_id"] = ""
    return made(known, data)


def problem_of(raw: bytes) -> str:
    """Why these bytes are no message; empty if they are one."""
    try:
        parse(raw)
    except MalformedMessage as malformed:
        return malformed.reason
    return ""


def _decoded(raw: bytes) -> dict[str, Any]:
    if len(raw) > MESSAGE_MAX:
        raise MalformedMessage(
            f"The message has {len(raw)} bytes; at most {MESSAGE_MAX} are taken."
        )
    try:
        text = raw.decode()
        data = json.loads(text, parse_constant=_no_number)
        check_text(raw, data)
    except UnicodeError:
        raise MalformedMessage("The message is not UTF-8 text.") from None
    except RecursionError:
        raise MalformedMessage("The message is nested too deeply.") from None
    except ValueError as error:
        raise MalformedMessage(f"The message is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise MalformedMessage("The message is JSON, but not an object.")
    return data


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _shown(value: object) -> str:
    """A foreign value for a message: as JSON, cut to a line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _wrong(name: str, value: object, wanted: str) -> NoReturn:
    raise MalformedMessage(f"The field {name} must be {wanted}, not {_shown(value)}.")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        _wrong(name, value, "a string")


def _text_or_null(name: str, value: object) -> None:
    if value is not None:
        _text(name, value)


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        _wrong(name, value, "true or false")


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(name, value, "a number")


def _texts(name: str, value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        _wrong(name, value, "a list of strings")


def _place(name: str, value: object) -> None:
    _text(name, value)
    if value and not NAME.fullmatch(str(value)):
        _wrong(name, value, "1 to 128 letters, digits, points, hyphens or underscores")


def _way_out(name: str, value: object) -> None:
    if value not in ("", "error", "any"):
        _wrong(name, value, "error or any")


def _labels(name: str, value: object) -> None:
    if value != [] and not requirement(value):
        _wrong(name, value, f"a list of {LABELS_WANTED}")


def _correlation(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value.encode()) > CORRELATION_MAX:
        _wrong(name, value, f"a string of at most {CORRELATION_MAX} bytes")


def _own_correlation(name: str, value: object) -> None:
    _correlation(name, value)
    if value is not None and not is_correlation(value):
        _wrong(name, value, f"an id that does not begin with {GIVEN}, as those of the queue do")


_CHECKS: dict[str, Callable[[str, object], None]] = {
    "correlation_id": _own_correlation,
    "timestamp": _number,
    "ws_id": _place,
    "target_node": _place,
    "request_id": _text,
    "message": _text,
    "command": _text,
    "message_id": _correlation,
    "name": _text,
    "feedback": _text_or_null,
    "auto_approve": _flag,
    "approved": _flag,
    "always": _flag,
    "auto_approve_tools": _texts,
    "not_before": _number,
    "every": _text,
    "timezone": _text,
    "missed": _text,
    "until": _number,
    "timer_id": _text,
    "paused": _flag,
    "requires": _labels,
    "if_unavailable": _way_out,
}
