"""A workstream as its journal tells it: the fold of all its records. Pure.

What the model is sent, what a reader starts from, which turn is open and where it stands,
which question waits, what has been permitted, what it has cost: all of it is here, and
nowhere else. `apply` takes one record after another; the same records give the same
transcript, in any process.
"""

from __future__ import annotations

from typing import Any

import msgspec

from turnstone.core.budget import Ledger
from turnstone.core.conversation import Conversation, returned
from turnstone.core.events import (
    ApprovalAnswered,
    ApprovalAsked,
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    CallDecision,
    CallsDecided,
    CancelRequested,
    CommandDone,
    Compacted,
    ConversationSet,
    Event,
    Grant,
    GrantRevoked,
    HistoryMessage,
    MessageAccepted,
    PlanAnswered,
    PlanAsked,
    PromptSet,
    RequestCounted,
    SettingsChanged,
    Shown,
    StepFailed,
    StepFinished,
    StepStarted,
    Tainted,
    Titled,
    ToolCallRecord,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnLeft,
    TurnResumed,
    Usage,
    WsClosed,
    WsCreated,
    WsRename,
    WsReopened,
)
from turnstone.core.learnt import Learnt
from turnstone.core.limits import WorkTime
from turnstone.core.summary import Summary
from turnstone.core.usage import UsedByModel

#: How a workstream's auto-approve is named where permissions are listed and taken back.
EVERY_TOOL = Grant("*")


class OpenTurn:
    """The turn in progress: its message, and its records since."""

    def __init__(self, message: MessageAccepted) -> None:
        self.message = message
        self.records: list[Event] = []
        self.steered: list[MessageAccepted] = []  # that came while it ran, and were taken in
        self.time = WorkTime()
        self.attempts = 1
        self.left = False  # by a process that stopped as it was told to
        self.steps = 0
        self.text = ""  # of the last step
        self.usage: Usage | None = None  # summed over the steps
        self.calls: dict[str, ToolCallRecord] = {}  # of the last step, in source order
        self.running: dict[str, ToolStarted] = {}  # the calls that have no result yet
        self.results: dict[str, ToolFinished] = {}
        self.feedback: list[str] = []  # said with an approval, for the model to read after
        self.said: dict[str, str] = {}  # of calls of the last step: with a refusal, of a plan
        self.shown: dict[str, Shown] = {}  # of the same calls: what pages show of them
        self.questions: dict[str, ApprovalAsked] = {}  # of this turn, answered or not
        self.decided: dict[str, CallDecision] = {}  # of the last step
        self.changed: dict[str, dict[str, Any]] = {}  # of the same calls: arguments of a person

    def asked_now(self) -> list[ApprovalAsked]:
        """The questions about the calls of the last step."""
        asked: list[ApprovalAsked] = []
        for event in reversed(self.records):
            if isinstance(event, StepFinished):
                break
            if isinstance(event, ApprovalAsked):
                asked.append(event)
        return asked


class Transcript:
    """The fold. Attributes are for reading; only `apply` changes them."""

    def __init__(self) -> None:
        self.created = WsCreated()
        self.summary = Summary()
        self.closed = False
        self.auto_approve = False
        self.granted: set[Grant] = set()  # beforehand, and by answers that said always
        self.waiting: list[MessageAccepted] = []  # accepted, no turn has them: the next one first
        self.accepted: set[str] = set()  # the correlation ids of all there were
        self.turn: OpenTurn | None = None
        self.question: ApprovalAsked | None = None
        self.endings: list[TurnEnded] = []  # of the last turn, and of what was steered into it
        self.answers: dict[str, ApprovalAnswered] = {}
        self.plan: PlanAsked | None = None  # that waits for what a person says of it
        self.plans: dict[str, PlanAnswered] = {}
        self.reviews: dict[str, PlanAsked] = {}  # of the open turn, answered ones too
        self.conversation = Conversation()
        self.conversations = 0  # that took the place of another
        self.commands: set[str] = set()  # the ids of commands that left a record
        self.prompt = ""  # the system prompt, as it was last set
        self.title = ""
        self.settings = SettingsChanged()  # all that were changed, as they are now
        self.learnt = Learnt()
        self.tainted: list[str] = []  # what was read from outside, the first of each kind
        self.last_usage: Usage | None = None
        self.ledger = Ledger()
        self.used = UsedByModel()
        self._worked = 0.0  # seconds of work of the turns that have ended
        self.directory = ""  # where commands of this step start; empty: in the workspace
        self._moved = ""  # the same for the next step

    @property
    def worked(self) -> float:
        """Seconds of work of all turns, up to the last record."""
        return self._worked + (self.turn.time.seconds if self.turn is not None else 0.0)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as the model is sent it."""
        return self.conversation.messages

    @property
    def history(self) -> list[HistoryMessage]:
        """The conversation as a reader is shown it."""
        return self.conversation.history

    def apply(self, event: Event) -> None:
        """Take in the next record. Events that are no records change nothing."""
        self.summary = self.summary.after(event)
        self.ledger.apply(event, self.worked)
        self.used.apply(event)
        self.learnt.apply(event)
        if self.turn is not None and event.elapsed is not None and isinstance(event, _IN_ITS_TIME):
            self.turn.time = self.turn.time.after(event)
        match event:
            case WsCreated():
                self.created = event
                self.auto_approve = event.auto_approve
                self.granted.update(map(Grant, event.auto_approve_tools))
            case MessageAccepted():
                self._line_up(event)
                self.accepted.add(event.correlation_id)
            case GrantRevoked():
                self._revoked(event.grant)
            case WsClosed() | WsReopened():
                self.closed = isinstance(event, WsClosed)
            case ApprovalAnswered():
                self._answered(event)
            case TurnEnded():
                self._ended(event)
            case _ if isinstance(event, OF_A_TURN):
                self._in_turn(event)
            case _:
                self._of_the_whole(event)

    def begin(self, correlation_id: str) -> OpenTurn:
        """The turn that answers this message: opened, if it is not open yet.

        Its message enters the conversation here, and not when it was accepted: what was sent
        while another turn ran comes after that turn. Raises LookupError for a message that
        was never accepted.
        """
        if self.turn is None:
            message = self._take(correlation_id)
            self.turn = OpenTurn(message)
            self._heard(message)
        return self.turn

    def permits(self, grant: Grant) -> bool:
        """Whether the workstream has this permission, which may then be revoked."""
        return self.auto_approve if grant == EVERY_TOOL else grant in self.granted

    def open_turn(self) -> OpenTurn:
        """The turn in progress, where there must be one. Raises LookupError where there is not."""
        if self.turn is None:
            raise LookupError("no turn is open")
        return self.turn

    def readable(self) -> list[HistoryMessage]:
        """The conversation for a reader, with the results that are there of calls of which
        others still run; the last assistant message says if a question waits."""
        history = list(self.history)
        turn = self.turn
        if turn is not None and not turn.results.keys() >= turn.calls.keys():
            done = turn.results.values()
            history += [returned(result, turn.said, turn.shown) for result in done]
        if self.question is not None:
            for place in range(len(history) - 1, -1, -1):
                if history[place].role == "assistant":
                    history[place] = msgspec.structs.replace(history[place], pending=True)
                    break
        return history

    def _take(self, correlation_id: str) -> MessageAccepted:
        for place, message in enumerate(self.waiting):
            if message.correlation_id == correlation_id:
                return self.waiting.pop(place)
        raise LookupError(f"a turn for message {correlation_id}, which does not wait for one")

    def _heard(self, message: MessageAccepted) -> None:
        """It enters the conversation, and what it permits holds from here on: not before, when
        it waited, and never if it was taken back."""
        self.conversation.say(
            "user",
            message.message,
            correlation_id=message.correlation_id,
            timestamp=message.timestamp,
            shown=Shown(
                sender=message.sender, steered=message.steer, attachments=message.attachments
            ),
        )
        self.auto_approve |= message.auto_approve
        self.granted.update(map(Grant, message.auto_approve_tools))

    def _line_up(self, message: MessageAccepted) -> None:
        """One that steers goes before what is queued; not before its like, nor before the
        message whose turn is just about to begin."""
        place = len(self.waiting)
        if message.steer:
            first = 0 if self.turn is not None else 1
            queued = (n for n, m in enumerate(self.waiting) if n >= first and not m.steer)
            place = next(queued, place)
        self.waiting.insert(place, message)

    def _of_the_whole(self, event: Event) -> None:
        match event:
            case ConversationSet():
                self.conversation.become(event)
                self.conversations += 1
                self.commands.add(event.correlation_id)
                self.title = self.title if event.why == "rewound" else ""
                self.prompt = ""
                self.last_usage = None
            case Compacted():
                self.conversation.compact(event)
            case PromptSet():
                self.prompt = event.text
            case SettingsChanged():
                self.commands.add(event.correlation_id)
                self.settings = _merged(self.settings, event)
                if any(getattr(event, name) is not None for name in _OF_THE_PROMPT):
                    self.prompt = ""
            case BudgetSet() | WsRename() | CommandDone():
                self.commands.add(event.correlation_id)
            case Titled():
                self.title = event.title
            case Tainted() if event.source not in self.tainted:
                self.tainted.append(event.source)
            case PlanAsked():
                self.plan = self.reviews[event.request_id] = event
            case PlanAnswered():
                self.plans[event.request_id] = event
                self._plan_answered(event)
                if self.plan is not None and self.plan.request_id == event.request_id:
                    self.plan = None

    def _in_turn(self, event: Event) -> None:
        turn = self.begin(event.correlation_id)
        turn.records.append(event)
        turn.time = turn.time.after(event)
        match event:
            case TurnResumed():
                turn.attempts = event.attempt
                turn.left = False
            case TurnLeft():
                turn.left = True
            case StepStarted():
                self._give_feedback(turn)
                self._steer(turn, event.steered)
                for note in event.notes:
                    self.conversation.note(note)
                turn.steps = event.step
                self.directory = self._moved
            case StepFinished():
                self._step_finished(turn, event)
            case ApprovalAsked():
                self.question = event
                turn.questions[event.request_id] = event
            case CallsDecided():
                self.question = None
                turn.decided.update({d.call_id: d for d in event.decisions})
            case CancelRequested():
                self.question = None
            case ToolStarted():
                turn.running[event.call_id] = event
            case ToolFinished():
                self._tool_finished(turn, event)

    def _step_finished(self, turn: OpenTurn, event: StepFinished) -> None:
        turn.text = event.text
        turn.calls = {call.id: call for call in event.tool_calls}
        turn.running = {}
        turn.results = {}
        turn.decided = {}
        turn.changed = {}
        turn.said = {}
        turn.shown = {}
        if event.usage is not None:
            self.last_usage = event.usage
            turn.usage = _sum(turn.usage, event.usage)
        if event.text or event.tool_calls:
            self.conversation.say(
                "assistant",
                event.text,
                event.tool_calls,
                event.finish,
                correlation_id=event.correlation_id,
                timestamp=event.timestamp,
                shown=Shown(reasoning=event.reasoning, step=event.step, model=event.model),
            )

    def _tool_finished(self, turn: OpenTurn, event: ToolFinished) -> None:
        """Results enter the conversation together, in the order in which the model called."""
        turn.shown[event.call_id] = _shown(turn, event)
        turn.running.pop(event.call_id, None)
        turn.results[event.call_id] = event
        self._moved = event.cwd or self._moved
        if turn.results.keys() >= turn.calls.keys():
            results = [turn.results[call_id] for call_id in turn.calls]
            self.conversation.returned(results, turn.said, turn.shown)

    def _answered(self, event: ApprovalAnswered) -> None:
        self.answers[event.request_id] = event
        question = self.question
        if question is None or question.request_id != event.request_id:
            return
        self.question = None
        if event.approved:
            self.granted.update(event.granted)
        if self.turn is None:
            return
        self.turn.changed.update(event.edited)
        if not event.feedback or event.expired:
            return
        asked = [item.call_id for item in question.items if item.needs_approval]
        refused = event.refused if event.approved else asked
        self.turn.said.update(dict.fromkeys(refused, event.feedback))
        if not refused:
            self.turn.feedback.append(event.feedback)

    def _plan_answered(self, event: PlanAnswered) -> None:
        asked = self.plan if self.plan and self.plan.request_id == event.request_id else None
        remark = "" if event.expired or event.feedback == "reject" else event.feedback
        if self.turn is not None and asked is not None and remark:
            self.turn.said[asked.call_id] = remark

    def _revoked(self, grant: Grant) -> None:
        if grant == EVERY_TOOL:
            self.auto_approve = False
        self.granted.discard(grant)

    def _give_feedback(self, turn: OpenTurn) -> None:
        for feedback in turn.feedback:
            self.conversation.say("user", feedback)
        turn.feedback.clear()

    def _steer(self, turn: OpenTurn, correlation_ids: list[str]) -> None:
        for correlation_id in correlation_ids:
            message = self._take(correlation_id)
            turn.steered.append(message)
            self._heard(message)

    def _ended(self, event: TurnEnded) -> None:
        if event.turn:
            self.endings.append(event)
        elif not event.begun:
            self._take(event.correlation_id)
        else:
            turn = self.begin(event.correlation_id)
            self._worked += turn.time.seconds
            self.conversation.show(outcome=event.outcome, reason=event.reason, worked=event.seconds)
            self.turn = None
            self.endings = [event]
            self.question = None
            self.plan = None
            self.reviews.clear()


OF_A_TURN = (
    TurnResumed,
    TurnLeft,
    StepStarted,
    StepFinished,
    StepFailed,
    ApprovalAsked,
    CallsDecided,
    ToolStarted,
    ToolFinished,
    CancelRequested,
)


#: The settings that the system prompt is made of.
_OF_THE_PROMPT = ("persona", "instructions", "creative")

#: Records of no turn that are written while one is worked on: the time before them is its own.
_IN_ITS_TIME = (
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    CommandDone,
    Compacted,
    GrantRevoked,
    MessageAccepted,
    PromptSet,
    RequestCounted,
    SettingsChanged,
    Tainted,
    Titled,
    TurnEnded,
    WsRename,
)


def _shown(turn: OpenTurn, event: ToolFinished) -> Shown:
    """What a page shows of this call: as it was started, or else as a person was asked."""
    started = turn.running.get(event.call_id)
    item = started.item if started is not None else None
    if item is None:
        asked = (item for question in turn.asked_now() for item in question.items)
        item = next((item for item in asked if item.call_id == event.call_id), None)
    return Shown(
        header=item.header if item is not None else "",
        preview=item.preview if item is not None else "",
        seconds=max(0.0, event.timestamp - started.timestamp) if started is not None else 0.0,
    )


def _sum(one: Usage | None, other: Usage) -> Usage:
    if one is None:
        return other
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.total_tokens + other.total_tokens,
    )


def _merged(one: SettingsChanged, other: SettingsChanged) -> SettingsChanged:
    """The settings of `one`, but for those that `other` changed."""
    names = [f.name for f in msgspec.structs.fields(SettingsChanged) if f.default is None]
    changed = {name: value for name in names if (value := getattr(other, name)) is not None}
    return msgspec.structs.replace(one, **changed)
