"""What lists show of a workstream: a small fold of its journal, kept in its row. Pure.

It is written in the transaction of the records that change it, so that ten thousand sleeping
workstreams can be listed truthfully without opening one.
"""

from __future__ import annotations

import msgspec

from turnstone.core.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CallsDecided,
    Event,
    State,
    StepFinished,
    StepStarted,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    WsCreated,
    WsRename,
)
from turnstone.core.host import WorkstreamInfo

#: What the 0.2 wire calls the activity of a state (contract, section 2.4).
_ACTIVITY_STATE = {"thinking": "thinking", "running": "tool", "attention": "approval"}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    state: State = "idle"
    activity: str = ""
    tokens: int = 0
    last_tokens: int = 0  # of the newest request: what the context holds
    tool_calls: int = 0
    updated: float = 0.0

    def after(self, event: Event) -> Summary:
        """The summary once this record is kept too."""
        change = msgspec.structs.replace
        base = change(self, updated=event.timestamp or self.updated)
        match event:
            case WsCreated() | WsRename():
                return change(base, name=event.name)
            case StepStarted():
                return change(base, state="thinking", activity="")
            case StepFinished():
                used = event.usage.total_tokens if event.usage else 0
                return change(base, tokens=base.tokens + used, last_tokens=used or base.last_tokens)
            case ApprovalAsked():
                asked = event.items[0].header if event.items else ""
                return change(base, state="attention", activity=asked)
            case ApprovalAnswered() | CallsDecided():
                return change(base, state="running")
            case ToolStarted():
                doing = event.item.header if event.item else event.name
                return change(base, state="running", activity=doing)
            case ToolFinished() if event.status in ("ok", "error", "unknown"):
                return change(base, tool_calls=base.tool_calls + 1)
            case TurnEnded() if event.ends_turn:
                state: State = "error" if event.outcome == "failed" else "idle"
                return change(base, state=state, activity="")
        return base

    def info(self, ws_id: str, session_id: str, *, window: int, queued: int) -> WorkstreamInfo:
        """As the API shows it. `window`: the model's context in tokens, 0 if unknown."""
        return WorkstreamInfo(
            id=ws_id,
            name=self.name,
            state=self.state,
            session_id=session_id,
            tokens=self.tokens,
            context_ratio=round(self.last_tokens / window, 3) if window else 0.0,
            activity=self.activity,
            activity_state=_ACTIVITY_STATE.get(self.state, ""),
            tool_calls=self.tool_calls,
            queued=queued,
            updated=self.updated,
        )
