"""The records of a turn, in the order of its life. Pure data; see `turnstone.core.events`."""

from __future__ import annotations

from typing import Any

from turnstone.core.event_base import (
    Attached,
    CallDecision,
    EffectClass,
    Event,
    Grant,
    Origin,
    Outcome,
    StopOutcome,
    ToolCallRecord,
    ToolItem,
    ToolStatus,
    Usage,
)


class MessageAccepted(Event, frozen=True, kw_only=True):
    """A message is in the journal: from here on it is carried to an end."""

    message: str = ""
    sender: str = ""  # who sent it: a token's name, `terminal`, `queue`
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    steer: bool = False  # it goes to the turn in progress, and before what is queued
    without_tools: bool = False  # the model is to answer it as it is: no tool is offered
    attachments: list[Attached] = []


class TurnResumed(Event, frozen=True, kw_only=True):
    """A process took up a turn that another had left. Attempts are counted from 2."""

    attempt: int = 2


class TurnLeft(Event, frozen=True, kw_only=True):
    """The process that carried the turn out stops, as it was told to: no attempt is used up."""


class StepStarted(Event, frozen=True, kw_only=True):
    """A request to the model is about to be made.

    `steered`: the correlation ids of messages that the model reads with it, behind the results
    of the step before. From here on they belong to this turn, and end with it. `notes`: what
    the model is told besides, behind all of that: what is left of a budget, say. `model`: which
    one is asked.
    """

    step: int = 1
    steered: list[str] = []
    notes: list[str] = []
    model: str = ""


class StepFinished(Event, frozen=True, kw_only=True):
    """The model's whole answer: what was streamed before it, once more and for good."""

    step: int = 1
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallRecord] = []
    usage: Usage | None = None
    money: float = 0.0  # what that has cost, where the model has a price
    model: str = ""
    finish: str = ""
    asked: str = ""  # the model's name in the settings
    model_key: str = ""  # which model that was (`core.models`)
    estimate: int = 0  # tokens of the prompt, estimated before it was counted
    taken: int = 0  # of prompt and answer, estimated, where more was refused just before


class StepFailed(Event, frozen=True, kw_only=True):
    """The model could not be asked, or its answer broke off."""

    error: str = ""


class ApprovalAsked(Event, frozen=True, kw_only=True):
    """A person is asked. The question waits, across restarts, until its id is answered.

    `args_hash` stands for all that is asked: that of the one call, or one over those of several.
    `origin` is the sub-agent that asks, where the question is shown in a workstream above it;
    there it is no record.
    """

    request_id: str = ""
    items: list[ToolItem] = []
    args_hash: str = ""
    origin: Origin | None = None


class ApprovalAnswered(Event, frozen=True, kw_only=True):
    """The answer to one question. The first answer counts; there is no second.

    `granted`: what the answer permits from then on, where it said `always`. `refused`: the calls
    that may not run where the others may. `edited`: calls that were changed, with what became of
    their arguments; then it is neither a yes nor a no, and another question follows. `origin`:
    as in `ApprovalAsked`.
    """

    request_id: str = ""
    approved: bool = False
    feedback: str = ""
    always: bool = False
    expired: bool = False  # nobody answered in time: not the same as a no
    by: str = ""
    granted: list[Grant] = []
    refused: list[str] = []
    edited: dict[str, dict[str, Any]] = {}
    origin: Origin | None = None


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
    images: list[str] = []  # that the model is shown with it, as `core.images` names them


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
    seconds: float = 0.0  # of work, as in `core.limits`
    turn: str = ""
    begun: bool = True

    @property
    def ends_turn(self) -> bool:
        """It ends a turn, and not only the wait for a message that had none of its own."""
        return self.begun and not self.turn


class PlanAsked(Event, frozen=True, kw_only=True):
    """A plan was made, and a person is asked about it. Waits, across restarts, for its answer."""

    request_id: str = ""
    call_id: str = ""
    content: str = ""  # the plan, in Markdown
    path: str = ""  # the file that it was written to, if it was
    origin: Origin | None = None  # as in ApprovalAsked


class PlanAnswered(Event, frozen=True, kw_only=True):
    """What the person said of a plan: nothing is a yes, `reject` a no, all else a remark.
    `unreviewed`: a yes of a program that runs without a person."""

    request_id: str = ""
    feedback: str = ""
    expired: bool = False
    unreviewed: bool = False
    by: str = ""
    origin: Origin | None = None


class BudgetReserved(Event, frozen=True, kw_only=True):
    """What a request to the model, or a tool call, may cost at most is set aside before it is
    made; in the journal of every workstream whose budget it counts against.

    At no cost: for how long a workstream below has worked, where time is limited.
    """

    reservation: str = ""  # unique in the journal
    holder: str = ""  # the workstream that asks: this one, or one below it
    tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0
    worked: float | None = None  # seconds of work of the holder in all, where it is another
    ended: bool = False  # that the turn of the holder ends with it


class RequestCounted(Event, frozen=True, kw_only=True):
    """A request to a model was made whose answer is in no step: for a title, an account of what is
    archived, what a tool looks for in a text; or one of a turn that broke off or was stopped.

    `usage` is estimated where the provider did not count; then `estimate` is 0.
    """

    role: str = ""  # what was asked for: `title`, `compaction`, `extraction`, `chat`
    model: str = ""
    usage: Usage | None = None
    money: float = 0.0  # what that has cost, where the model has a price
    asked: str = ""  # the model's name in the settings
    model_key: str = ""  # which model that was (`core.models`)
    estimate: int = 0  # tokens of the prompt, estimated before it was counted


class BudgetSettled(Event, frozen=True, kw_only=True):
    """What it has cost. One that a crash kept from being settled counts as it was reserved."""

    reservation: str = ""
    tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0
    worked: float | None = None  # as in BudgetReserved
