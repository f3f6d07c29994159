"""The events that workers publish, as the 0.2 wire has them (contract, section 3.2).

One dataclass for each type, with the names, the order and the defaults of 0.2. What we add to
an event (its id, for instance) is in its `extra`, and among its fields on the wire, where
programs of 0.2 drop it. Import these from `turnstone.mq.protocol`.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

#: Fields of ours on events of 0.2: where in the workstream's log the event stands, which node
#: and which turn it belongs to, and how a turn, or a call, ended.
ADDED = (
    "event_id",
    "seq",
    "node_id",
    "turn_correlation_id",
    "outcome",
    "call_id",
    "status",
    "code",
)


# In a class with a field of that name, `type` is the field.
_Types: TypeAlias = "dict[str, type[OutboundEvent]]"


@dataclass
class OutboundEvent:
    """What all events carry; `timestamp` in Unix seconds. As itself: an event of unknown type."""

    type: str = ""
    ws_id: str = ""
    correlation_id: str = ""
    timestamp: float = field(default_factory=time.time)

    _types: ClassVar[_Types] = {}

    def __init_subclass__(cls) -> None:
        OutboundEvent._types[str(cls.__dict__["type"])] = cls

    def __post_init__(self) -> None:
        self.extra: dict[str, Any] = {}

    @property
    def cursor(self) -> str:
        """The place of the event, behind which `follow` goes on; empty for one that has none."""
        place = self.extra.get("event_id")
        return f"{self.ws_id}:{place}" if place else ""

    def to_json(self) -> str:
        """One object on one line, as Python encodes it by default."""
        return json.dumps(asdict(self) | self.extra)

    @classmethod
    def from_json(cls, text: str | bytes) -> OutboundEvent:
        """The event of this JSON: an OutboundEvent if its type is unknown; unknown fields
        dropped, missing ones at their defaults. Raises ValueError for what is no JSON object."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("an event is a JSON object")  # noqa: TRY004 - as all that is no event
        kind = data.get("type")
        known = cls._types.get(kind, OutboundEvent) if isinstance(kind, str) else OutboundEvent
        names = {f.name for f in fields(known)}
        event = known(**{name: data[name] for name in names if name in data})
        event.extra = {name: data[name] for name in ADDED if name in data and name not in names}
        return event


@dataclass
class AckEvent(OutboundEvent):
    type: str = "ack"
    status: str = "ok"
    detail: str = ""


@dataclass
class ContentEvent(OutboundEvent):
    type: str = "content"
    text: str = ""


@dataclass
class ReasoningEvent(OutboundEvent):
    type: str = "reasoning"
    text: str = ""


@dataclass
class ToolInfoEvent(OutboundEvent):
    type: str = "tool_info"
    items: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ApprovalRequestEvent(OutboundEvent):
    """A question. Its `correlation_id` is the request id that an answer must name."""

    type: str = "approval_request"
    items: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ToolResultEvent(OutboundEvent):
    type: str = "tool_result"
    name: str = ""
    output: str = ""


@dataclass
class PlanReviewEvent(OutboundEvent):
    """A plan that waits. Its `correlation_id` is the request id that an answer must name."""

    type: str = "plan_review"
    content: str = ""


@dataclass
class StatusEvent(OutboundEvent):
    type: str = "status"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    context_window: int = 0
    pct: float = 0.0
    effort: str = ""


@dataclass
class StateChangeEvent(OutboundEvent):
    type: str = "state_change"
    state: str = ""


@dataclass
class TurnCompleteEvent(OutboundEvent):
    type: str = "turn_complete"


@dataclass
class StreamEndEvent(OutboundEvent):
    type: str = "stream_end"


@dataclass
class WorkstreamCreatedEvent(OutboundEvent):
    type: str = "ws_created"
    name: str = ""


@dataclass
class WorkstreamClosedEvent(OutboundEvent):
    type: str = "ws_closed"


@dataclass
class WorkstreamListEvent(OutboundEvent):
    type: str = "ws_list"
    workstreams: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class WorkstreamRenameEvent(OutboundEvent):
    type: str = "ws_rename"
    name: str = ""


@dataclass
class HealthResponseEvent(OutboundEvent):
    type: str = "health_response"
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class ErrorEvent(OutboundEvent):
    type: str = "error"
    message: str = ""


@dataclass
class InfoEvent(OutboundEvent):
    type: str = "info"
    message: str = ""


@dataclass
class NodeListEvent(OutboundEvent):
    type: str = "node_list"
    nodes: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class TimerListEvent(OutboundEvent):
    type: str = "timer_list"
    timers: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ClusterStateEvent(OutboundEvent):
    type: str = "cluster_state"
    state: str = ""
    node_id: str = ""
    tokens: int = 0
    context_ratio: float = 0.0
    activity: str = ""
    activity_state: str = ""
