"""The one translation from our events to what the 0.2 queue wire says of a workstream. Pure.

Content becomes content, `turn_ended` becomes `turn_complete`, and so on; what 0.2 had no word
for is left out, or passes under our own name, which its clients ignore. Streamed events carry
the correlation id of their turn, where 0.2 left it empty, and where in the log they stand.
`CHANNELS` says on which channels a worker publishes an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar, cast

import msgspec

from turnstone.core import events as ours
from turnstone.core.errors import StoreError
from turnstone.core.events import Event, EventId
from turnstone.mq import outbound as wire
from turnstone.mq.outbound import OutboundEvent

Channel: TypeAlias = Literal["ws", "global", "cluster"]

#: Where 0.2 clients and consoles look for an event (contract, section 3.2); the rest is on the
#: workstream's own channel only.
CHANNELS: dict[str, tuple[Channel, ...]] = {
    "state_change": ("ws", "global"),
    "ws_created": ("global", "cluster"),
    "ws_closed": ("global", "cluster"),
    "ws_rename": ("global", "cluster"),
    "ws_list": ("global",),
    "health_response": ("global",),
    "node_list": ("global",),
    "timer_list": ("global",),
    "cluster_state": ("cluster",),
}

_O = TypeVar("_O", bound=OutboundEvent)


def outbound(event: Event, node_id: str = "") -> list[OutboundEvent]:
    """The events of 0.2 that say the same, in their order; empty where it had none.

    `node_id` is the node that the event comes from: a state is told to consoles with it.
    """
    translate = _TABLE.get(type(event))
    if translate is None:
        return []
    told = translate(event)
    if isinstance(event, ours.WsState):
        told.append(_cluster_state(event, node_id))
    for one in told:
        _place(one, event, node_id)
    return told


def channels(event: OutboundEvent) -> tuple[Channel, ...]:
    return CHANNELS.get(event.type, ("ws",))


def refusal(message: str, correlation_id: str, ws_id: str = "") -> list[OutboundEvent]:
    """What the sender of a message is told that will not be run: why, and that this was all."""
    return [
        wire.ErrorEvent(ws_id=ws_id, correlation_id=correlation_id, message=message),
        wire.TurnCompleteEvent(ws_id=ws_id, correlation_id=correlation_id),
    ]


def _place(told: OutboundEvent, event: Event, node_id: str) -> None:
    """The fields that all events have: who, which turn, when, and where in the log."""
    told.ws_id = event.ws_id
    told.correlation_id = told.correlation_id or event.correlation_id
    if event.timestamp:
        told.timestamp = event.timestamp
    if event.id:
        told.extra |= {"event_id": event.id, "seq": EventId.parse(event.id).seq}
    if node_id and told.type in {"ws_created", "ws_closed"}:
        told.extra["node_id"] = node_id


def _items(items: list[ours.ToolItem]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", msgspec.to_builtins(items))


def _with(told: _O, **extra: object) -> _O:
    told.extra |= extra
    return told


def _tool_started(event: ours.ToolStarted) -> list[OutboundEvent]:
    """0.2 showed a call either before its approval or at its start, never twice."""
    if event.item is None or event.item.needs_approval:
        return []
    return [_with(wire.ToolInfoEvent(items=_items([event.item])), call_id=event.call_id)]


def _approval_asked(event: ours.ApprovalAsked) -> list[OutboundEvent]:
    asked = wire.ApprovalRequestEvent(correlation_id=event.request_id, items=_items(event.items))
    return [_with(asked, turn_correlation_id=event.correlation_id)]


def _plan_asked(event: ours.PlanAsked) -> list[OutboundEvent]:
    asked = wire.PlanReviewEvent(correlation_id=event.request_id, content=event.content)
    return [_with(asked, turn_correlation_id=event.correlation_id)]


def _tool_finished(event: ours.ToolFinished) -> list[OutboundEvent]:
    told = wire.ToolResultEvent(name=event.name, output=event.output)
    return [_with(told, call_id=event.call_id, status=event.status)]


def _status(event: ours.Status) -> list[OutboundEvent]:
    return [
        wire.StatusEvent(
            prompt_tokens=event.prompt_tokens,
            completion_tokens=event.completion_tokens,
            total_tokens=event.total_tokens,
            context_window=event.context_window,
            pct=event.pct,
            effort=event.effort,
        )
    ]


def _error(event: ours.Error) -> list[OutboundEvent]:
    if event.code == StoreError.code:  # no error of the turn, which goes on later
        return [wire.InfoEvent(message=event.message)]
    told = wire.ErrorEvent(message=event.message)
    return [_with(told, code=event.code) if event.code else told]


def _turn_ended(event: ours.TurnEnded) -> list[OutboundEvent]:
    """A failed turn ends too: with an error, so that who waits for it knows what it was."""
    told: list[OutboundEvent] = []
    if event.outcome == "failed":
        told.append(wire.ErrorEvent(message=event.reason or "The turn failed."))
    elif event.outcome != "done" and event.reason:
        told.append(wire.InfoEvent(message=event.reason))
    return [*told, _with(wire.TurnCompleteEvent(), outcome=event.outcome)]


def _cluster_state(event: ours.WsState, node_id: str) -> OutboundEvent:
    return wire.ClusterStateEvent(
        state=event.state,
        node_id=node_id,
        tokens=event.tokens,
        context_ratio=event.context_ratio,
        activity=event.activity,
        activity_state=event.activity_state,
    )


_TABLE: dict[type[Event], Callable[[Any], list[OutboundEvent]]] = {
    ours.WsCreated: lambda event: [wire.WorkstreamCreatedEvent(name=event.name)],
    ours.WsRename: lambda event: [wire.WorkstreamRenameEvent(name=event.name)],
    ours.WsClosed: lambda event: [wire.WorkstreamClosedEvent()],
    ours.WsState: lambda event: [wire.StateChangeEvent(state=event.state)],
    ours.Content: lambda event: [wire.ContentEvent(text=event.text)],
    ours.Reasoning: lambda event: [wire.ReasoningEvent(text=event.text)],
    ours.StepFinished: lambda event: [wire.StreamEndEvent()],
    ours.StepFailed: lambda event: [wire.StreamEndEvent()],
    # 0.2 could not take text back; its clients ignore this, and ours drop what they had.
    ours.StreamReset: lambda event: [OutboundEvent(type="stream_reset")],
    ours.ToolStarted: _tool_started,
    ours.ApprovalAsked: _approval_asked,
    ours.PlanAsked: _plan_asked,
    ours.ToolFinished: _tool_finished,
    ours.Status: _status,
    ours.Info: lambda event: [wire.InfoEvent(message=event.message)],
    ours.Error: _error,
    ours.TurnEnded: _turn_ended,
}
