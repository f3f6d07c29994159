"""What all events are made of: ids, the common fields, and the data that several of them carry.

The vocabulary itself is in `turnstone.core.events`, which gives these names on. Pure.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

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
    "over_budget",
    "needs_input",
    "failed",
    "cancelled",
]
StopOutcome: TypeAlias = Literal["cancelled", "failed", "max_time", "max_tokens", "over_budget"]
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
    `timestamp` is in Unix seconds. `elapsed` is in seconds since the record before, on a clock
    that is never set; None where that record is of another process.
    """

    ws_id: str = ""
    id: str = ""
    correlation_id: str = ""
    timestamp: float = 0.0
    elapsed: float | None = None

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
    confined: str = ""  # of a command: how it has to be, `L3 without network, in the background`


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


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came with a message: an image by its name (`core.images`), or a text whole."""

    name: str = ""  # as the person's file is called
    media_type: str = ""
    size: int = 0  # bytes of an image, characters of a text
    image: str = ""
    text: str = ""


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a page shows with a message besides what was said: so that one that is opened late
    shows what one that was open all the time does."""

    sender: str = ""  # of a person's message
    steered: bool = False  # it went to a turn in progress
    attachments: list[Attached] = []  # that came with it
    reasoning: str = ""  # of an answer
    step: int = 0
    model: str = ""
    header: str = ""  # of a tool's result: what the call did, as in ToolItem
    preview: str = ""
    seconds: float = 0.0  # that it took
    compacted: bool = False  # behind it the messages before were compacted
    outcome: Outcome | None = None  # the turn ended with it, so
    reason: str = ""
    worked: float = 0.0  # seconds of work of that turn


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`correlation_id`: of a person's message its own, which rewinding and forking name; of all
    others that of their turn. Empty, and `timestamp` 0, where it comes from elsewhere or from
    before these were kept."""

    role: Literal["user", "assistant", "tool"]
    content: str
    tool_calls: list[ToolCallRecord] = []
    tool_call_id: str = ""
    status: str = ""
    said: str = ""  # by the person of this call: why it was refused, a remark on the plan it made
    pending: bool = False
    correlation_id: str = ""
    timestamp: float = 0.0  # Unix seconds
    shown: Shown = Shown()


class Shortened(msgspec.Struct, frozen=True):
    """A message that is sent with less in it than was said: `at` counts those sent before."""

    at: int
    content: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The sub-agent that something comes from, as shown in the workstreams above it."""

    ws_id: str = ""
    name: str = ""
    agent: str = ""  # `task`, `plan`


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may be used in all. 0: no limit."""

    tokens: int = 0
    seconds: float = 0.0  # of work, as in `core.limits`
    tool_calls: int = 0
    money: float = 0.0  # in the currency of the price table


class Left(msgspec.Struct, frozen=True):
    """What is left of a budget, by kind. None: no limit."""

    tokens: int | None = None
    seconds: float | None = None
    tool_calls: int | None = None
    money: float | None = None

    def least(self, other: Left) -> Left:
        """What is left where both hold."""
        return Left(
            _least(self.tokens, other.tokens),
            _least(self.seconds, other.seconds),
            _least(self.tool_calls, other.tool_calls),
            _least(self.money, other.money),
        )

    @property
    def limited(self) -> bool:
        return self != Left()

    def in_words(self) -> str:
        """For the model and for people: `12,000 tokens, 3 tool calls`; empty without a limit."""
        told = []
        if self.tokens is not None:
            told.append(counted(max(0, self.tokens), "token"))
        if self.seconds is not None:
            told.append(f"{counted(max(0, round(self.seconds)), 'second')} of work")
        if self.tool_calls is not None:
            told.append(counted(max(0, self.tool_calls), "tool call"))
        if self.money is not None:
            told.append(f"{max(0.0, self.money):.4f} of money")
        return ", ".join(told)


def counted(number: int, what: str) -> str:
    """`1 tool call`, `1,200 tokens`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _least(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
