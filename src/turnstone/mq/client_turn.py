"""One turn as a client follows it: events in, the answer out. Pure.

A step's text is what its ending says, whatever of it was seen while it streamed; so nothing
that was taken back, told twice or missed can get into an answer.
"""

from __future__ import annotations

from turnstone.core import events as ev
from turnstone.core.errors import StoreError
from turnstone.mq import protocol as p
from turnstone.mq import wire
from turnstone.mq.results import STEP_BREAK, UNANSWERED, StoredResult, TurnResult

_MISSED = "Some events of this turn were missed; its result has the whole answer."


class TurnReader:
    """The turn of one message. `result` is what is known so far; `ended` says that no more will
    happen, and `whole` that nothing of it is missing. `resumed`: the id of the last event that
    another reader of it has seen."""

    def __init__(self, correlation_id: str, ws_id: str, *, fresh: bool, resumed: str = "") -> None:
        self.result = TurnResult(correlation_id=correlation_id, ws_id=ws_id)
        self.ended = False
        self.delivered = False  # the queue, or the node, has said that it has the message
        self._questions: dict[str, ev.ApprovalAsked | ev.PlanAsked] = {}
        self._fresh = fresh
        self._begun = bool(resumed)
        self._gap = False
        self._closed = False
        self._place = ev.EventId.parse(resumed) if resumed else None
        self._cursor = resumed  # the id of the last event
        self._step: list[str] = []
        self._before = 0  # parts of the content that earlier steps made

    @property
    def missed(self) -> bool:
        """Events are gone: what was seen may be cut, and the stored result is needed."""
        return self._gap or not self._begun

    @property
    def whole(self) -> bool:
        """The turn has ended, and `result` is all that came of it."""
        return self._closed or (self.ended and not self.missed)

    def read(self, event: ev.Event) -> list[p.OutboundEvent]:
        """Take in an event of the workstream; what a program is told of it."""
        self._check(event)
        self._note_question(event)
        if event.correlation_id != self.result.correlation_id or self.ended:
            return []
        self._collect(event)
        told = wire.outbound(event)
        if isinstance(event, ev.Error) and event.code == "turn_failed":
            return []  # the ending, which follows, says it once more
        if isinstance(event, ev.MessageAccepted):
            told = [*self._created(event), p.AckEvent(), *told]
        if isinstance(event, ev.TurnEnded) and self.missed:
            told = [p.InfoEvent(message=_MISSED), *told]
        return self._placed(told)

    def close(self, stored: StoredResult) -> list[p.OutboundEvent]:
        """The ending as it is kept, for a turn whose events were missed or do not come any more.
        What was seen stands only where nothing is kept; outputs of tools are kept shortened."""
        known, kept = self.result, stored.turn_result()
        seen = known.content, known.reasoning, len(known.tool_results)
        if kept.ok or kept.content_parts:
            known.content_parts = kept.content_parts
        known.reasoning_parts = kept.reasoning_parts or known.reasoning_parts
        known.tool_results = max(known.tool_results, kept.tool_results, key=len)
        known.errors = kept.errors
        known.outcome = kept.outcome
        known.ws_id = kept.ws_id or known.ws_id
        was_told, self.ended, self._closed = self.ended, True, True
        if was_told:
            return []
        cut = seen != (known.content, known.reasoning, len(known.tool_results))
        told: list[p.OutboundEvent] = [p.InfoEvent(message=_MISSED)] if cut or self._gap else []
        told += [p.ErrorEvent(message=error) for error in kept.errors]
        told.append(p.TurnCompleteEvent())
        return self._placed(told)

    def questions(self) -> list[str]:
        """What waits for an answer in the workstream, and how to give one: a sentence for each."""
        return [_in_words(asked) for asked in self._questions.values()]

    def _note_question(self, event: ev.Event) -> None:
        match event:
            case ev.ApprovalAsked() | ev.PlanAsked():
                self._questions[event.request_id] = event
            case ev.ApprovalAnswered() | ev.PlanAnswered():
                self._questions.pop(event.request_id, None)
            case ev.TurnEnded():
                cid, asked = event.correlation_id, self._questions
                self._questions = {r: q for r, q in asked.items() if q.correlation_id != cid}

    def _placed(self, told: list[p.OutboundEvent]) -> list[p.OutboundEvent]:
        """With what all events of a turn say: whose they are, and behind which one to go on."""
        for one in told:
            one.ws_id = one.ws_id or self.result.ws_id
            one.correlation_id = one.correlation_id or self.result.correlation_id
            if self._cursor:
                one.extra.setdefault("event_id", self._cursor)
        return told

    def _check(self, event: ev.Event) -> None:
        """Ids follow each other without a hole; a hole is something that was missed."""
        if not event.id:
            return
        place, self._cursor = ev.EventId.parse(event.id), event.id
        before, self._place = self._place, place
        if before is not None and self._begun:
            self._gap |= place not in {(before.seq, before.n + 1), (before.seq + 1, 0)}

    def _created(self, event: ev.MessageAccepted) -> list[p.OutboundEvent]:
        if not self._fresh:
            return []
        return [p.WorkstreamCreatedEvent(ws_id=event.ws_id)]

    def _collect(self, event: ev.Event) -> None:
        known = self.result
        match event:
            case ev.MessageAccepted():
                self._begun = True
            case ev.StepStarted() | ev.StreamReset():
                self._forget_step()
            case ev.Content():
                self._say(event.text)
            case ev.Reasoning():
                known.reasoning_parts.append(event.text)
            case ev.StepFinished():
                if self._said() != event.text:
                    self._forget_step()
                    self._say(event.text)
                self._before = len(known.content_parts)
            case ev.ToolFinished():
                known.tool_results.append((event.name, event.output))
            case ev.Error() if event.code != StoreError.code:  # with that the turn goes on later
                known.errors.append(event.message)
            case ev.TurnEnded():
                known.outcome = event.outcome
                if event.outcome in UNANSWERED and not known.errors:
                    why = event.reason or f"The turn {UNANSWERED[event.outcome]}."
                    known.errors.append(why)
                self.ended = True

    def _say(self, text: str) -> None:
        parts = self.result.content_parts
        if text and self._before and len(parts) == self._before:
            parts.append(STEP_BREAK)
        if text:
            parts.append(text)

    def _said(self) -> str:
        """What this step has said so far."""
        said = "".join(self.result.content_parts[self._before :])
        return said.removeprefix(STEP_BREAK) if self._before else said

    def _forget_step(self) -> None:
        del self.result.content_parts[self._before :]


def place_of(cursor: str) -> tuple[str, str]:
    """The workstream and the event id of a cursor; both empty for none. Raises ValueError."""
    ws_id, _, place = cursor.partition(":")
    if not cursor:
        return "", ""
    try:
        ev.EventId.parse(place)
    except ValueError:
        ws_id = ""
    if not ws_id:
        raise ValueError(f"after: {cursor!r} is no cursor; give that of an event.")
    return ws_id, place


def _in_words(asked: ev.ApprovalAsked | ev.PlanAsked) -> str:
    if isinstance(asked, ev.PlanAsked):
        return (
            "A plan waits for a review. Give it with"
            f' plan_feedback("{asked.request_id}", ws_id="{asked.ws_id}"), or as it is asked, in'
            " on_event (the id is the correlation_id of the plan_review)."
        )
    return (
        f"A question waits for an answer: may {_tools(asked)} run? Answer it with"
        f' approve("{asked.request_id}", ws_id="{asked.ws_id}"), or as it is asked, in'
        " on_event (the id is the correlation_id of the approval_request)."
    )


def _tools(asked: ev.ApprovalAsked) -> str:
    items = [item for item in asked.items if item.needs_approval] or asked.items
    return " and ".join(dict.fromkeys(item.name for item in items)) or "its tools"
