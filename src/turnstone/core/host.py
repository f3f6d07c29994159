"""The one interface to a node: in process (`LocalHost`), over HTTP (`HttpHost`), simulated.

Server, queue worker, console and terminal are adapters around a `Host`, and hold no copy of
what it decides. Requests and answers are data; streams of events may be left and taken up
again at the last id seen. Protocol only: nothing here does anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from turnstone.core.events import (
    Budget,
    Event,
    EventId,
    Grant,
    Left,
    State,
    StepFinished,
    ToolFinished,
    TurnEnded,
)
from turnstone.core.timers import NewTimer, Timer, TimerAction

WhenBusy: TypeAlias = Literal["queue", "reject", "steer"]
ExportFormat: TypeAlias = Literal["json", "markdown"]

#: What the result of a turn is made of.
Told: TypeAlias = StepFinished | ToolFinished


class CreateWorkstream(msgspec.Struct, frozen=True, kw_only=True):
    """`ws_id` makes it safe to ask again: where that workstream exists, it is given back."""

    ws_id: str = ""  # 8 lower-case hex digits; empty: the node makes one
    name: str = ""
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    workspace: str = ""  # empty: the node's own
    budget: Budget = Budget()


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a message: either `data`, which is an image (in base64 where it goes
    as JSON), or `text`. What may be sent says `turnstone.core.attachments`."""

    name: str = ""
    media_type: str = ""
    data: bytes = b""
    text: str = ""


class SendMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`correlation_id` is the idempotency key: the same one sent twice is accepted once, and
    under it only the same text with the same files, in whichever workstream. Without a text,
    its files' names are the text.

    `busy` says what becomes of it while a turn runs. `queue`: its turn comes after those before
    it. `reject`: it is not taken. `steer`: the model reads it with the next results of the turn
    in progress, and it ends with that turn; where no such step comes, it is the next turn.

    What it permits (`auto_approve`, `auto_approve_tools`) holds for the workstream from then
    on, as on the 0.2 wire.
    """

    ws_id: str
    message: str
    correlation_id: str = ""  # empty: the node makes one
    busy: WhenBusy = "queue"
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    sender: str = ""
    attachments: list[Attachment] = []


class Image(msgspec.Struct, frozen=True, kw_only=True):
    media_type: str
    data: bytes


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The message is in the journal. `duplicate`: it was already, and nothing was added.

    `notice`: what of the permissions that came with it does not hold on this node, and why.
    """

    ws_id: str
    correlation_id: str
    duplicate: bool = False
    notice: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a question. Without `request_id` it goes to the oldest one that waits.

    With `args_hash` it holds for the question of that hash only. `always` permits what the
    question names as its `grant`, for the workstream, until it is revoked; with `grants`, only
    these of them. `refused` names calls that may not run, where the others may.

    `edited` puts other arguments in the place of those of the calls that it names: no yes and no
    no. They are judged and asked about anew, as they are then.
    """

    ws_id: str
    approved: bool = False
    request_id: str = ""
    feedback: str = ""
    always: bool = False
    expired: bool = False  # not an answer of a person: the time for one is over
    by: str = ""
    args_hash: str = ""
    grants: list[Grant] | None = None  # None: all that the question offers
    refused: list[str] = []  # by call id
    edited: dict[str, dict[str, Any]] = {}  # by call id: the whole arguments


class PlanReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a plan. Nothing: it is accepted; `n`, `no` or `reject`: it is not;
    anything else is a remark on it. Without `request_id` it is for the oldest that waits."""

    ws_id: str
    feedback: str = ""
    request_id: str = ""
    expired: bool = False  # not an answer of a person: the time for one is over
    unreviewed: bool = False  # nor is this: it is accepted where no person is to review it
    by: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A permission of a workstream, and exactly what it covers in words. The tool `*` is its
    auto-approve."""

    tool: str
    path: str = ""
    command: str = ""
    confined: str = ""
    text: str = ""


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about the tool calls of a workstream.

    Rules and `auto_approve…` are the node's; `unasked` are tools that run without a question
    inside the workspace; `grants` are the workstream's own, and may be revoked. `notice` says
    what of all that does not hold on this machine.
    """

    ws_id: str
    allow: list[str] = []
    ask: list[str] = []
    deny: list[str] = []
    unasked: list[str] = []
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    grants: list[Granted] = []
    notice: str = ""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one tool call: `rule` says by which rule, or by whom; `header` what
    the call does, where it was shown or started."""

    call_id: str
    tool: str
    verdict: Literal["allow", "deny", "expired", "invalid"]
    header: str = ""
    rule: str = ""
    reason: str = ""
    timestamp: float = 0.0


class Rewound(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation is as it was before a message: its text, to be changed and sent again."""

    message: str = ""


class CommandReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a slash command has to say. Readers of the workstream are told the same, as an `info`
    or `error` with the correlation id `command_id`.

    `error`: the code of what went wrong, `text` is its sentence then. `ws_id`: the workstream
    to go on in, where that is another one now.
    """

    text: str = ""
    error: str = ""
    ws_id: str = ""
    command_id: str = ""


class WorkstreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    state: State
    session_id: str
    title: str = ""
    alias: str = ""  # the name by which a person finds it
    tokens: int = 0
    context_ratio: float = 0.0
    activity: str = ""
    activity_state: str = ""
    tool_calls: int = 0
    queued: int = 0  # accepted messages that wait for the turn in progress
    updated: float = 0.0  # Unix seconds of the last record
    parent: str = ""  # of a sub-agent: the workstream above it
    parent_call: str = ""  # and the id of the call there that made it
    agent: str = ""  # `task` or `plan`
    budget: Budget = Budget()  # of its own, for all below it too
    left: Left = Left()  # of that


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """A budget as it is now, and what is left of it. `notice`: what of it has no effect, and
    why."""

    budget: Budget
    left: Left
    notice: str = ""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was used, in all. Tokens as the provider counts them."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0
    seconds: float = 0.0  # of work

    def __add__(self, other: Used) -> Used:
        return Used(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            money=self.money + other.money,
            tool_calls=self.tool_calls + other.tool_calls,
            seconds=self.seconds + other.seconds,
        )


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What a workstream has used: itself, and with all `agents` below it; the latter by model
    too (without tool calls and time, which no model has)."""

    ws_id: str
    own: Used
    tree: Used
    models: dict[str, Used]
    agents: int
    budget: Budget
    left: Left


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint of models stands, as requests to it have shown; nobody asks it for this."""

    url: str = ""  # empty: it is in this process
    models: list[str] = []  # the names of those behind it
    limit: int = 0  # requests at a time; 0: any number
    in_flight: int = 0
    waiting: int = 0  # requests in line
    held_seconds: float = 0.0  # for which no request is sent, as the provider asked
    last_success: float = 0.0  # Unix seconds; 0: none yet
    last_error: str = ""
    last_error_at: float = 0.0


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, open or closed (contract, section 2.3). Times are UTC, as
    `2026-01-31 23:59:59`."""

    session_id: str
    ws_id: str
    name: str = ""
    alias: str | None = None
    title: str | None = None
    created: str = ""
    updated: str = ""
    message_count: int = 0
    closed: bool = False


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said: at most 500 characters of it, from a little before the first
    word that was searched for. `message` names it, for whoever wants to read it whole."""

    ws_id: str
    session_id: str
    seq: int
    message: str
    role: str  # `user`, `assistant`, `tool`, `title`
    snippet: str
    timestamp: float  # Unix seconds


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A message, whole. `before` and `after` name those beside it; empty: there is none."""

    ws_id: str
    session_id: str
    message: str
    role: str
    text: str
    timestamp: float
    before: str = ""
    after: str = ""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was taken over from a file, or `known`: it was there already. Either way
    it is found under these ids. `notes`: what else is to be known of it."""

    session_id: str
    ws_id: str
    known: bool = False
    messages: int = 0
    notes: Sequence[str] = ()


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """`scope`: `user`, or `workspace:<path>`. Times in Unix seconds."""

    scope: str
    key: str
    value: str
    created: float = 0.0
    updated: float = 0.0


class NodeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The body of /health that a caller with a token gets (contract, section 2.7), and more.

    `status` is `ok`, or `degraded` while the store cannot be written: `store`, which is `ok`
    else, says why.
    """

    status: str
    version: str
    uptime_seconds: float
    model: str
    workstreams: dict[str, int]
    node_id: str = ""
    sandbox: str = ""
    store: str = "ok"
    awake: int = 0  # workstreams in memory; the others sleep in the store
    endpoints: list[EndpointHealth] = []


class Host(Protocol):
    """Every method may raise errors of `turnstone.core.errors`; each names those it adds."""

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        """A new workstream. Raises TooManyWorkstreams, InvalidRequest (workspace, ws_id)."""

    async def send(self, request: SendMessage) -> Accepted:
        """Accept a message: when this returns, it is kept, and will be carried to an end.

        Raises UnknownWorkstream, EmptyMessage, InvalidRequest (auto_approve_tools; attachments
        beyond what may be sent, and images for a model that takes none),
        WorkstreamBusy (only with busy="reject"), CorrelationIdUsed (for another text), Erased.
        """

    async def approve(self, answer: Answer) -> None:
        """Answer a question. Raises UnknownWorkstream; UnknownRequest for a request id that
        does not wait (any more), and for no id where nothing waits; OtherArguments where the
        answer's `args_hash` is not the question's; InvalidRequest for an expired yes, and for
        `grants`, `refused` or `edited` that do not fit the question."""

    async def answer_plan(self, reply: PlanReply) -> None:
        """Say something of a plan that waits for it. Raises UnknownWorkstream; UnknownRequest
        where no plan waits (any more) under this id, or under none."""

    async def policy(self, ws_id: str) -> PolicyView:
        """What decides about the tool calls of a workstream. Raises UnknownWorkstream."""

    async def revoke(self, ws_id: str, grant: Grant, by: str = "") -> bool:
        """Take a permission of the workstream back; it holds for no call that is judged from
        then on. False if it has no such permission. Raises UnknownWorkstream."""

    async def decisions(self, ws_id: str, limit: int = 100) -> Sequence[Decided]:
        """What was decided about the last tool calls of a workstream, open or closed, the newest
        first. Raises UnknownWorkstream; InvalidRequest for a limit outside of 1 to 1000."""

    async def set_budget(self, ws_id: str, budget: Budget, by: str = "") -> BudgetView:
        """What the workstream may use from now on, with all below it; what it has used before
        does not count. Raises UnknownWorkstream; InvalidRequest for a sub-agent, and for
        numbers below 0."""

    async def usage(self, ws_id: str) -> UsageView:
        """What a workstream has used, open or closed. Raises UnknownWorkstream."""

    async def cancel(self, ws_id: str, correlation_id: str = "") -> bool:
        """Stop the turn in progress; or the turn of this message, which may be waiting still.

        False if there is nothing to stop: no turn, or a message that has ended, was never
        accepted, or is read by the model in another's turn. Raises UnknownWorkstream.
        """

    async def rewind(self, ws_id: str, to: str) -> Rewound:
        """Make the conversation what it was just before this message: its correlation id, or the
        number (or event id) of any record. What came after stays in the journal.

        Raises UnknownWorkstream; InvalidRequest where there is no such point; WorkstreamBusy
        while a turn runs or a message waits.
        """

    async def fork(self, ws_id: str, at: str = "") -> WorkstreamInfo:
        """A new workstream with the conversation of this one, open or closed: as it is now, or
        as it was just before the point `at`, named as in `rewind`. Permissions are not taken
        along. Raises UnknownWorkstream, InvalidRequest, TooManyWorkstreams."""

    async def command(
        self, ws_id: str, text: str, *, command_id: str = "", by: str = ""
    ) -> CommandReply:
        """Carry out a slash command (`turnstone.core.commands`). What goes wrong with it is in
        the reply. A settings change of the same `command_id` is made once.

        Raises UnknownWorkstream; EmptyMessage where there is no text.
        """

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        """How the turn of a message ended; None while it has not (or there is no such message).

        Raises UnknownWorkstream.
        """

    async def image(self, ws_id: str, name: str) -> Image:
        """An image of the conversation, whose name in events is `WS_ID/NAME`. Raises
        UnknownImage for one that was never there, or is not kept any more."""

    async def steps(self, ws_id: str, correlation_id: str) -> Sequence[Told]:
        """What the turn of a message has said and done so far, as it is in the journal.

        Raises UnknownWorkstream.
        """

    async def knows(self, ws_id: str, correlation_id: str) -> bool:
        """Whether this workstream has accepted the message, ended or not.

        Raises UnknownWorkstream.
        """

    async def close(self, ws_id: str) -> None:
        """End a workstream, stopping its turn. Raises UnknownWorkstream."""

    async def erase(self, ws_id: str, *, force: bool = False) -> None:
        """Delete a workstream, open or closed, with all its records: nothing of it is left in
        the store. Its readers get `ws_closed` with the reason `erased`; none of its messages
        is run again.

        Raises UnknownWorkstream; WorkstreamBusy while it works, unless `force`, which stops its
        turn first; NotOwner if it belongs to another process that lives.
        """

    async def list(
        self, parent: str = "", *, limit: int | None = None, after: str = ""
    ) -> list[WorkstreamInfo]:
        """The open workstreams, in the order of their creation: all of them, or the first `limit`
        behind the workstream `after`, which may have been closed meanwhile. With `parent`: the
        sub-agents of that one, which are in no other list.

        Raises UnknownWorkstream for an `after` that was erased; InvalidRequest (limit).
        """

    async def sessions(self, limit: int = 50, after: str = "") -> Sequence[SessionInfo]:
        """Conversations, open and closed ones of every node, the newest first; `after`: those
        behind this workstream. Raises InvalidRequest for a limit outside of 1 to 500."""

    async def search(self, query: str, limit: int = 20, ws_id: str = "") -> Sequence[SearchHit]:
        """Where all words of the query were said, in any conversation or in this workstream:
        what people and models said before what tools printed, each the newest first. Without
        a word: the newest. Raises InvalidRequest for a limit outside of 1 to 100."""

    async def rename(self, ws_id: str, name: str = "", alias: str | None = None) -> WorkstreamInfo:
        """Give a workstream, open or closed, a name; and an alias, unique in the store, by which it is
        found (empty: none from now on). What is not given stays as it is.

        Raises UnknownWorkstream, InvalidRequest; NameTaken where another session has it; NotOwner
        where another node, which runs, has closed it.
        """

    async def resume(self, name: str) -> WorkstreamInfo:
        """Open the session of this alias, id (of session or workstream) or unique beginning of
        one, to be gone on with; one that is open is only found. An earlier session of a
        workstream, before `/new`, goes on in a fork of it: in the same one each time.

        Raises UnknownSession, NotOwner while another process that lives has it,
        TooManyWorkstreams.
        """

    async def export(self, name: str, form: ExportFormat = "json") -> str:
        """A session, named as in `resume`, as a file that `turnstone import` takes. Raises
        UnknownSession."""

    async def take_over(self, text: str, source: str = "") -> Imported:
        """Keep the session of a file that `export` or `turnstone export` wrote: closed, to be
        resumed. The same one twice is there once. `source` is the file's name, for what is said
        of it. Raises InvalidRequest for what is no such file."""

    async def memories(
        self, query: str = "", scope: str = "", limit: int = 100
    ) -> Sequence[Memory]:
        """What is remembered, by key; those in which every word of the query occurs. Without a
        scope, of all. Raises InvalidRequest."""

    async def remember(self, key: str, value: str, scope: str = "user") -> Memory:
        """Keep a value under a key (lower-case, `-` and spaces as `_`), in place of what was
        there. Raises InvalidRequest."""

    async def forget(self, key: str, scope: str = "user") -> None:
        """Raises UnknownMemory, InvalidRequest."""

    async def set_timer(self, timer: NewTimer) -> Timer:
        """Send a message later, once or again and again; twice the same is one. Raises
        InvalidRequest with the field that is wrong, UnknownWorkstream."""

    async def timers(self) -> Sequence[Timer]:
        """The timers that live: by their next time, paused ones last."""

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        """Pause, resume or cancel one. Raises UnknownTimer; InvalidRequest if it is over."""

    async def health(self) -> NodeHealth: ...

    def follow(self, ws_id: str, after: EventId | None = None) -> AsyncIterator[Event]:
        """The events of one workstream, for ever, until the iterator is closed.

        Without `after`: the snapshot (`connected`, `history`, what the step in progress has
        streamed, the question that waits or how the last turn ended), and then what comes. With `after`: what came since, or `truncated` and the snapshot if
        that is gone. Ends after `ws_closed`. Raises UnknownWorkstream on the first item.
        """

    def follow_all(self, after: EventId | None = None) -> AsyncIterator[Event]:
        """States, creations, renames and closings of every workstream of the node."""

    async def aclose(self) -> None:
        """Let go: of a connection, or of the whole node in this process."""
