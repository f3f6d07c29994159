"""What has happened in a turn: the input of the turn reducer, and the content of its journal.

Data only, frozen, comparable. A host that records every signal it feeds can rebuild a turn
by feeding them again (`oturn.turn.replay`). Nothing here says what to do about a signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

ToolStatus: TypeAlias = Literal[
    "ok",  # it ran, and says it succeeded
    "error",  # it ran, and failed
    "invalid",  # never started: the call itself could not be understood
    "denied",  # never started: a rule or a person said no
    "expired",  # never started: nobody answered in time
    "cancelled",  # the turn was stopped before it could finish
    "unknown",  # it was started, and nobody knows how it ended
]
"""How a tool call ended. `unknown` is never shown as success, nor as failure."""

Verdict: TypeAlias = Literal[
    "allow",  # it may run
    "deny",  # a rule or a person said no
    "expired",  # nobody answered in time
    "invalid",  # it cannot be run as it was asked for
]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model made it.

    `arguments` is the text the model sent, byte for byte (providers want it back unchanged);
    `parsed` the object it stands for, or None with the reason in `problem`. `repaired` says
    what had to be put right before the text could be read.
    """

    id: str
    name: str
    arguments: str = ""
    parsed: Mapping[str, Any] | None = None
    problem: str = ""
    repaired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """One whole answer of the model: text, reasoning, tool calls, and what it cost.

    Its calls have ids that are distinct and not empty, whatever the server sent: some leave
    them out, some repeat them, and every id must get exactly one result.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Mapping[str, Any] | None = None
    model: str | None = None
    finish: str | None = None  # the provider's finish_reason, as sent; None if it sent none

    def __post_init__(self) -> None:
        object.__setattr__(self, "tool_calls", _with_distinct_ids(self.tool_calls))


def _with_distinct_ids(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    taken: set[str] = set()
    distinct = []
    for place, call in enumerate(calls):
        call_id = call.id or f"call_{place}"
        while call_id in taken:
            call_id = f"{call_id}_{place}"
        taken.add(call_id)
        distinct.append(call if call_id == call.id else replace(call, id=call_id))
    return tuple(distinct)


@dataclass(frozen=True, slots=True)
class Decision:
    """What may happen with one call. `concurrent`: it may run beside its neighbours.

    `reason` is what the model is told about a call that may not run.
    `needs_input`: after a refusal the turn hands back to the person instead of the model.
    """

    call_id: str
    verdict: Verdict
    reason: str = ""
    concurrent: bool = False
    needs_input: bool = False


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn begins; the user's message is in the history already."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A request to the model is about to be made. Steps are counted from 1."""

    step: int


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The model's answer is complete."""

    message: AssistantMessage


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The model could not be asked, or its answer broke off. The turn ends with this sentence."""

    error: str


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A person has been asked about these calls, under this id, and the turn waits."""

    request_id: str
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallsDecided:
    """Rules or a person have spoken about these calls."""

    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The intent, recorded before the tool is started: from here on it may have had effects."""

    call_id: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """The outcome of one call; `text` is what the model reads.

    `detail` is the host's own: it travels with the signal and is never looked into here.
    """

    call_id: str
    status: ToolStatus
    text: str = ""
    needs_input: bool = False
    detail: object = field(default=None, compare=False)


StopOutcome: TypeAlias = Literal[
    "cancelled",  # somebody stopped it
    "failed",  # the host gave it up
    "max_time",  # the host's limit of time was reached
    "max_tokens",  # the host's limit of tokens was reached
    "over_budget",  # what the host had set aside for the work is used up
]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The turn was stopped: by somebody, or by the host, as the outcome says."""

    reason: str = "cancelled"
    outcome: StopOutcome = "cancelled"


Signal: TypeAlias = (
    TurnStarted
    | StepStarted
    | StepFinished
    | StepFailed
    | ApprovalAsked
    | CallsDecided
    | ToolStarted
    | ToolFinished
    | Cancelled
)
