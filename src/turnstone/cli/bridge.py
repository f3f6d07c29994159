"""A workstream's events without their seams: each thing once, whatever was missed. Pure.

A reader that falls behind, or whose connection breaks for long, is told `truncated` and given
a snapshot of the whole conversation. Whoever prints as it comes cannot take anything back, so
this turns the snapshot into the ordinary events that were missed, and nothing else. It draws
nothing and waits for nothing; `cli.feed` feeds it.

What the snapshot does not hold stays missing: the output of single calls of a step that still
runs, and the exact ending of a turn that ended meanwhile. A turn of somebody else that began
and answered in the same gap is taken for the end of ours, and a message that came in a gap for
the same words said later: a history has no ids to tell them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from turnstone.core import events as ev

#: Events that belong to the turn in progress, and to no message that waits behind it.
_OF_A_TURN = (
    ev.TurnResumed
    | ev.TurnLeft
    | ev.StepStarted
    | ev.StepFinished
    | ev.StepFailed
    | ev.ApprovalAsked
    | ev.CallsDecided
    | ev.ToolStarted
    | ev.ToolFinished
    | ev.TurnEnded
    | ev.Content
    | ev.Reasoning
)

_AWAY = "it ended while the node could not be followed"


class Bridge:
    """Use one for one workstream: `take` every event of `Host.follow`, in order."""

    def __init__(self) -> None:
        self._place: ev.EventId | None = None  # the last event taken
        self._first = False  # in the snapshot of the first join: all of it is news
        self._state: ev.State | None = None  # of the snapshot of a rejoin, while it comes in
        self._waiting: dict[str, str] = {}  # accepted messages whose turns have not ended
        self._over: Counter[str] = Counter()  # messages whose turns have
        self._begun = ""  # the message whose turn is in progress, as far as is known
        self._turn = _Turn()
        self._asked: set[str] = set()

    def take(self, event: ev.Event) -> list[ev.Event]:
        """What this event says that was not said before: mostly itself, often nothing."""
        match event:
            case ev.Truncated():
                return []
            case ev.Connected():
                return self._connected(event)
        place = ev.EventId.parse(event.id)
        if self._place is not None and place <= self._place:
            if self._state is not None:
                return self._in_snapshot(event)
            if not self._first:
                return []
        else:
            self._first, self._state, self._place = False, None, place
        return self._noted(event)

    def _connected(self, event: ev.Connected) -> list[ev.Event]:
        self._first = self._place is None
        self._state = None if self._first else event.state
        self._place = ev.EventId.parse(event.id)
        return [event] if self._first else []

    def _noted(self, event: ev.Event) -> list[ev.Event]:
        before = [*self._overtaken(event), *self._turn.void()]
        match event:
            case ev.History():
                self._over = Counter(m.content for m in event.messages if m.role == "user")
            case ev.MessageAccepted():
                self._waiting[event.correlation_id] = event.message
            case ev.ApprovalAsked():
                self._asked.add(event.request_id)
            case ev.TurnEnded():
                self._end(event.correlation_id)
            case _:
                self._turn.note(event)
        return [*before, event]

    def _overtaken(self, event: ev.Event) -> Iterator[ev.Event]:
        """Turns run one at a time: where another one goes on, the one before has ended."""
        if not isinstance(event, _OF_A_TURN):
            return
        if self._begun in self._waiting and self._begun != event.correlation_id:
            ending = self._ending(self._begun, failed=False)
            yield msgspec.structs.replace(ending, ws_id=event.ws_id, id=event.id)
        self._begun = event.correlation_id

    def _in_snapshot(self, event: ev.Event) -> list[ev.Event]:
        match event:
            case ev.History():
                return [self._dressed(missed, event) for missed in self._missed(event.messages)]
            case ev.Content() | ev.Reasoning():
                return [self._dressed(part, event) for part in self._turn.rest_of(event)]
            case ev.ApprovalAsked() if event.request_id not in self._asked:
                self._asked.add(event.request_id)
                return [event]
        return []

    def _missed(self, messages: Sequence[ev.HistoryMessage]) -> Iterator[ev.Event]:
        """The events of accepted messages that the snapshot tells of and nobody has seen."""
        while self._waiting:
            correlation_id, asked = next(iter(self._waiting.items()))
            begun = _occurrence(messages, asked, self._over[asked])
            if begun is None:
                return
            if self._begun != correlation_id:
                self._begun, self._turn = correlation_id, _Turn()
            upto = self._next_begun(messages, begun)
            yield from self._turn.missed(messages[begun + 1 : upto])
            if upto is None and self._state not in ("idle", "error"):
                return
            yield self._ending(correlation_id, failed=upto is None and self._state == "error")

    def _next_begun(self, messages: Sequence[ev.HistoryMessage], begun: int) -> int | None:
        """Where the turn behind the one in progress begins, if it has."""
        if len(self._waiting) < 2:
            return None
        asked = list(self._waiting.values())[1]
        return _occurrence(messages, asked, self._over[asked], begun + 1)

    def _ending(self, correlation_id: str, *, failed: bool) -> ev.TurnEnded:
        text = self._turn.answer
        self._end(correlation_id)
        outcome: ev.Outcome = "failed" if failed else "done" if text else "cancelled"
        reason = "" if outcome == "done" else _AWAY
        return ev.TurnEnded(
            correlation_id=correlation_id, outcome=outcome, reason=reason, text=text
        )

    def _end(self, correlation_id: str) -> None:
        message = self._waiting.pop(correlation_id, None)
        if message is not None:
            self._over[message] += 1
        self._turn = _Turn()

    def _dressed(self, event: ev.Event, snapshot: ev.Event) -> ev.Event:
        """With the common fields that a missed event would have had, as far as they are known."""
        return msgspec.structs.replace(
            event,
            ws_id=snapshot.ws_id,
            id=snapshot.id,
            timestamp=snapshot.timestamp,
            correlation_id=event.correlation_id or next(iter(self._waiting), ""),
        )


class _Turn:
    """What has been seen of the turn in progress."""

    def __init__(self) -> None:
        self.answer = ""  # its last words, if no call follows them
        self._said = 0  # answers of the model that stand in the history
        self._results: set[tuple[int, str]] = set()  # by answer, for call ids may come again
        self._streamed: dict[type[ev.Event], list[str]] = {}  # of the step in progress
        self._doubtful = False  # a snapshot came, and did not speak of what has streamed yet

    def note(self, event: ev.Event) -> None:
        match event:
            case ev.Content() | ev.Reasoning():
                self._streamed.setdefault(type(event), []).append(event.text)
            case ev.StepStarted() | ev.StreamReset():
                self._streamed.clear()
            case ev.StepFinished():
                self._finished(event)
            case ev.ToolFinished():
                self._results.add((self._said, event.call_id))

    def missed(self, messages: Sequence[ev.HistoryMessage]) -> Iterator[ev.Event]:
        """The events that these messages of the turn stand for, without those that were seen."""
        self._doubtful = True
        said = 0
        names: dict[str, str] = {}
        for message in messages:
            result = (said, message.tool_call_id)
            if message.role == "assistant":
                said += 1
                names = {call.id: call.name for call in message.tool_calls}
                if said > self._said:
                    step = ev.StepFinished(text=message.content, tool_calls=message.tool_calls)
                    if not step.text.startswith("".join(self._streamed.get(ev.Content, ()))):
                        yield ev.StreamReset()
                    self._finished(step)
                    yield step
            elif message.role == "tool" and result not in self._results:
                self._results.add(result)
                yield _result(message, names)

    def rest_of(self, event: ev.Content | ev.Reasoning) -> Iterator[ev.Event]:
        """What comes after the part that was seen; all of it, if the step was begun again."""
        seen = "".join(self._streamed.get(type(event), ()))
        if isinstance(event, ev.Content):
            self._doubtful = False
        if not event.text.startswith(seen):
            yield ev.StreamReset()
            self._streamed.clear()
            seen = ""
        if rest := event.text[len(seen) :]:
            self._streamed.setdefault(type(event), []).append(rest)
            yield type(event)(text=rest)

    def void(self) -> Iterator[ev.Event]:
        """Told once the snapshot is over: what has streamed, and is not in it, was taken back."""
        if self._doubtful and self._streamed.get(ev.Content):
            yield ev.StreamReset()
            self._streamed.clear()
        self._doubtful = False

    def _finished(self, step: ev.StepFinished) -> None:
        self._streamed.clear()
        self.answer = "" if step.tool_calls else step.text
        if step.text or step.tool_calls:
            self._said += 1


def _result(message: ev.HistoryMessage, names: dict[str, str]) -> ev.ToolFinished:
    return ev.ToolFinished(
        call_id=message.tool_call_id,
        name=names.get(message.tool_call_id, ""),
        status=msgspec.convert(message.status or "ok", ev.ToolStatus),
        output=message.content,
    )


def _occurrence(
    messages: Sequence[ev.HistoryMessage], text: str, number: int, start: int = 0
) -> int | None:
    """Where a person says this for the time `number` (from 0), at `start` or behind it."""
    for place, message in enumerate(messages):
        if message.role == "user" and message.content == text:
            if number <= 0 and place >= start:
                return place
            number -= 1
    return None
