"""The messages that clients send, as the 0.2 wire has them (contract, section 3.1).

One dataclass for each type, with the names, the order and the defaults of 0.2. `from_json` is
as tolerant as 0.2 was, for programs written against it; a worker uses `protocol.parse` on bytes
that anybody may have written. Import these from `turnstone.mq.protocol`.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeAlias, TypeVar

_Message = TypeVar("_Message", bound="InboundMessage")

#: Of a field that 0.2 did not have: left out of the JSON where it says nothing, so that a message
#: that needs none of them has the bytes of 0.2.
LATER = {"later": True}

# In a class with a field of that name, `type` is the field.
_Type: TypeAlias = "type[InboundMessage]"
_Types: TypeAlias = "dict[str, type[InboundMessage]]"


def new_correlation_id() -> str:
    """12 lower-case hex digits (contract, section 0.1)."""
    return secrets.token_hex(6)


@dataclass
class InboundMessage:
    """What all messages carry; `timestamp` in Unix seconds."""

    type: str = ""
    correlation_id: str = field(default_factory=new_correlation_id)
    timestamp: float = field(default_factory=time.time)

    _types: ClassVar[_Types] = {}

    def __init_subclass__(cls) -> None:
        InboundMessage._types[str(cls.__dict__["type"])] = cls

    def to_json(self) -> str:
        """One object on one line, as Python encodes it by default."""
        said = asdict(self)
        unsaid = {f.name for f in fields(self) if f.metadata.get("later") and not said[f.name]}
        return json.dumps({name: value for name, value in said.items() if name not in unsaid})

    @classmethod
    def from_json(cls, text: str | bytes) -> InboundMessage:
        """The message of this JSON: unknown fields dropped, missing ones at their defaults, no
        types checked. Raises ValueError for an unknown type, and for what is no JSON object."""
        data = json.loads(text)
        kind = data.get("type") if isinstance(data, dict) else None
        known = cls.of_type(kind)
        if known is None:
            raise ValueError(f"there is no message of type {kind!r}")
        return made(known, data)

    @classmethod
    def types(cls) -> list[str]:
        """The types that there are."""
        return list(cls._types)

    @classmethod
    def of_type(cls, kind: object) -> _Type | None:
        """The class of this type of message."""
        return cls._types.get(kind) if isinstance(kind, str) else None


@dataclass
class SendMessage(InboundMessage):
    type: str = "send"
    ws_id: str = ""
    message: str = ""
    auto_approve: bool = False
    auto_approve_tools: list[str] = field(default_factory=list)
    name: str = ""
    target_node: str = ""
    requires: list[str] = field(default_factory=list, metadata=LATER)
    # When it is to be sent, if not at once: as in `turnstone.core.timers.NewTimer`.
    not_before: float = field(default=0.0, metadata=LATER)
    every: str = field(default="", metadata=LATER)
    timezone: str = field(default="", metadata=LATER)
    missed: str = field(default="", metadata=LATER)
    until: float = field(default=0.0, metadata=LATER)
    if_unavailable: str = field(default="", metadata=LATER)  # error (or nothing), any

    @property
    def timed(self) -> bool:
        """Whether it makes a timer."""
        return bool(self.not_before or self.every or self.until)


@dataclass
class ApproveMessage(InboundMessage):
    type: str = "approve"
    ws_id: str = ""
    request_id: str = ""
    approved: bool = True
    feedback: str | None = None
    always: bool = False


@dataclass
class PlanFeedbackMessage(InboundMessage):
    type: str = "plan_feedback"
    ws_id: str = ""
    request_id: str = ""
    feedback: str = ""


@dataclass
class CommandMessage(InboundMessage):
    type: str = "command"
    ws_id: str = ""
    command: str = ""


@dataclass
class CreateWorkstreamMessage(InboundMessage):
    type: str = "create_workstream"
    name: str = ""
    auto_approve: bool = False
    auto_approve_tools: list[str] = field(default_factory=list)
    target_node: str = ""
    requires: list[str] = field(default_factory=list, metadata=LATER)


@dataclass
class CloseWorkstreamMessage(InboundMessage):
    type: str = "close_workstream"
    ws_id: str = ""


@dataclass
class CancelMessage(InboundMessage):
    type: str = "cancel"
    ws_id: str = ""
    message_id: str = ""


@dataclass
class ListWorkstreamsMessage(InboundMessage):
    type: str = "list_workstreams"


@dataclass
class HealthMessage(InboundMessage):
    type: str = "health"


@dataclass
class ListNodesMessage(InboundMessage):
    type: str = "list_nodes"


@dataclass
class ListTimersMessage(InboundMessage):
    type: str = "list_timers"


@dataclass
class CancelTimerMessage(InboundMessage):
    type: str = "cancel_timer"
    timer_id: str = ""


@dataclass
class PauseTimerMessage(InboundMessage):
    type: str = "pause_timer"
    timer_id: str = ""
    paused: bool = True


def made(known: type[_Message], data: dict[str, Any]) -> _Message:
    """The message of these fields: unknown ones dropped, missing ones at their defaults."""
    return known(**{f.name: data[f.name] for f in fields(known) if f.name in data})
