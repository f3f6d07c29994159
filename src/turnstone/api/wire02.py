"""The one translation between our events and the names that the 0.2 wire has for them.

It renames `type`, keeps our own name beside it as `event`, and adds fields that 0.2 spelled
otherwise. It takes nothing away, so that `restore` can undo it. Events that 0.2 did not have
pass as they are: its readers ignore types that they do not know. Pure.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from turnstone.core.events import AnyEvent, Event, ToolStarted

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


def _shown_already(event: Event) -> bool:
    """A call that was asked about is in an `approve_request`; 0.2 had no `tool_info` for it."""
    return isinstance(event, ToolStarted) and event.item is not None and event.item.needs_approval
