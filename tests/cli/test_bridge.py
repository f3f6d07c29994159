"""A reader that was away is told what it missed: all of it, and nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turnstone.cli.bridge import Bridge
from turnstone.core import events as ev
from turnstone.core.transcript import Transcript

_ENDS_STREAM = ev.StepStarted | ev.StepFinished | ev.StreamReset | ev.TurnEnded


@dataclass
class Log:
    """A workstream as its node keeps it: every event with its id, and the snapshot at each."""

    events: list[ev.Event] = field(default_factory=list)
    seq: int = 1
    n: int = 0

    def __post_init__(self) -> None:
        self.created = ev.WsCreated(name="w", id="1-0", ws_id="w")

    def record(self, event: ev.Event) -> None:
        self.seq, self.n = self.seq + 1, 0
        self._add(event)

    def live(self, event: ev.Event) -> None:
        self.n += 1
        self._add(event)

    def _add(self, event: ev.Event) -> None:
        place = str(ev.EventId(self.seq, self.n))
        self.events.append(msgspec.structs.replace(event, id=place, ws_id="w"))

    def snapshot(self, upto: int) -> list[ev.Event]:
        """What a reader is given that comes (back) after `upto` events."""
        transcript = Transcript()
        transcript.apply(self.created)
        streamed: dict[type[ev.Event], str] = {}
        for event in self.events[:upto]:
            if isinstance(event, ev.JOURNALED):
                transcript.apply(event)
            if isinstance(event, ev.Content | ev.Reasoning):
                streamed[type(event)] = streamed.get(type(event), "") + event.text
            elif isinstance(event, _ENDS_STREAM):
                streamed.clear()
        place = self.events[upto - 1].id if upto else self.created.id
        found: list[ev.Event] = [
            ev.Connected(state=transcript.summary.state),
            ev.History(messages=transcript.readable()),
            *(kind(text=text) for kind, text in streamed.items()),  # type: ignore[call-arg]
        ]
        if transcript.question is not None:
            found.append(transcript.question)
        return [msgspec.structs.replace(event, id=place, ws_id="w") for event in found]

    def seen(self, left: int, back: int) -> list[ev.Event]:
        """What a reader is told that was away between these two places."""
        truncated = ev.Truncated(id=self.events[back - 1].id if back else "1-0")
        away = [truncated, *self.snapshot(back)] if left < back else []
        return [*self.snapshot(0)[:1], *self.events[:left], *away, *self.events[back:]]


def bridged(events: list[ev.Event]) -> list[ev.Event]:
    bridge = Bridge()
    return [news for event in events for news in bridge.take(event)]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """One to three turns, each of a few steps with tools, texts, questions and resets.

    Messages are accepted before any turn, or each when the turn before it has ended.
    """
    log = Log()
    words = st.sampled_from(["go on", "yes", "read it", "a b", "c"])
    messages = draw(st.lists(words, min_size=1, max_size=3))
    accepted = [
        ev.MessageAccepted(message=message, correlation_id=f"cid{number}")
        for number, message in enumerate(messages)
    ]
    at_once = draw(st.booleans())
    for message in accepted if at_once else []:
        log.record(message)
    for message in accepted:
        if not at_once:
            log.record(message)
        _turn(draw, log, message.correlation_id, words)
    return log


def _turn(draw: st.DrawFn, log: Log, cid: str, words: st.SearchStrategy[str]) -> None:
    steps = draw(st.integers(0, 3))
    for step in range(1, steps + 1):
        _step(draw, log, cid, step, words)
    text = _streamed(draw, log, cid, steps + 1, words)
    rest = "" if text and draw(st.booleans()) else "."
    log.record(ev.StepFinished(step=steps + 1, text=text + rest, correlation_id=cid))
    log.record(ev.TurnEnded(text=text + rest, correlation_id=cid))


def _streamed(draw: st.DrawFn, log: Log, cid: str, step: int, words: st.SearchStrategy[str]) -> str:
    log.record(ev.StepStarted(step=step, correlation_id=cid))
    if draw(st.booleans()):
        log.live(ev.Reasoning(text="hm ", correlation_id=cid))
    if draw(st.integers(0, 4)) == 0:
        log.live(ev.Content(text="broken of", correlation_id=cid))
        log.live(ev.StreamReset(correlation_id=cid))
    pieces = draw(st.lists(words, max_size=3))
    for piece in pieces:
        log.live(ev.Content(text=piece, correlation_id=cid))
    return "".join(pieces)


def _step(draw: st.DrawFn, log: Log, cid: str, step: int, words: st.SearchStrategy[str]) -> None:
    text = _streamed(draw, log, cid, step, words)
    # Some servers give the same call ids in every answer.
    ids = [f"call_{n}" for n in range(draw(st.integers(1, 3)))]
    calls = [ev.ToolCallRecord(i, "bash", "{}") for i in ids]
    log.record(ev.StepFinished(step=step, text=text, tool_calls=calls, correlation_id=cid))
    request = f"{cid}-{step}"
    if draw(st.booleans()):
        log.record(ev.ApprovalAsked(request_id=request, correlation_id=cid))
        said = draw(st.sampled_from(["", "be quick"]))
        log.record(
            ev.ApprovalAnswered(
                request_id=request, approved=True, feedback=said, correlation_id=cid
            )
        )
    for call_id in ids:
        log.record(ev.ToolStarted(call_id=call_id, name="bash", correlation_id=cid))
        output = f"{cid} {step} {call_id}"
        log.record(ev.ToolFinished(call_id=call_id, name="bash", output=output, correlation_id=cid))


def essence(events: list[ev.Event]) -> Counter[str]:
    """What a person must be told once: answers, outcomes, questions, endings."""
    found: Counter[str] = Counter()
    for event in events:
        match event:
            case ev.StepFinished():
                found[f"step {event.text!r} {[c.id for c in event.tool_calls]}"] += 1
            case ev.ToolFinished():
                found[f"tool {event.name} {event.status} {event.output}"] += 1
            case ev.ApprovalAsked():
                found[f"asked {event.request_id}"] += 1
            case ev.TurnEnded():
                found[f"ended {event.correlation_id} {event.text!r}"] += 1
    return found


def printed(events: list[ev.Event]) -> list[str]:
    """The text of each step as a screen prints it: what streams, then the rest of the whole."""
    found, streamed = [], ""
    for event in events:
        match event:
            case ev.Content():
                streamed += event.text
            case ev.StreamReset() | ev.StepStarted():
                streamed = ""
            case ev.StepFinished():
                assert event.text.startswith(streamed), "what streamed is the beginning of it"
                found.append(event.text)
                streamed = ""
    return found


def expected(log: Log, left: int, back: int) -> Counter[str]:
    """What has to be told: all but what no snapshot holds, or what was never ours."""
    gap = log.events[left:back]
    ours = {e.correlation_id for e in log.events[:left] if isinstance(e, ev.MessageAccepted)}
    [*_, history] = [e for e in log.snapshot(back) if isinstance(e, ev.History)]
    kept = Counter(m.content for m in history.messages if m.role == "tool")
    waits = [e for e in log.snapshot(back) if isinstance(e, ev.ApprovalAsked)]
    told: list[ev.Event] = [*log.events[:left], *log.events[back:]]
    for event in gap:
        if isinstance(event, ev.ApprovalAsked):
            told += [event] if event.request_id in {w.request_id for w in waits} else []
        elif event.correlation_id in ours and (
            not isinstance(event, ev.ToolFinished) or kept[event.output]
        ):
            told.append(event)
    return essence(told)


def not_to_be_told_apart(log: Log, left: int, back: int) -> bool:
    """What the bridge says it cannot know, for a history has no ids of messages.

    Our turn ended in the gap, and in the same gap a turn began that nobody knew of; or a
    message came in the gap that is said again later, word for word.
    """
    known = {e.correlation_id for e in log.events[:left] if isinstance(e, ev.MessageAccepted)}
    gap = log.events[left:back]
    ended = any(isinstance(e, ev.TurnEnded) and e.correlation_id in known for e in gap)
    foreign = [e for e in gap if isinstance(e, ev.StepStarted) and e.correlation_id not in known]
    said = Counter(e.message for e in log.events if isinstance(e, ev.MessageAccepted))
    again = any(isinstance(e, ev.MessageAccepted) and said[e.message] > 1 for e in gap)
    return again or (ended and bool(foreign))


@given(logs())
def test_without_a_gap_everything_passes_as_it_is(log: Log) -> None:
    assert bridged(log.seen(0, 0))[1:] == log.events


@given(logs(), st.data())
def test_wherever_a_reader_was_away_it_is_told_everything_once(
    log: Log, data: st.DataObject
) -> None:
    left = data.draw(st.integers(0, len(log.events)), "left")
    back = data.draw(st.integers(left, len(log.events)), "back")
    assume(not not_to_be_told_apart(log, left, back))
    told = bridged(log.seen(left, back))
    assert essence(told) == expected(log, left, back)
    assert Counter(printed(told)) <= Counter(printed(log.events))


@given(logs(), st.data())
def test_a_reader_may_be_away_many_times(log: Log, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log.events)), min_size=4, max_size=8)))
    gaps = list(zip(cuts[::2], cuts[1::2], strict=False))
    unknown = [e for left, back in gaps for e in log.events[left:back]]
    assume(not any(isinstance(event, ev.MessageAccepted) for event in unknown))
    seen, at = log.snapshot(0)[:1], 0
    for left, back in gaps:
        seen += log.events[at:left]
        seen += [ev.Truncated(), *log.snapshot(back)] if left < back else []
        at = back
    told = bridged([*seen, *log.events[at:]])
    assert essence(told) <= essence(log.events)
    endings = [event.correlation_id for event in told if isinstance(event, ev.TurnEnded)]
    assert sorted(endings) == [e.correlation_id for e in log.events if e.type == "turn_ended"]


def test_a_turn_that_ended_while_another_began_is_over_when_that_goes_on() -> None:
    log = Log()
    log.record(ev.MessageAccepted(message="ours", correlation_id="a"))
    log.record(ev.StepStarted(correlation_id="a"))
    log.live(ev.Content(text="Al", correlation_id="a"))
    left = len(log.events)
    log.record(ev.StepFinished(text="All done.", correlation_id="a"))
    log.record(ev.TurnEnded(text="All done.", correlation_id="a"))
    log.record(ev.MessageAccepted(message="theirs", correlation_id="b"))
    log.record(ev.StepStarted(correlation_id="b"))
    back = len(log.events)
    log.live(ev.Content(text="Well", correlation_id="b"))
    told = bridged(log.seen(left, back))[1 + left :]
    assert [(event.type, event.correlation_id) for event in told] == [
        ("step_finished", "a"),
        ("turn_ended", "a"),
        ("content", "b"),
    ]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (ev.TurnEnded(outcome="failed", correlation_id="a"), "failed"),
        (ev.TurnEnded(outcome="cancelled", correlation_id="a"), "cancelled"),
    ],
)
def test_a_turn_that_ended_badly_in_the_gap_is_not_called_done(
    ending: ev.TurnEnded, outcome: str
) -> None:
    log = Log()
    log.record(ev.MessageAccepted(message="ours", correlation_id="a"))
    log.record(ev.StepStarted(correlation_id="a"))
    log.record(ending)
    [last] = bridged(log.seen(2, 3))[3:]
    assert isinstance(last, ev.TurnEnded)
    assert last.outcome == outcome and last.reason


def test_an_answer_that_was_begun_again_in_the_gap_begins_again_here() -> None:
    log = Log()
    log.record(ev.MessageAccepted(message="ours", correlation_id="a"))
    log.record(ev.StepStarted(correlation_id="a"))
    log.live(ev.Content(text="It was the", correlation_id="a"))
    left = len(log.events)
    log.live(ev.StreamReset(correlation_id="a"))
    log.live(ev.Content(text="The butler", correlation_id="a"))
    told = bridged(log.seen(left, len(log.events)))[1 + left :]
    assert [event.type for event in told] == ["stream_reset", "content"]


def test_a_message_like_an_older_one_that_has_no_turn_yet_is_not_taken_for_answered() -> None:
    log = Log()
    for cid in ("a", "b"):
        log.record(ev.MessageAccepted(message="go on", correlation_id=cid))
        if cid == "a":
            log.record(ev.StepStarted(correlation_id=cid))
            log.record(ev.StepFinished(text="Gone.", correlation_id=cid))
            log.record(ev.TurnEnded(text="Gone.", correlation_id=cid))
    told = bridged([*log.seen(5, 5), ev.Truncated(), *log.snapshot(5)])
    assert [event.type for event in told].count("turn_ended") == 1
