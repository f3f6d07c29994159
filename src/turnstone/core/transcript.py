"""A workstream as its journal tells it: the fold of all its records. Pure.

What the model is sent, what a reader starts from, which turn is open and where it stands,
which question waits, what has been permitted, what it has cost: all of it is here, and
nowhere else. `apply` takes one record after another; the same records give the same
transcript, in any process.
"""

from __future__ import annotations

from typing import Any

import msgspec

from oturn.arguments import sendable_arguments
from turnstone.core.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CallDecision,
    CallsDecided,
    CancelRequested,
    Event,
    Grant,
    GrantRevoked,
    HistoryMessage,
    MessageAccepted,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolCallRecord,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnLeft,
    TurnResumed,
    Usage,
    WsClosed,
    WsCreated,
)
from turnstone.core.limits import WorkTime
from turnstone.core.summary import Summary

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
        self.questions: dict[str, ApprovalAsked] = {}  # of this turn, answered or not
        self.decided: dict[str, CallDecision] = {}  # of the last step


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
        self.messages: list[dict[str, Any]] = []  # as the model is sent them
        self.history: list[HistoryMessage] = []  # as a reader is shown them
        self.last_usage: Usage | None = None
        self.directory = ""  # where commands of this step start; empty: in the workspace
        self._moved = ""  # the same for the next step

    def apply(self, event: Event) -> None:
        """Take in the next record. Events that are no records change nothing."""
        self.summary = self.summary.after(event)
        match event:
            case WsCreated():
                self.created = event
                self.auto_approve = event.auto_approve
                self.granted.update(map(Grant, event.auto_approve_tools))
            case MessageAccepted():
                self._line_up(event)
                self.accepted.add(event.correlation_id)
                self.auto_approve |= event.auto_approve
                self.granted.update(map(Grant, event.auto_approve_tools))
            case GrantRevoked():
                self._revoked(event.grant)
            case WsClosed():
                self.closed = True
            case ApprovalAnswered():
                self._answered(event)
            case TurnEnded():
                self._ended(event)
            case _:
                self._in_turn(event)

    def begin(self, correlation_id: str) -> OpenTurn:
        """The turn that answers this message: opened, if it is not open yet.

        Its message enters the conversation here, and not when it was accepted: what was sent
        while another turn ran comes after that turn. Raises LookupError for a message that
        was never accepted.
        """
        if self.turn is None:
            message = self._take(correlation_id)
            self.turn = OpenTurn(message)
            self._say("user", message.message)
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
        """The conversation for a reader; the last assistant message says if a question waits."""
        history = list(self.history)
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

    def _line_up(self, message: MessageAccepted) -> None:
        """One that steers goes before what is queued; not before its like, nor before the
        message whose turn is just about to begin."""
        place = len(self.waiting)
        if message.steer:
            first = 0 if self.turn is not None else 1
            queued = (n for n, m in enumerate(self.waiting) if n >= first and not m.steer)
            place = next(queued, place)
        self.waiting.insert(place, message)

    def _in_turn(self, event: Event) -> None:
        if not isinstance(event, _OF_A_TURN):
            return
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
        if event.usage is not None:
            self.last_usage = event.usage
            turn.usage = _sum(turn.usage, event.usage)
        if event.text or event.tool_calls:
            self._say("assistant", event.text, event.tool_calls, event.finish)

    def _tool_finished(self, turn: OpenTurn, event: ToolFinished) -> None:
        """Results enter the conversation together, in the order in which the model called."""
        turn.running.pop(event.call_id, None)
        turn.results[event.call_id] = event
        self._moved = event.cwd or self._moved
        if turn.results.keys() >= turn.calls.keys():
            for call_id in turn.calls:
                result = turn.results[call_id]
                self.messages.append(
                    {"role": "tool", "tool_call_id": call_id, "content": result.output}
                )
                self.history.append(
                    HistoryMessage(
                        role="tool",
                        content=result.output,
                        tool_call_id=call_id,
                        status=result.status,
                    )
                )

    def _answered(self, event: ApprovalAnswered) -> None:
        self.answers[event.request_id] = event
        question = self.question
        if question is None or question.request_id != event.request_id:
            return
        self.question = None
        if event.approved:
            self.granted.update(event.granted)
        if event.approved and event.feedback and self.turn is not None:
            self.turn.feedback.append(event.feedback)

    def _revoked(self, grant: Grant) -> None:
        if grant == EVERY_TOOL:
            self.auto_approve = False
        self.granted.discard(grant)

    def _give_feedback(self, turn: OpenTurn) -> None:
        for feedback in turn.feedback:
            self._say("user", feedback)
        turn.feedback.clear()

    def _steer(self, turn: OpenTurn, correlation_ids: list[str]) -> None:
        for correlation_id in correlation_ids:
            message = self._take(correlation_id)
            turn.steered.append(message)
            self._say("user", message.message)

    def _ended(self, event: TurnEnded) -> None:
        if event.turn:
            self.endings.append(event)
        elif not event.begun:
            self._take(event.correlation_id)
        else:
            self.begin(event.correlation_id)
            self.turn = None
            self.endings = [event]
            self.question = None

    def _say(
        self, role: str, text: str, calls: list[ToolCallRecord] | None = None, finish: str = ""
    ) -> None:
        message: dict[str, Any] = {"role": role, "content": text}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": sendable_arguments(call.arguments, finish or None),
                    },
                }
                for call in calls
            ]
        self.messages.append(message)
        self.history.append(
            HistoryMessage(
                role="assistant" if role == "assistant" else "user",
                content=text,
                tool_calls=calls or [],
            )
        )


_OF_A_TURN = (
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


def _sum(one: Usage | None, other: Usage) -> Usage:
    if one is None:
        return other
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.total_tokens + other.total_tokens,
    )
