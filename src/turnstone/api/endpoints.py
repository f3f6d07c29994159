"""The endpoints of a node: one table, from which routes, client and documentation come.

Adding one: a row here, a handler in `turnstone.server.routes`, a method of `HttpHost` where
programs call it, a row in `docs/api-reference.md` (tests miss each). Data only.

Requests are lax where the 0.2 wire was (a missing field has its default), and strict in
types. Answers have the fields of 0.2 and what it lacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from turnstone.api.parameters import NEXT, WS_ID, Query, limit
from turnstone.core.events import Budget, Grant, Left, StepFinished, ToolFinished, TurnEnded
from turnstone.core.host import (
    CreateWorkstream,
    Decided,
    Imported,
    Memory,
    NodeHealth,
    PolicyView,
    SearchHit,
    SessionInfo,
    UsageView,
    WhenBusy,
    WorkstreamInfo,
)
from turnstone.core.timers import NewTimer, Timer

Role: TypeAlias = Literal["public", "read", "approve", "full"]

#: Each includes those before it.
ROLES: tuple[Role, ...] = ("public", "read", "approve", "full")

#: Bytes of a request that brings a whole session.
MAX_IMPORT = 32 * 1024 * 1024


def covers(role: Role, needed: Role) -> bool:
    """Whether a token of this role may do what needs that one."""
    return ROLES.index(role) >= ROLES.index(needed)


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


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    message: str = ""
    ws_id: str = ""
    correlation_id: str = ""
    busy: WhenBusy = "queue"
    auto_approve: bool = False
    auto_approve_tools: list[str] = []


class SendReply(msgspec.Struct, frozen=True, kw_only=True):
    """Status `busy` is for senders that asked with `busy: reject`; then nothing was taken.

    `notice` as in `NewReply`.
    """

    status: Literal["ok", "busy"] = "ok"
    ws_id: str = ""
    correlation_id: str = ""
    duplicate: bool = False
    notice: str = ""


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    approved: bool = False
    request_id: str = ""
    feedback: str | None = None
    always: bool = False
    expired: bool = False
    args_hash: str = ""
    grants: list[Grant] | None = None
    refused: list[str] = []
    edited: dict[str, dict[str, Any]] = {}


class ApproveReply(msgspec.Struct, frozen=True, kw_only=True):
    """`answered` is false where no request was named and none waited."""

    status: Literal["ok"] = "ok"
    answered: bool = True


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    feedback: str | None = None
    request_id: str = ""
    expired: bool = False
    unreviewed: bool = False


class DecisionsReply(msgspec.Struct, frozen=True, kw_only=True):
    decisions: Sequence[Decided]


class RevokeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the `grants` of `/api/policy`. The tool `*` is the workstream's auto-approve."""

    ws_id: str = ""
    tool: str = ""
    path: str = ""
    command: str = ""
    confined: str = ""


class RevokeReply(msgspec.Struct, frozen=True, kw_only=True):
    """`revoked` is false where there was no such permission."""

    status: Literal["ok"] = "ok"
    revoked: bool = False


class WorkstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Without `correlation_id`: whatever turn is in progress."""

    ws_id: str = ""
    correlation_id: str = ""


class EndingReply(msgspec.Struct, frozen=True, kw_only=True):
    """`ending` is null while the turn goes on, and where the workstream has never accepted
    such a message: then `known` is false. `steps`: what the turn has said and done, where that
    was asked for."""

    ending: TurnEnded | None = None
    known: bool = True
    steps: list[StepFinished | ToolFinished] = []


class CancelReply(msgspec.Struct, frozen=True, kw_only=True):
    """`cancelled` is false where there was nothing to stop."""

    status: Literal["ok"] = "ok"
    cancelled: bool = False


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


class CommandRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    command: str = ""
    command_id: str = ""


class CommandReply(msgspec.Struct, frozen=True, kw_only=True):
    """Status `ok` for every command, as in 0.2; `error` is the code of what went wrong."""

    status: Literal["ok"] = "ok"
    text: str = ""
    error: str = ""
    ws_id: str = ""
    command_id: str = ""


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A slash command. `choices`: what may stand behind it; empty: any text, or nothing where
    there are no `arguments`."""

    name: str
    usage: str
    help: str
    arguments: str = ""
    required: bool = False
    choices: list[str] = []
    aliases: list[str] = []
    where: Literal["everywhere", "terminal"] = "everywhere"


class CommandsReply(msgspec.Struct, frozen=True, kw_only=True):
    commands: list[CommandRow]


class SessionsReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    sessions: Sequence[SessionInfo]
    next: str = ""  # the `after` of the next page; empty: there is none


class SearchReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    hits: Sequence[SearchHit]
    next: str = ""  # the `after` of the next page; empty: there is none


class RenameRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`alias` null: it stays; empty: there is none from now on."""

    ws_id: str = ""
    name: str = ""
    alias: str | None = None


class ResumeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`session`: an alias, the id of a session or workstream, or the beginning of one."""

    session: str = ""


class WorkstreamReply(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"
    workstream: WorkstreamInfo


class ExportReply(msgspec.Struct, frozen=True, kw_only=True):
    text: str


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`text`: the content of a file that was exported. `source`: what it is called in what is
    said of it."""

    text: str = ""
    source: str = ""


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """`value` as the file spells it, of a secret a mask. `source`: `default`, `file`,
    `environment` or `command line`; `where`: the file and line, the variable, or the flag."""

    name: str
    value: str
    source: str
    where: str = ""
    meaning: str = ""
    secret: bool = False


class SettingsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Of the program that serves; empty where it was not started from settings."""

    program: str = ""
    file: str = ""  # that was read
    settings: Sequence[SettingRow] = ()
    warnings: Sequence[str] = ()


class MemoriesReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    memories: Sequence[Memory]
    next: str = ""  # the `after` of the next page; empty: there is none


class RememberRequest(msgspec.Struct, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""
    scope: str = "user"


class TimersReply(msgspec.Struct, frozen=True, kw_only=True):
    timers: Sequence[Timer]


class PauseTimerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`paused` false: it goes on."""

    timer_id: str = ""
    paused: bool = True


class OkReply(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"


class HealthReply(NodeHealth, frozen=True, kw_only=True):
    """`role`: what the token of this very request may do."""

    role: Role = "read"


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    token: str = ""


class LoginReply(msgspec.Struct, frozen=True, kw_only=True):
    role: Role
    status: Literal["ok"] = "ok"


class SignedOutReply(msgspec.Struct, frozen=True, kw_only=True):
    """`ended`: browsers that were signed in."""

    status: Literal["ok"] = "ok"
    ended: int = 0


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


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Without `reply` the answer is no JSON: a page, or a stream of events."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Role
    summary: str
    request: type[msgspec.Struct] | None = None
    reply: type[msgspec.Struct] | None = None
    stream: bool = False
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = ()  # statuses of its own, besides those of its kind
    #: Where an `Idempotency-Key` goes: a field of the body, or `kept` with the answer.
    idempotency: str = ""
    max_body: int = 0  # bytes; 0: as of all others
    audit: str = ""  # what the audit record calls it; every row that changes something has one


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        name="page",
        method="GET",
        path="/",
        role="public",
        summary="The page of the node, or for who is not signed in, that for signing in.",
    ),
    Endpoint(
        name="static",
        method="GET",
        path="/static/{path}",
        role="public",
        summary="The files that the pages are made of.",
        errors=(
            404,
            416,
        ),
    ),
    Endpoint(
        name="login_link",
        method="GET",
        path="/login",
        role="public",
        audit="login",
        summary="Exchanges the one-time `code` of a login link for a cookie; the page for signing in.",
        query=(Query(name="code", about="Of a login link."),),
        errors=(
            303,
            401,
            429,
        ),
    ),
    Endpoint(
        name="login",
        method="POST",
        path="/api/auth/login",
        role="public",
        audit="login",
        summary="Exchanges a token for a cookie.",
        request=LoginRequest,
        reply=LoginReply,
        errors=(401,),
    ),
    Endpoint(
        name="logout",
        method="POST",
        path="/api/auth/logout",
        role="public",
        audit="logout",
        summary="Takes the cookie back.",
        reply=OkReply,
    ),
    Endpoint(
        name="logout_everywhere",
        method="POST",
        path="/api/auth/logout-everywhere",
        role="read",
        audit="logout_everywhere",
        summary="Signs every browser out that signed in with the caller's token.",
        reply=SignedOutReply,
    ),
    Endpoint(
        name="health",
        method="GET",
        path="/health",
        role="public",
        summary="Whether the node is up; with a token: version, model, counts of workstreams, endpoints.",
        reply=HealthReply,
    ),
    Endpoint(
        name="openapi",
        method="GET",
        path="/openapi.json",
        role="read",
        summary="This table as an OpenAPI 3.1 document.",
    ),
    Endpoint(
        name="docs",
        method="GET",
        path="/docs",
        role="read",
        summary="This table as a page.",
    ),
    Endpoint(
        name="metrics",
        method="GET",
        path="/metrics",
        role="read",
        summary="Figures for Prometheus ([metrics](metrics.md)); public where `[metrics] public` says so.",
    ),
    Endpoint(
        name="workstreams",
        method="GET",
        path="/api/workstreams",
        role="read",
        summary="Open workstreams by creation: the first `limit=` behind `after=`; with `parent=`, the "
        "sub-agents of that one.",
        reply=WorkstreamsReply,
        query=(
            limit("all of them without"),
            NEXT,
            Query(name="parent", about="The workstream whose sub-agents are wanted."),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="dashboard",
        method="GET",
        path="/api/dashboard",
        role="read",
        summary="All open workstreams, with sums over them.",
        reply=DashboardReply,
    ),
    Endpoint(
        name="ending",
        method="GET",
        path="/api/ending",
        role="read",
        summary="How the turn of a message ended: `ws_id=`, `correlation_id=`; with `steps=true` "
        "also what it has said and done.",
        reply=EndingReply,
        query=(
            WS_ID,
            Query(name="correlation_id", about="A message.", required=True),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="events",
        method="GET",
        path="/api/events",
        role="read",
        summary="Events of one workstream: `ws=` as they are, `ws_id=` in the spelling of 0.2; or of "
        "up to 64, each `ws=ID` or `ws=ID@PLACE`, and of all with `global=1`; `types=` of them.",
        stream=True,
        query=(
            Query(name="ws", about="A workstream, or `ID@PLACE` from where to go on.", many=True),
            Query(name="ws_id", about="A workstream, in the spelling of 0.2."),
            Query(name="after", about="The last id that was seen."),
            Query(name="global", about="`1`, or `1@PLACE`: of all too."),
            Query(name="types", about="Types of events, with commas between: no others."),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="events_global",
        method="GET",
        path="/api/events/global",
        role="read",
        summary="States, creations, renames and closings of every workstream.",
        stream=True,
        query=(
            Query(name="after", about="The last id that was seen."),
            Query(name="types", about="As above."),
        ),
    ),
    Endpoint(
        name="new",
        method="POST",
        path="/api/workstreams/new",
        role="full",
        audit="create",
        summary="Creates a workstream.",
        request=NewRequest,
        reply=NewReply,
        errors=(429,),
        idempotency="kept",
    ),
    Endpoint(
        name="close",
        method="POST",
        path="/api/workstreams/close",
        role="full",
        audit="close",
        summary="Ends a workstream, stopping its turn.",
        request=WorkstreamRequest,
        reply=OkReply,
        errors=(400,),
    ),
    Endpoint(
        name="erase",
        method="DELETE",
        path="/api/workstreams/{ws_id}",
        role="full",
        audit="erase",
        summary="Erases a workstream with all its records; `force=true` stops its turn first.",
        reply=OkReply,
        query=(
            Query(
                name="force",
                about="Whether to stop its turn.",
                kind="choice",
                choices=("true", "false"),
            ),
        ),
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="send",
        method="POST",
        path="/api/send",
        role="full",
        audit="send",
        summary="Sends a message; `correlation_id` makes it safe to send again.",
        request=SendRequest,
        reply=SendReply,
        errors=(400, 404, 409, 410),
        idempotency="correlation_id",
    ),
    Endpoint(
        name="approve",
        method="POST",
        path="/api/approve",
        role="approve",
        audit="approve",
        summary="Answers a question; without `request_id`, the oldest one that waits.",
        request=ApproveRequest,
        reply=ApproveReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="plan",
        method="POST",
        path="/api/plan",
        role="approve",
        audit="answer_plan",
        summary="Says something of a plan; without `request_id`, of the oldest one that waits.",
        request=PlanRequest,
        reply=ApproveReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="policy",
        method="GET",
        path="/api/policy",
        role="read",
        summary="What decides about the tool calls of a workstream: `ws_id=`.",
        reply=PolicyView,
        query=(WS_ID,),
        errors=(404,),
    ),
    Endpoint(
        name="decisions",
        method="GET",
        path="/api/policy/decisions",
        role="read",
        summary="What was decided about the last tool calls of a workstream, and by which rule: "
        "`ws_id=`, `limit=`.",
        reply=DecisionsReply,
        query=(WS_ID, limit("100 without", 500)),
        errors=(404,),
    ),
    Endpoint(
        name="revoke",
        method="POST",
        path="/api/policy/revoke",
        role="approve",
        audit="revoke",
        summary="Takes a permission of a workstream back.",
        request=RevokeRequest,
        reply=RevokeReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="budget",
        method="POST",
        path="/api/budget",
        role="full",
        audit="set_budget",
        summary="Sets what a workstream may use from now on, with all below it.",
        request=BudgetRequest,
        reply=BudgetReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="usage",
        method="GET",
        path="/api/usage",
        role="read",
        summary="What a workstream has used: itself, with all below it, and by model: `ws_id=`.",
        reply=UsageView,
        query=(WS_ID,),
        errors=(404,),
    ),
    Endpoint(
        name="cancel",
        method="POST",
        path="/api/cancel",
        role="approve",
        audit="cancel",
        summary="Stops the turn in progress, or that of the message `correlation_id`.",
        request=CancelRequest,
        reply=CancelReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="rewind",
        method="POST",
        path="/api/workstreams/rewind",
        role="full",
        audit="rewind",
        summary="Makes the conversation what it was just before a message.",
        request=RewindRequest,
        reply=RewindReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="fork",
        method="POST",
        path="/api/workstreams/fork",
        role="full",
        audit="fork",
        summary="Goes on from here, or from before a message, in a new workstream.",
        request=ForkRequest,
        reply=ForkReply,
        errors=(404, 409, 429),
        idempotency="kept",
    ),
    Endpoint(
        name="rename",
        method="POST",
        path="/api/workstreams/rename",
        role="full",
        audit="rename",
        summary="Gives a workstream a name, and its session an alias.",
        request=RenameRequest,
        reply=WorkstreamReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="sessions",
        method="GET",
        path="/api/sessions",
        role="read",
        summary="Conversations, open and closed, newest first: `limit=`, `after=` a `ws_id`.",
        reply=SessionsReply,
        query=(
            limit("50 without", 500),
            NEXT,
        ),
        errors=(404,),
    ),
    Endpoint(
        name="resume",
        method="POST",
        path="/api/sessions/resume",
        role="full",
        audit="resume",
        summary="Opens a session again, or finds the one that is open.",
        request=ResumeRequest,
        reply=WorkstreamReply,
        errors=(
            404,
            409,
            429,
        ),
    ),
    Endpoint(
        name="export",
        method="GET",
        path="/api/sessions/export",
        role="read",
        summary="A session as a file: `session=`, `format=` `json` or `markdown`.",
        reply=ExportReply,
        query=(
            Query(name="session", about="An alias, or an id.", required=True),
            Query(
                name="format", about="`json` without.", kind="choice", choices=("json", "markdown")
            ),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="import",
        method="POST",
        path="/api/sessions/import",
        role="full",
        audit="import",
        summary="Takes the session of an exported file over, closed, to be resumed.",
        request=ImportRequest,
        reply=Imported,
        max_body=MAX_IMPORT,
        errors=(409, 429),
        idempotency="kept",
    ),
    Endpoint(
        name="search",
        method="GET",
        path="/api/search",
        role="read",
        summary="Where all words of `query=` were said: `limit=`, `ws_id=`.",
        reply=SearchReply,
        query=(
            Query(name="query", about="Words; all of them must occur."),
            limit("20 without", 100),
            NEXT,
            Query(name="ws_id", about="In this workstream only."),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="memories",
        method="GET",
        path="/api/memories",
        role="read",
        summary="What is remembered: `query=`, `scope=`, `limit=`.",
        reply=MemoriesReply,
        query=(
            Query(name="query", about="Words."),
            Query(name="scope", about="`user`, or `workspace:` and a path."),
            limit("100 without", 1000),
            NEXT,
        ),
    ),
    Endpoint(
        name="remember",
        method="POST",
        path="/api/memories",
        role="full",
        audit="remember",
        summary="Keeps a value under a key.",
        request=RememberRequest,
        reply=Memory,
        idempotency="kept",
    ),
    Endpoint(
        name="forget",
        method="DELETE",
        path="/api/memories",
        role="full",
        audit="forget",
        summary="Deletes what is remembered: `key=`, `scope=`.",
        reply=OkReply,
        query=(
            Query(name="key", about="Of what is remembered.", required=True),
            Query(name="scope", about="`user` without."),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="settings",
        method="GET",
        path="/api/settings",
        role="full",
        summary="Every setting of the program, with its value and where that was set; secrets masked.",
        reply=SettingsReply,
    ),
    Endpoint(
        name="timers",
        method="GET",
        path="/api/timers",
        role="read",
        summary="Messages that are to be sent later, by their next time.",
        reply=TimersReply,
    ),
    Endpoint(
        name="set_timer",
        method="POST",
        path="/api/timers",
        role="full",
        audit="set_timer",
        summary="Sends a message later: at `not_before`, or at each time of the cron line `every`.",
        request=NewTimer,
        reply=Timer,
        errors=(404,),
    ),
    Endpoint(
        name="pause_timer",
        method="POST",
        path="/api/timers/pause",
        role="full",
        audit="pause_timer",
        summary="Pauses a timer, or lets it go on.",
        request=PauseTimerRequest,
        reply=Timer,
        errors=(404,),
    ),
    Endpoint(
        name="cancel_timer",
        method="DELETE",
        path="/api/timers",
        role="full",
        audit="cancel_timer",
        summary="Ends a timer: `timer_id=`.",
        reply=Timer,
        query=(Query(name="timer_id", about="Of the timer.", required=True),),
        errors=(404,),
    ),
    Endpoint(
        name="command",
        method="POST",
        path="/api/command",
        role="full",
        audit="command",
        summary="Carries out a slash command; what it says is on the stream too.",
        request=CommandRequest,
        reply=CommandReply,
        errors=(400, 404, 409),
        idempotency="command_id",
    ),
    Endpoint(
        name="commands",
        method="GET",
        path="/api/commands",
        role="read",
        summary="The slash commands, for completion.",
        reply=CommandsReply,
    ),
)

BY_NAME: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
