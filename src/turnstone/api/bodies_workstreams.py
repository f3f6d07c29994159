"""What requests about workstreams and sessions carry, and their answers. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from turnstone.core.events import Budget, Left
from turnstone.core.host import CreateWorkstream, SearchHit, SessionInfo, WorkstreamInfo


class NewBudget(Budget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget as a request names it: a kind that is misspelt would be without a limit."""


class NewRequest(CreateWorkstream, frozen=True, kw_only=True):
    budget: NewBudget = NewBudget()


class NewReply(msgspec.Struct, frozen=True, kw_only=True):
    """`notice`: what of the permissions asked for does not hold on this node, and why."""

    ws_id: str
    name: str
    workstream: WorkstreamInfo
    notice: str = ""


class WorkstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""


class WorkstreamReply(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"
    workstream: WorkstreamInfo


class WorkstreamsReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    workstreams: list[WorkstreamInfo]
    next: str = ""  # the `after` of the next page; empty: there is none


class DashboardRow(WorkstreamInfo, frozen=True, kw_only=True):
    node: str = "local"


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the node's workstreams; active are those that are neither idle nor failed."""

    total_tokens: int
    total_tool_calls: int
    active_count: int
    total_count: int
    uptime_seconds: int
    node: str = "local"


class DashboardReply(msgspec.Struct, frozen=True, kw_only=True):
    workstreams: list[DashboardRow]
    aggregate: Aggregate


class BudgetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All four at once: what is not named has no limit."""

    ws_id: str = ""
    tokens: int = 0
    seconds: float = 0.0
    tool_calls: int = 0
    money: float = 0.0


class BudgetReply(msgspec.Struct, frozen=True, kw_only=True):
    """The budget as it is now. `notice`: what of it has no effect, and why."""

    status: Literal["ok"] = "ok"
    budget: Budget
    left: Left
    notice: str = ""


class RewindRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`to`: the correlation id of a message, or the number of any record."""

    ws_id: str = ""
    to: str = ""


class RewindReply(msgspec.Struct, frozen=True, kw_only=True):
    """`message`: the text of the one gone back before."""

    status: Literal["ok"] = "ok"
    message: str = ""


class ForkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`at` as `to` above; empty: as the conversation is now."""

    ws_id: str = ""
    at: str = ""


class ForkReply(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"
    workstream: WorkstreamInfo


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`alias` null: it stays; empty: there is none from now on."""

    ws_id: str = ""
    name: str = ""
    alias: str | None = None


class ResumeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`session`: an alias, the id of a session or workstream, or the beginning of one."""

    session: str = ""


class SessionsReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    sessions: Sequence[SessionInfo]
    next: str = ""  # the `after` of the next page; empty: there is none


class SearchReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    hits: Sequence[SearchHit]
    next: str = ""  # the `after` of the next page; empty: there is none


class ExportReply(msgspec.Struct, frozen=True, kw_only=True):
    text: str


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`text`: the content of a file that was exported. `source`: what it is called in what is
    said of it."""

    text: str = ""
    source: str = ""
