"""The endpoints of a node: one table, from which routes, client and documentation come.

Adding one: a row in `rows_*`, the structs that it names in `bodies_*`, a handler in
`turnstone.server.routes*`, a method of `HttpHost` where programs call it, a row in
`docs/api-reference.md` (tests miss each). Data only.

Requests are lax where the 0.2 wire was (a missing field has its default), and strict in
types. Answers have the fields of 0.2 and what it lacked.
"""

from __future__ import annotations

from turnstone.api.bodies_node import (
    HealthReply,
    LoginReply,
    LoginRequest,
    MemoriesReply,
    OkReply,
    PauseTimerRequest,
    RememberRequest,
    SettingRow,
    SettingsReply,
    SignedOutReply,
    TimersReply,
)
from turnstone.api.bodies_turns import (
    ApproveReply,
    ApproveRequest,
    CancelReply,
    CancelRequest,
    CommandReply,
    CommandRequest,
    CommandRow,
    CommandsReply,
    DecisionsReply,
    EndingReply,
    PlanRequest,
    RevokeReply,
    RevokeRequest,
    SendReply,
    SendRequest,
)
from turnstone.api.bodies_workstreams import (
    Aggregate,
    BudgetReply,
    BudgetRequest,
    DashboardReply,
    DashboardRow,
    ExportReply,
    ForkReply,
    ForkRequest,
    ImportRequest,
    NewBudget,
    NewReply,
    NewRequest,
    RenameRequest,
    ResumeRequest,
    RewindReply,
    RewindRequest,
    SearchReply,
    SessionsReply,
    WorkstreamReply,
    WorkstreamRequest,
    WorkstreamsReply,
)
from turnstone.api.rows import ROLES, Endpoint, Role, covers
from turnstone.api.rows_entry import ENTRY
from turnstone.api.rows_node import NODE
from turnstone.api.rows_sessions import SESSIONS
from turnstone.api.rows_turns import TURNS

__all__ = [
    "BY_NAME",
    "ENDPOINTS",
    "ROLES",
    "Aggregate",
    "ApproveReply",
    "ApproveRequest",
    "BudgetReply",
    "BudgetRequest",
    "CancelReply",
    "CancelRequest",
    "CommandReply",
    "CommandRequest",
    "CommandRow",
    "CommandsReply",
    "DashboardReply",
    "DashboardRow",
    "DecisionsReply",
    "EndingReply",
    "Endpoint",
    "ExportReply",
    "ForkReply",
    "ForkRequest",
    "HealthReply",
    "ImportRequest",
    "LoginReply",
    "LoginRequest",
    "MemoriesReply",
    "NewBudget",
    "NewReply",
    "NewRequest",
    "OkReply",
    "PauseTimerRequest",
    "PlanRequest",
    "RememberRequest",
    "RenameRequest",
    "ResumeRequest",
    "RevokeReply",
    "RevokeRequest",
    "RewindReply",
    "RewindRequest",
    "Role",
    "SearchReply",
    "SendReply",
    "SendRequest",
    "SessionsReply",
    "SettingRow",
    "SettingsReply",
    "SignedOutReply",
    "TimersReply",
    "WorkstreamReply",
    "WorkstreamRequest",
    "WorkstreamsReply",
    "covers",
]

#: The order is that of the documents that are made of it.
ENDPOINTS: tuple[Endpoint, ...] = (*ENTRY, *TURNS, *SESSIONS, *NODE)

BY_NAME: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
