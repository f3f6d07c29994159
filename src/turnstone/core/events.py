"""The one vocabulary of a workstream: every record of its journal and every live event.

An event is defined here once, and crosses journal, live log, HTTP, Redis and browser as the
same flat JSON object (its *envelope*): the fields of its class, `type`, and the four common
fields of `Event`. Nobody re-spells it; the names of the 0.2 wire that differ are in one
table at the edge (`turnstone.api.wire02`). Pure: no clock, no I/O.

Some events are records (`JOURNALED`): they are kept for ever, and everything else (the
transcript, the REST views, what the model is sent) is a fold of them. The rest are live
only: fragments of text while they stream, states, notices.

An event's id is `<seq>-<n>`: the journal's last sequence number when it was made, and the
position since. Records have n = 0. Ids rise strictly within a workstream, across restarts too.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

ToolStatus: TypeAlias = Literal[
    "ok", "error", "invalid", "denied", "expired", "cancelled", "unknown"
]
EffectClass: TypeAlias = Literal["pure", "idempotent", "effect", "agent"]
Outcome: TypeAlias = Literal[
    "done",
    "empty",
    "max_steps",
    "max_time",
    "max_tokens",
    "needs_input",
    "failed",
    "cancelled",
]
StopOutcome: TypeAlias = Literal["cancelled", "failed", "max_time", "max_tokens"]
State: TypeAlias = Literal["idle", "thinking", "running", "attention", "error"]

STATES: tuple[State, ...] = ("idle", "thinking", "running", "attention", "error")


class EventId(NamedTuple):
    """Where in a workstream's log: compares like the tuple it is."""

    seq: int
    n: int = 0

    def __str__(self) -> str:
        return f"{self.seq}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """`12-3` or `12`. Raises ValueError for anything else."""
        seq, _, n = text.partition("-")
        if not seq.isascii() or not seq.isdigit() or not (n or "0").isdigit() or not n.isascii():
            raise ValueError(f"an event id looks like 12-3, not {text!r}")
        return cls(int(seq), int(n or 0))


def _type_of(class_name: str) -> str:
    """`StepFinished` is `step_finished` on the wire."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name).lstrip("_")


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_type_of):
    """What all events carry. The live log fills these in; makers of events leave them alone.

    `correlation_id` names the message that the event belongs to, and so the turn.
    `timestamp` is in Unix seconds.
    """

    ws_id: str = ""
    id: str = ""
    correlation_id: str = ""
    timestamp: float = 0.0

    @property
    def type(self) -> str:
        return str(self.__struct_config__.tag)


class ToolCallRecord(msgspec.Struct, frozen=True):
    """A tool call as the model made it; `arguments` is the text it sent, byte for byte."""

    id: str
    name: str
    arguments: str


class Grant(msgspec.Struct, frozen=True):
    """What is permitted for a workstream: a tool inside its workspace, or on exactly one path,
    or for exactly one command."""

    tool: str
    path: str = ""  # absolute, resolved; of a command where it starts; empty: (in) the workspace
    command: str = ""  # its exact text; empty: whatever the command


class ToolItem(msgspec.Struct, frozen=True, kw_only=True):
    """One call as a person is shown it. The fields of the 0.2 wire, and what it lacked."""

    call_id: str
    name: str
    func_name: str  # the same name, under its 0.2 spelling
    header: str  # one line: what it does
    preview: str = ""  # the exact command, or a unified diff of what will happen
    approval_label: str = ""
    needs_approval: bool = False
    error: str | None = None
    arguments: dict[str, Any] = {}
    args_hash: str = ""  # an answer holds for exactly these arguments
    rule: str = ""  # the rule that decided, or that made the question necessary
    grant: str = ""  # what an answer with `always` permits from then on; empty: nothing
    grants: list[Grant] = []  # the same, for programs


class CallDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What may happen with one call, and which rule or person said so."""

    call_id: str
    verdict: Literal["allow", "deny", "expired", "invalid"]
    rule: str = ""
    reason: str = ""
    args_hash: str = ""
    expects: str = ""  # what the world must still look like, as the tool says it
    concurrent: bool = False


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


# Records, in the order of a turn's life.


class WsCreated(Event, frozen=True, kw_only=True):
    """The first record of every workstream."""

    name: str = ""
    session_id: str = ""
    workspace: str = ""  # absolute path that file tools and commands work in
    auto_approve: bool = False
    auto_approve_tools: list[str] = []


class MessageAccepted(Event, frozen=True, kw_only=True):
    """A message is in the journal: from here on it is carried to an end."""

    message: str = ""
    sender: str = ""  # who sent it: a token's name, `terminal`, `queue`
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    steer: bool = False  # it goes to the turn in progress, and before what is queued


class TurnResumed(Event, frozen=True, kw_only=True):
    """A process took up a turn that another had left. Attempts are counted from 2."""

    attempt: int = 2


class TurnLeft(Event, frozen=True, kw_only=True):
    """The process that carried the turn out stops, as it was told to: no attempt is used up."""


class StepStarted(Event, frozen=True, kw_only=True):
    """A request to the model is about to be made.

    `steered`: the correlation ids of messages that the model reads with it, behind the results
    of the step before. From here on they belong to this turn, and end with it.
    """

    step: int = 1
    steered: list[str] = []


class StepFinished(Event, frozen=True, kw_only=True):
    """The model's whole answer: what was streamed before it, once more and for good."""

    step: int = 1
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallRecord] = []
    usage: Usage | None = None
    model: str = ""
    finish: str = ""


class StepFailed(Event, frozen=True, kw_only=True):
    """The model could not be asked, or its answer broke off."""

    error: str = ""


class ApprovalAsked(Event, frozen=True, kw_only=True):
    """A person is asked. The question waits, across restarts, until its id is answered.

    `args_hash` stands for all that is asked: that of the one call, or one over those of several.
    """

    request_id: str = ""
    items: list[ToolItem] = []
    args_hash: str = ""


class ApprovalAnswered(Event, frozen=True, kw_only=True):
    """The answer to one question. The first answer counts; there is no second.

    `granted`: what the answer permits from then on, where it said `always`.
    """

    request_id: str = ""
    approved: bool = False
    feedback: str = ""
    always: bool = False
    expired: bool = False  # nobody answered in time: not the same as a no
    by: str = ""
    granted: list[Grant] = []


class CallsDecided(Event, frozen=True, kw_only=True):
    """What may happen with the calls of a step, and why."""

    decisions: list[CallDecision] = []


class ToolStarted(Event, frozen=True, kw_only=True):
    """The intent, kept before the tool is started: from here on it may have had effects."""

    call_id: str = ""
    name: str = ""
    effect: EffectClass = "effect"
    args_hash: str = ""
    item: ToolItem | None = None


class ToolFinished(Event, frozen=True, kw_only=True):
    """The outcome of a call. Status `unknown`: it was started, and nobody knows how it ended."""

    call_id: str = ""
    name: str = ""
    status: ToolStatus = "ok"
    output: str = ""  # what the model reads
    cwd: str = ""  # where commands start from the next step on; empty: where they did


class CancelRequested(Event, frozen=True, kw_only=True):
    """The turn was stopped: by somebody, or (any other outcome) by the node, for the reason."""

    reason: str = "cancelled"
    outcome: StopOutcome = "cancelled"


class TurnEnded(Event, frozen=True, kw_only=True):
    """The last event of its turn, in the same order as its content. One for each message.

    A message that was steered into a turn has its own behind the turn's: with the same outcome
    and answer, no cost, and in `turn` the correlation id of that turn. A message that was
    taken back while it waited has one with `begun` false: no turn was ever made of it.
    """

    outcome: Outcome = "done"
    reason: str = ""
    text: str = ""  # the answer: the text of the turn's last step
    steps: int = 0
    usage: Usage | None = None  # summed over the turn's steps
    turn: str = ""
    begun: bool = True

    @property
    def ends_turn(self) -> bool:
        """It ends a turn, and not only the wait for a message that had none of its own."""
        return self.begun and not self.turn


class GrantRevoked(Event, frozen=True, kw_only=True):
    """A permission of the workstream was taken back. The tool `*` is its auto-approve."""

    grant: Grant = Grant("")
    by: str = ""


class WsRename(Event, frozen=True, kw_only=True):
    name: str = ""


class WsClosed(Event, frozen=True, kw_only=True):
    reason: str = ""


# Live events: never in the journal.


class Content(Event, frozen=True, kw_only=True):
    """A piece of the answer's text."""

    text: str = ""


class Reasoning(Event, frozen=True, kw_only=True):
    """A piece of the model's reasoning."""

    text: str = ""


class StreamReset(Event, frozen=True, kw_only=True):
    """The text streamed since the last `step_started` is void: the model is asked again."""

    step: int = 1


class ToolOutput(Event, frozen=True, kw_only=True):
    """Output of a command while it runs."""

    call_id: str = ""
    text: str = ""


class Status(Event, frozen=True, kw_only=True):
    """The cost of a turn, just before its ending. Numbers of its last request; `pct` in percent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    context_window: int = 0
    pct: float = 0.0
    effort: str = ""


class Info(Event, frozen=True, kw_only=True):
    message: str = ""


class Error(Event, frozen=True, kw_only=True):
    message: str = ""
    code: str = ""


class BusyError(Event, frozen=True, kw_only=True):
    message: str = ""


class Connected(Event, frozen=True, kw_only=True):
    """The first event that a new reader gets."""

    model: str = ""
    skip_permissions: bool = False
    name: str = ""
    state: State = "idle"


class Truncated(Event, frozen=True, kw_only=True):
    """The reader missed events that are gone: drop what you have, a snapshot follows."""


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["user", "assistant", "tool"]
    content: str
    tool_calls: list[ToolCallRecord] = []
    tool_call_id: str = ""
    status: str = ""
    pending: bool = False


class History(Event, frozen=True, kw_only=True):
    """The conversation so far: the snapshot that a reader starts from.

    What the step in progress has streamed already follows it as `reasoning` and `content`,
    each call that runs as `tool_started` and what it has printed as `tool_output`, and the
    question that waits as `approval_asked`. All of them carry one id: the place up to which
    the snapshot is complete.
    """

    messages: list[HistoryMessage] = []


class WsState(Event, frozen=True, kw_only=True):
    """The state of a workstream, on the node's global stream."""

    state: State = "idle"
    tokens: int = 0
    context_ratio: float = 0.0
    activity: str = ""
    activity_state: str = ""


AnyEvent: TypeAlias = (
    WsCreated
    | MessageAccepted
    | TurnResumed
    | TurnLeft
    | StepStarted
    | StepFinished
    | StepFailed
    | ApprovalAsked
    | ApprovalAnswered
    | CallsDecided
    | ToolStarted
    | ToolFinished
    | CancelRequested
    | TurnEnded
    | GrantRevoked
    | WsRename
    | WsClosed
    | Content
    | Reasoning
    | StreamReset
    | ToolOutput
    | Status
    | Info
    | Error
    | BusyError
    | Connected
    | Truncated
    | History
    | WsState
)

JOURNALED: tuple[type[Event], ...] = (
    WsCreated,
    MessageAccepted,
    TurnResumed,
    TurnLeft,
    StepStarted,
    StepFinished,
    StepFailed,
    ApprovalAsked,
    ApprovalAnswered,
    CallsDecided,
    ToolStarted,
    ToolFinished,
    CancelRequested,
    TurnEnded,
    GrantRevoked,
    WsRename,
    WsClosed,
)

_HALVES = re.compile("[\ud800-\udfff]")

EventT = TypeVar("EventT", bound=Event)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """The envelope: one JSON object on one line."""
    return _encoder.encode(event)


def sound(event: EventT) -> EventT:
    """The event, fit to be encoded: halves of characters (lone surrogates) become U+FFFD.

    They come from models, file names and keyboards, have no UTF-8, and must not stop a turn.
    """
    try:
        _encoder.encode(event)
    except UnicodeEncodeError:
        return msgspec.convert(_without_halves(msgspec.to_builtins(event)), type(event))
    return event


def _without_halves(value: Any) -> Any:
    match value:
        case str():
            return _HALVES.sub("\N{REPLACEMENT CHARACTER}", value)
        case list():
            return [_without_halves(part) for part in value]
        case dict():
            return {_without_halves(key): _without_halves(part) for key, part in value.items()}
    return value


def decode(data: bytes | str) -> AnyEvent:
    """The event of an envelope; unknown fields are dropped.

    Raises msgspec.ValidationError for an unknown type or a field of the wrong type, and
    msgspec.DecodeError for bytes that are no JSON.
    """
    return _decoder.decode(data)
