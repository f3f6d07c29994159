"""The one translation between our events and the names that the 0.2 wire has for them.

It renames `type`, keeps our own name beside it as `event`, and adds fields that 0.2 spelled
otherwise. It takes nothing away, so that `restore` can undo it. Events that 0.2 did not have
pass as they are: its readers ignore types that they do not know. What 0.2 said in an event of
its own, and we in others, is said beside those (`Companions`). Pure.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from turnstone.core.events import (
    AnyEvent,
    Content,
    Event,
    Reasoning,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolStarted,
    WsState,
)

#: Ours → theirs. `step_failed` is a `stream_end` too: 0.2 sent one after a failed request as
#: well, and its pages stop waiting there (contract, section 2.9, item 5).
RENAMED = {
    "step_started": "thinking_start",
    "step_finished": "stream_end",
    "step_failed": "stream_end",
    "approval_asked": "approve_request",
    "plan_asked": "plan_review",
    "tool_started": "tool_info",
    "tool_finished": "tool_result",
}


def spell(event: Event) -> dict[str, Any]:
    """The event as a reader of 0.2 knows it."""
    envelope: dict[str, Any] = msgspec.to_builtins(event)
    renamed = RENAMED.get(event.type)
    if renamed is None or _shown_already(event):
        return envelope
    envelope |= {"type": renamed, "event": event.type}
    if isinstance(event, ToolStarted):
        envelope["items"] = [envelope["item"]] if event.item is not None else []
    return envelope


def encode(event: Event) -> bytes:
    """One line of JSON as 0.2 wrote it: ASCII only, so that no reader breaks it at U+2028."""
    return json.dumps(spell(event)).encode("ascii")


def restore(envelope: dict[str, Any]) -> AnyEvent:
    """The event that was spelled so. Raises msgspec.ValidationError for an unknown type."""
    ours = {**envelope, "type": envelope.get("event", envelope.get("type"))}
    restored: AnyEvent = msgspec.convert(ours, AnyEvent)
    return restored


class Companions:
    """The events that 0.2 sent beside ours, to one reader: `thinking_stop` before the first
    piece of a step and behind its end, `ws_activity` behind each state. They are no places to
    come back to: their `id` is that of the event that they stand beside."""

    def __init__(self) -> None:
        self._thinking = False

    def before(self, event: Event) -> bytes | None:
        if isinstance(event, StepStarted):
            self._thinking = True
        elif self._thinking and isinstance(event, Content | Reasoning):
            self._thinking = False
            return _beside(event, "thinking_stop")
        return None

    def behind(self, event: Event) -> bytes | None:
        if isinstance(event, StepFinished | StepFailed):
            self._thinking = False
            return _beside(event, "thinking_stop")
        if isinstance(event, WsState):
            return _beside(
                event,
                "ws_activity",
                activity=event.activity,
                activity_state=event.activity_state,
            )
        return None


def _beside(event: Event, kind: str, **fields: str) -> bytes:
    common = {
        "ws_id": event.ws_id,
        "id": event.id,
        "correlation_id": event.correlation_id,
        "timestamp": event.timestamp,
    }
    return json.dumps({"type": kind, **common, **fields}).encode("ascii")


def _shown_already(event: Event) -> bool:
    """A call that was asked about is in an `approve_request`; 0.2 had no `tool_info` for it."""
    return isinstance(event, ToolStarted) and event.item is not None and event.item.needs_approval
