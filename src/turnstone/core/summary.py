"""What lists show of a workstream: a small fold of its journal, kept in its row. Pure.

It is written in the transaction of the records that change it, so that ten thousand sleeping
workstreams can be listed truthfully without opening one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from turnstone.core.budget import Ledger
from turnstone.core.events import (
    ApprovalAnswered,
    ApprovalAsked,
    Budget,
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    CallsDecided,
    Compacted,
    ConversationSet,
    Event,
    Left,
    PlanAnswered,
    PlanAsked,
    SettingsChanged,
    State,
    StepFinished,
    StepStarted,
    Tainted,
    Titled,
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
    parent: str = ""
    parent_call: str = ""
    agent: str = ""
    agents: int = 0  # calls that made sub-agents
    model: str = ""  # the name of its model; empty: the node's for such a workstream
    title: str = ""
    alias: str = ""
    tainted: str = ""  # the first that it read from outside
    session_id: str = ""  # where the conversation became another session than the first
    ledger: Ledger | None = None  # where a budget was set
    worked: float = 0.0  # seconds of work of the turns that have ended

    def after(self, event: Event) -> Summary:
        """The summary once this record is kept too."""
        change = msgspec.structs.replace
        base = change(self, updated=event.timestamp or self.updated)
        match event:
            case WsCreated():
                return change(
                    base,
                    name=event.name,
                    parent=event.parent,
                    parent_call=event.parent_call,
                    agent=event.agent,
                    model=event.model,
                    ledger=Ledger().after(event, 0.0) if event.budget != Budget() else None,
                )
            case BudgetSet() | BudgetReserved() | BudgetSettled():
                return change(base, ledger=(base.ledger or Ledger()).after(event, base.worked))
            case SettingsChanged() if event.model is not None:
                return change(base, model=event.model)
            case Titled():
                return change(base, title=event.title)
            case ConversationSet():
                return change(base, **_set(event, base))
            case WsRename():
                alias = base.alias if event.alias is None else event.alias
                return change(base, name=event.name, alias=alias)
            case Tainted():
                return change(base, tainted=base.tainted or event.source)
            case StepStarted():
                return change(base, state="thinking", activity="")
            case StepFinished():
                used = event.usage.total_tokens if event.usage else 0
                return change(base, tokens=base.tokens + used, last_tokens=used or base.last_tokens)
            case Compacted():
                return change(base, last_tokens=event.tokens_after)
            case ApprovalAsked():
                asked = event.items[0].header if event.items else ""
                return change(base, state="attention", activity=asked)
            case PlanAsked():
                return change(base, state="attention")
            case ApprovalAnswered() | PlanAnswered() | CallsDecided():
                return change(base, state="running")
            case ToolStarted():
                doing = event.item.header if event.item else event.name
                agents = base.agents + (event.effect == "agent")
                return change(base, state="running", activity=doing, agents=agents)
            case ToolFinished() if event.status in ("ok", "error", "unknown"):
                return change(base, tool_calls=base.tool_calls + 1)
            case TurnEnded() if event.ends_turn:
                state: State = "error" if event.outcome == "failed" else "idle"
                worked = base.worked + event.seconds
                return change(base, state=state, activity="", worked=worked)
        return base

    def info(self, ws_id: str, session_id: str, *, window: int, queued: int) -> WorkstreamInfo:
        """As the API shows it. `window`: the model's context in tokens, 0 if unknown."""
        return WorkstreamInfo(
            id=ws_id,
            name=self.name,
            state=self.state,
            session_id=self.session_id or session_id,
            title=self.title,
            alias=self.alias,
            tokens=self.tokens,
            context_ratio=round(self.last_tokens / window, 3) if window else 0.0,
            activity=self.activity,
            activity_state=_ACTIVITY_STATE.get(self.state, ""),
            tool_calls=self.tool_calls,
            queued=queued,
            updated=self.updated,
            parent=self.parent,
            parent_call=self.parent_call,
            agent=self.agent,
            budget=self.ledger.budget if self.ledger is not None else Budget(),
            left=self.ledger.left(self.worked) if self.ledger is not None else Left(),
        )


def _set(event: ConversationSet, before: Summary) -> dict[str, Any]:
    """What changes with the conversation. One that was wound back has its title still."""
    return {
        "session_id": event.session_id or before.session_id,
        "title": before.title if event.why == "rewound" else "",
        "last_tokens": 0,
        "state": "idle",
        "activity": "",
    }
