"""The one vocabulary of a workstream: every record of its journal and every live event.

An event is defined here once, and crosses journal, live log, HTTP, Redis and browser as the
same flat JSON object (its *envelope*): the fields of its class, `type`, and the four common
fields of `Event`. Nobody re-spells it; the names of the 0.2 wire that differ are in one
table at the edge (`turnstone.api.wire02`). Pure: no clock, no I/O.

Some events are records (`JOURNALED`): they are kept for ever, and everything else (the
transcript, the REST views, what the model is sent) is a fold of them. The rest are live
only: fragments of text while they stream, states, notices.

They stand in three files: the records of a turn (`turn_events`), those of the workstream as a
whole (`workstream_events`), and the live ones (`live_events`). This one gives all of them on.

An event's id is `<seq>-<n>`: the journal's last sequence number when it was made, and the
position since. Records have n = 0. Ids rise strictly within a workstream, across restarts too.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias, TypeVar

import msgspec

from turnstone.core.event_base import (
    STATES,
    Attached,
    Budget,
    CallDecision,
    EffectClass,
    Event,
    EventId,
    Grant,
    HistoryMessage,
    Left,
    Origin,
    Outcome,
    Shortened,
    Shown,
    State,
    StopOutcome,
    ToolCallRecord,
    ToolItem,
    ToolStatus,
    Usage,
)
from turnstone.core.live_events import (
    AgentProgress,
    BusyError,
    ClearUi,
    Connected,
    Content,
    Error,
    History,
    Info,
    Reasoning,
    Status,
    StreamReset,
    ToolOutput,
    Truncated,
    WsState,
)
from turnstone.core.turn_events import (
    ApprovalAnswered,
    ApprovalAsked,
    BudgetReserved,
    BudgetSettled,
    CallsDecided,
    CancelRequested,
    MessageAccepted,
    PlanAnswered,
    PlanAsked,
    RequestCounted,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnLeft,
    TurnResumed,
)
from turnstone.core.workstream_events import (
    BudgetSet,
    CommandDone,
    Compacted,
    ConversationSet,
    GrantRevoked,
    PromptSet,
    SettingsChanged,
    Tainted,
    Titled,
    WsClosed,
    WsCreated,
    WsRename,
    WsReopened,
)

__all__ = [
    "JOURNALED",
    "STATES",
    "AgentProgress",
    "AnyEvent",
    "ApprovalAnswered",
    "ApprovalAsked",
    "Attached",
    "Budget",
    "BudgetReserved",
    "BudgetSet",
    "BudgetSettled",
    "BusyError",
    "CallDecision",
    "CallsDecided",
    "CancelRequested",
    "ClearUi",
    "CommandDone",
    "Compacted",
    "Connected",
    "Content",
    "ConversationSet",
    "EffectClass",
    "Error",
    "Event",
    "EventId",
    "EventT",
    "Grant",
    "GrantRevoked",
    "History",
    "HistoryMessage",
    "Info",
    "Left",
    "MessageAccepted",
    "Origin",
    "Outcome",
    "PlanAnswered",
    "PlanAsked",
    "PromptSet",
    "Reasoning",
    "RequestCounted",
    "SettingsChanged",
    "Shortened",
    "Shown",
    "State",
    "Status",
    "StepFailed",
    "StepFinished",
    "StepStarted",
    "StopOutcome",
    "StreamReset",
    "Tainted",
    "Titled",
    "ToolCallRecord",
    "ToolFinished",
    "ToolItem",
    "ToolOutput",
    "ToolStarted",
    "ToolStatus",
    "Truncated",
    "TurnEnded",
    "TurnLeft",
    "TurnResumed",
    "Usage",
    "WsClosed",
    "WsCreated",
    "WsRename",
    "WsReopened",
    "WsState",
    "decode",
    "encode",
    "sound",
]

AnyEvent: TypeAlias = (
    WsCreated
    | MessageAccepted
    | TurnResumed
    | TurnLeft
    | StepStarted
    | StepFinished
    | StepFailed
    | ApprovalAsked
    | ApprovalAnswered
    | CallsDecided
    | ToolStarted
    | ToolFinished
    | CancelRequested
    | TurnEnded
    | PlanAsked
    | PlanAnswered
    | BudgetReserved
    | BudgetSettled
    | RequestCounted
    | ConversationSet
    | Compacted
    | PromptSet
    | SettingsChanged
    | CommandDone
    | Titled
    | BudgetSet
    | Tainted
    | GrantRevoked
    | WsRename
    | WsReopened
    | WsClosed
    | Content
    | Reasoning
    | StreamReset
    | ToolOutput
    | Status
    | Info
    | Error
    | BusyError
    | Connected
    | Truncated
    | History
    | WsState
    | AgentProgress
    | ClearUi
)

JOURNALED: tuple[type[Event], ...] = (
    WsCreated,
    MessageAccepted,
    TurnResumed,
    TurnLeft,
    StepStarted,
    StepFinished,
    StepFailed,
    ApprovalAsked,
    ApprovalAnswered,
    CallsDecided,
    ToolStarted,
    ToolFinished,
    CancelRequested,
    TurnEnded,
    PlanAsked,
    PlanAnswered,
    BudgetReserved,
    BudgetSettled,
    RequestCounted,
    ConversationSet,
    Compacted,
    PromptSet,
    SettingsChanged,
    CommandDone,
    Titled,
    BudgetSet,
    Tainted,
    GrantRevoked,
    WsRename,
    WsReopened,
    WsClosed,
)

_HALVES = re.compile("[\ud800-\udfff]")

EventT = TypeVar("EventT", bound=Event)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """The envelope: one JSON object on one line."""
    return _encoder.encode(event)


def sound(event: EventT) -> EventT:
    """The event, fit to be encoded: halves of characters (lone surrogates) become U+FFFD.

    They come from models, file names and keyboards, have no UTF-8, and must not stop a turn.
    """
    try:
        _encoder.encode(event)
    except UnicodeEncodeError:
        return msgspec.convert(_without_halves(msgspec.to_builtins(event)), type(event))
    return event


def _without_halves(value: Any) -> Any:
    match value:
        case str():
            return _HALVES.sub("\N{REPLACEMENT CHARACTER}", value)
        case list():
            return [_without_halves(part) for part in value]
        case dict():
            return {_without_halves(key): _without_halves(part) for key, part in value.items()}
    return value


def decode(data: bytes | str) -> AnyEvent:
    """The event of an envelope; unknown fields are dropped.

    Raises msgspec.ValidationError for an unknown type or a field of the wrong type, and
    msgspec.DecodeError for bytes that are no JSON.
    """
    return _decoder.decode(data)
