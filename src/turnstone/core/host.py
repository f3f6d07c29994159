"""The one interface to a node: in process (`LocalHost`), over HTTP (`HttpHost`), simulated.

Server, queue worker, console and terminal are adapters around a `Host`, and hold no copy of
what it decides. Requests and answers are data; streams of events may be left and taken up
again at the last id seen. Protocol only: nothing here does anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol, TypeAlias

import msgspec

from turnstone.core.events import Budget, Event, EventId, Grant, State, TurnEnded

WhenBusy: TypeAlias = Literal["queue", "reject", "steer"]


class CreateWorkstream(msgspec.Struct, frozen=True, kw_only=True):
    """`ws_id` makes it safe to ask again: where that workstream exists, it is given back."""

    ws_id: str = ""  # 8 lower-case hex digits; empty: the node makes one
    name: str = ""
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    workspace: str = ""  # empty: the node's own
    budget: Budget = Budget()


class SendMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`correlation_id` is the idempotency key: the same one sent twice is accepted once, and
    under it only the same text, in whichever workstream.

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
    question names as its `grant`, for the workstream, until it is revoked.
    """

    ws_id: str
    approved: bool = False
    request_id: str = ""
    feedback: str = ""
    always: bool = False
    expired: bool = False  # not an answer of a person: the time for one is over
    by: str = ""
    args_hash: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A permission of a workstream, and exactly what it covers in words. The tool `*` is its
    auto-approve."""

    tool: str
    path: str = ""
    command: str = ""
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


class WorkstreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    state: State
    session_id: str
    title: str = ""
    tokens: int = 0
    context_ratio: float = 0.0
    activity: str = ""
    activity_state: str = ""
    tool_calls: int = 0
    queued: int = 0  # accepted messages that wait for the turn in progress
    updated: float = 0.0  # Unix seconds of the last record
    parent: str = ""  # of a sub-agent: the workstream above it
    agent: str = ""  # `task` or `plan`


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


class Host(Protocol):
    """Every method may raise errors of `turnstone.core.errors`; each names those it adds."""

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        """A new workstream. Raises TooManyWorkstreams, InvalidRequest (workspace, ws_id)."""

    async def send(self, request: SendMessage) -> Accepted:
        """Accept a message: when this returns, it is kept, and will be carried to an end.

        Raises UnknownWorkstream, EmptyMessage, InvalidRequest (auto_approve_tools),
        WorkstreamBusy (only with busy="reject"), CorrelationIdUsed (for another text), Erased.
        """

    async def approve(self, answer: Answer) -> None:
        """Answer a question. Raises UnknownWorkstream; UnknownRequest for a request id that
        does not wait (any more), and for no id where nothing waits; OtherArguments where the
        answer's `args_hash` is not the question's; InvalidRequest for an expired yes."""

    async def policy(self, ws_id: str) -> PolicyView:
        """What decides about the tool calls of a workstream. Raises UnknownWorkstream."""

    async def revoke(self, ws_id: str, grant: Grant, by: str = "") -> bool:
        """Take a permission of the workstream back; it holds for no call that is judged from
        then on. False if it has no such permission. Raises UnknownWorkstream."""

    async def cancel(self, ws_id: str, correlation_id: str = "") -> bool:
        """Stop the turn in progress; or the turn of this message, which may be waiting still.

        False if there is nothing to stop: no turn, or a message that has ended, was never
        accepted, or is read by the model in another's turn. Raises UnknownWorkstream.
        """

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        """How the turn of a message ended; None while it has not (or there is no such message).

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

    async def list(self, *, limit: int | None = None, after: str = "") -> list[WorkstreamInfo]:
        """The open workstreams, in the order of their creation: all of them, or the first `limit`
        behind the workstream `after`, which may have been closed meanwhile.

        Raises UnknownWorkstream for an `after` that was erased; InvalidRequest (limit).
        """

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
