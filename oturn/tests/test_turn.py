"""The turn reducer under random model answers, decisions, results, stale signals, cancels and
crashes. A small simulated host performs its orders the way a driver does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oturn.effects import CallModel, DecideCalls, Effect, RunTool
from oturn.signals import (
    ApprovalAsked,
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Decision,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from oturn.turn import Output, Phase, TurnEnded, due, initial, reduce, replay

#: Far more than any tape leads to; a turn that goes on longer is one that does not end.
ENOUGH = 2_000

#: Turns that are played in one run of these tests, in parts that each keep to the time of a test.
TURNS, PARTS = 20_000, 8

# Long enough that most turns come to tools, refusals and crashes before the tape is at its end.
tapes = st.binary(min_size=40, max_size=100)
limits = st.integers(1, 6)
patience = st.integers(0, 3)


class Crashed(Exception):
    """The process of the simulated host is gone; only its journal is left."""


@dataclass
class Tape:
    """Choices, one after another; an exhausted tape always chooses the first, the plain one."""

    numbers: bytes
    place: int = 0

    def pick(self, options: int) -> int:
        if self.place >= len(self.numbers):
            return 0
        self.place += 1
        return self.numbers[self.place - 1] % options


@dataclass
class Host:
    """Performs what the reducer orders, with outcomes from the tape; keeps a journal."""

    tape: Tape
    max_steps: int
    max_broken: int
    journal: list[Signal] = field(default_factory=list)
    endings: list[TurnEnded] = field(default_factory=list)
    issued: list[tuple[int, Effect]] = field(default_factory=list)  # journal length, effect
    crashes: int = 0

    def __post_init__(self) -> None:
        self.state = replay(self.max_steps, self.journal, self.max_broken)
        self.pending: list[Effect] = []

    def run(self) -> None:
        outputs = self._begin()
        for _ in range(ENOUGH):
            try:
                self._perform(outputs)
                if self.endings:
                    return
                outputs = self._next()
            except Crashed:
                outputs = self._come_back()
        pytest.fail(f"the turn does not end: {self.state}")

    def _begin(self) -> list[Output]:
        if self.state.phase is not Phase.READY:
            return due(self.state)
        try:
            return self._feed(TurnStarted())
        except Crashed:
            return self._come_back()

    def _come_back(self) -> list[Output]:
        self.crashes += 1
        assert replay(self.max_steps, self.journal, self.max_broken) == self.state
        self.pending = []
        if self.state.phase is Phase.READY:
            return self._begin()
        return due(self.state)

    def _feed(self, signal: Signal) -> list[Output]:
        step = reduce(self.state, signal)
        if step.state is self.state:
            return []
        self.journal.append(signal)
        self.state = step.state
        if self.tape.pick(16) == 15:
            raise Crashed
        return step.events

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case ToolFinished():
                    self._perform(self._feed(output))
                case TurnEnded():
                    self.endings.append(output)
                case CallModel() | DecideCalls() | RunTool():
                    self.issued.append((len(self.journal), output))
                    if isinstance(output, CallModel):
                        self._feed(StepStarted(output.step))
                    elif isinstance(output, RunTool) and not output.resumed:
                        self._feed(ToolStarted(output.call.id))
                    self.pending.append(output)
            if self.endings:
                return

    def _next(self) -> list[Output]:
        match self.tape.pick(24):
            case 23:
                self.pending = []
                return self._feed(Cancelled())
            case 22 | 21 | 20:
                return self._feed(junk(self.tape))
            case _:
                assert self.pending, f"nothing is under way, and the turn has not ended: {self}"
                place = self.tape.pick(len(self.pending))
                return self._feed(self._outcome(self.pending.pop(place)))

    def _outcome(self, effect: Effect) -> Signal:
        match effect:
            case CallModel():
                return answer(self.tape)
            case DecideCalls() if effect.request_id is None and self.tape.pick(4) == 3:
                self.pending.append(DecideCalls(effect.calls, "ask_1"))
                return ApprovalAsked("ask_1", tuple(c.id for c in effect.calls))
            case DecideCalls():
                spoken_about = [c for c in effect.calls if self.tape.pick(8) != 7]
                return CallsDecided(tuple(decision(c.id, self.tape) for c in spoken_about))
            case RunTool():
                return result(effect.call.id, self.tape)


def answer(tape: Tape) -> Signal:
    match tape.pick(12):
        case 1:
            return StepFinished(AssistantMessage(text=("", "  ")[tape.pick(2)]))
        case 2:
            return StepFailed("the model is away")
        case plain_or_tools if plain_or_tools > 2:
            ids = ("a", "b", "", "a")
            made = tuple(
                ToolCall(ids[tape.pick(4)], "tool", problem=("", "", "broken")[tape.pick(3)])
                for _ in range(1 + tape.pick(4))
            )
            return StepFinished(AssistantMessage(tool_calls=made))
        case _:
            return StepFinished(AssistantMessage(text="done"))


def decision(call_id: str, tape: Tape) -> Decision:
    verdict = ("allow", "allow", "deny", "expired")[tape.pick(4)]
    return Decision(
        call_id,
        verdict,  # type: ignore[arg-type]
        concurrent=tape.pick(2) == 1,
        needs_input=tape.pick(3) == 2,
    )


def result(call_id: str, tape: Tape) -> ToolFinished:
    status = ("ok", "error", "unknown", "denied")[tape.pick(4)]
    return ToolFinished(call_id, status, needs_input=tape.pick(4) == 3)  # type: ignore[arg-type]


def junk(tape: Tape) -> Signal:
    """A signal that may be stale: nobody waits for it, or it names what does not exist."""
    call_id = ("nobody", "a", "call_0", "")[tape.pick(4)]
    stale: list[Signal] = [
        ToolStarted("nobody"),
        TurnStarted(),
        StepStarted(tape.pick(9)),
        ToolFinished("nobody", "ok"),
        CallsDecided((Decision("nobody", "allow"),)) if tape.pick(2) else TurnStarted(),
        ToolStarted(call_id),
    ]
    return stale[tape.pick(len(stale))]


def simulated(numbers: bytes, max_steps: int, max_broken: int) -> Host:
    host = Host(Tape(numbers), max_steps, max_broken)
    host.run()
    return host


@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=TURNS // PARTS, deadline=None, print_blob=True, derandomize=False)
@given(numbers=tapes, limit=limits, broken=patience)
@example(numbers=b"", limit=1, broken=0)
def test_every_turn_keeps_the_invariants_whatever_comes(
    part: int, numbers: bytes, limit: int, broken: int
) -> None:
    host = simulated(numbers, limit, broken)
    check_results(host.journal)
    check_ending(host)
    check_cancel(host)
    check_limit(host)
    check_broken(host)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(tapes, limits, patience)
def test_a_turn_goes_on_to_a_correct_end_from_every_prefix_of_its_journal(
    numbers: bytes, limit: int, broken: int
) -> None:
    journal = simulated(numbers, limit, broken).journal
    for length in range(len(journal) + 1):
        again = Host(Tape(b""), limit, broken, journal=journal[:length])
        again.run()
        check_results(again.journal)
        check_ending(again)
        check_cancel(again)
        check_broken(again)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(tapes, limits, patience)
def test_replaying_a_journal_gives_the_same_state_at_every_point(
    numbers: bytes, limit: int, broken: int
) -> None:
    journal = simulated(numbers, limit, broken).journal
    state = initial(limit, broken)
    for length, signal in enumerate(journal, start=1):
        state = reduce(state, signal).state
        assert replay(limit, journal[:length], broken) == state
        assert replay(limit, journal[:length], broken) is not state


def check_results(journal: list[Signal]) -> None:
    """I1: between two answers of the model, each call gets one result, and nothing else does."""
    wanted: Counter[str] = Counter()
    for signal in journal:
        if isinstance(signal, StepFinished):
            assert not +wanted, f"calls without a result: {wanted}"
            wanted = Counter(call.id for call in signal.message.tool_calls)
            assert all(times == 1 for times in wanted.values())
        elif isinstance(signal, ToolFinished):
            assert wanted[signal.call_id] == 1, f"a result too many: {signal}"
            wanted[signal.call_id] -= 1
    assert not +wanted, f"calls without a result: {wanted}"


def check_ending(host: Host) -> None:
    """I2: one ending, and nothing that comes behind it has any effect."""
    assert len(host.endings) == 1
    assert host.state.phase is Phase.ENDED
    assert host.state.ending == host.endings[0]
    for signal in (TurnStarted(), StepStarted(1), StepFailed("x"), ToolFinished("a", "ok")):
        assert reduce(host.state, signal).events == []
    if host.endings[0].outcome != "done":
        assert host.endings[0].reason


def check_cancel(host: Host) -> None:
    """I3: once a cancel is recorded, no effect is ordered."""
    cancels = [place for place, s in enumerate(host.journal) if isinstance(s, Cancelled)]
    if cancels:
        assert len(cancels) == 1
        assert host.endings[0].outcome == "cancelled"
        assert [e for length, e in host.issued if length > cancels[0]] == []


def check_limit(host: Host) -> None:
    """I4: never more steps than allowed."""
    assert all(e.step <= host.max_steps for _, e in host.issued if isinstance(e, CallModel))
    finished = sum(isinstance(s, StepFinished) for s in host.journal)
    assert finished <= host.max_steps


def check_broken(host: Host) -> None:
    """I8: broken answers in a row are told at most so often; one more, and the turn has failed."""
    answers = [s.message for s in host.journal if isinstance(s, StepFinished)]
    row = 0
    for place, message in enumerate(answers, start=1):
        row = row + 1 if any(call.problem for call in message.tool_calls) else 0
        if row > host.max_broken:
            assert place == len(answers), "the model was told once too often"
            assert host.endings[0].outcome == "failed"
            assert "cannot be understood" in host.endings[0].reason


def steps(*signals: Signal, max_steps: int = 3) -> list[Output]:
    """What the last of these signals brings about."""
    state, events = initial(max_steps), []
    for signal in signals:
        transition = reduce(state, signal)
        state, events = transition.state, transition.events
    return events


def asked(*calls: ToolCall) -> tuple[Signal, ...]:
    return (TurnStarted(), StepStarted(1), StepFinished(AssistantMessage(tool_calls=calls)))


def test_a_plain_answer_ends_the_turn() -> None:
    events = steps(TurnStarted(), StepStarted(1), StepFinished(AssistantMessage("hello")))
    assert events == [TurnEnded("done")]


def test_an_answer_of_blanks_is_told_as_empty() -> None:
    events = steps(TurnStarted(), StepStarted(1), StepFinished(AssistantMessage(" \n")))
    assert events == [TurnEnded("empty", "the model answered with nothing")]


def test_the_limit_of_steps_ends_the_turn_after_the_results_are_in() -> None:
    call = ToolCall("a", "tool")
    allowed = CallsDecided((Decision("a", "allow"),))
    events = steps(*asked(call), allowed, ToolStarted("a"), ToolFinished("a", "ok"), max_steps=1)
    assert [e.outcome for e in events if isinstance(e, TurnEnded)] == ["max_steps"]


def test_neighbours_that_may_run_side_by_side_are_ordered_together() -> None:
    calls = tuple(ToolCall(name, "tool") for name in "abc")
    decided = CallsDecided(
        (
            Decision("a", "allow", concurrent=True),
            Decision("b", "allow", concurrent=True),
            Decision("c", "allow"),
        )
    )
    assert steps(*asked(*calls), decided) == [RunTool(calls[0]), RunTool(calls[1])]


def test_a_call_that_nobody_decided_about_is_refused() -> None:
    events = steps(*asked(ToolCall("a", "tool")), CallsDecided(()))
    assert events == [ToolFinished("a", "denied", "Not run: nobody allowed it.")]


def test_a_tool_that_had_started_before_a_cancel_is_not_told_as_untouched() -> None:
    allowed = CallsDecided((Decision("a", "allow"),))
    events = steps(*asked(ToolCall("a", "tool")), allowed, ToolStarted("a"), Cancelled())
    stopped = events[0]
    assert isinstance(stopped, ToolFinished)
    assert stopped.status == "cancelled"
    assert "may have run partly" in stopped.text


def test_an_approval_is_asked_again_under_its_old_id() -> None:
    call = ToolCall("a", "tool")
    journal: list[Any] = [*asked(call), ApprovalAsked("ask_7", ("a",))]
    assert due(replay(3, journal)) == [DecideCalls((call,), "ask_7")]


def test_a_limit_that_is_too_low_is_refused() -> None:
    with pytest.raises(ValueError, match="max_steps must be at least 1"):
        initial(0)
    with pytest.raises(ValueError, match="max_broken must be at least 0"):
        initial(1, -1)


def broken_answers(count: int) -> list[Signal]:
    """A turn in which the model sends this many broken answers, and is told each time."""
    journal: list[Signal] = [TurnStarted()]
    for step in range(1, count + 1):
        call = ToolCall(f"c{step}", "look", problem="Not run: no JSON.")
        journal += [StepStarted(step), StepFinished(AssistantMessage(tool_calls=(call,)))]
        journal.append(ToolFinished(call.id, "invalid", call.problem))
    return journal


def test_a_broken_answer_is_told_to_the_model_which_is_asked_again() -> None:
    assert [type(e) for e in steps(*broken_answers(3)[:-1], max_steps=9)] == [ToolFinished]
    assert steps(*broken_answers(3), max_steps=9) == [CallModel(4)]


def test_a_broken_answer_too_many_ends_the_turn_and_says_what_was_wrong() -> None:
    result, ended = steps(*broken_answers(4)[:-1], max_steps=9)
    assert result == ToolFinished("c4", "invalid", "Not run: no JSON.")
    assert isinstance(ended, TurnEnded)
    assert ended.outcome == "failed"
    assert "4 answers in a row" in ended.reason
    assert "look: Not run: no JSON." in ended.reason


def test_sound_calls_beside_a_broken_one_too_many_are_told_as_not_run() -> None:
    calls = (ToolCall("a", "look"), ToolCall("b", "look", problem="Not run: no JSON."))
    last: list[Signal] = [StepStarted(4), StepFinished(AssistantMessage(tool_calls=calls))]
    sound, broken, ended = steps(*broken_answers(3), *last, max_steps=9)
    assert isinstance(sound, ToolFinished)
    assert (sound.call_id, sound.status) == ("a", "cancelled")
    assert broken == ToolFinished("b", "invalid", "Not run: no JSON.")
    assert isinstance(ended, TurnEnded)


def test_an_answer_with_sound_calls_alone_ends_the_row_of_broken_ones() -> None:
    allowed = CallsDecided((Decision("a", "allow"),))
    sound = StepFinished(AssistantMessage(tool_calls=(ToolCall("a", "look"),)))
    between: list[Signal] = [
        StepStarted(4),
        sound,
        allowed,
        ToolStarted("a"),
        ToolFinished("a", "ok"),
    ]
    journal = [*broken_answers(3), *between, *broken_answers(3)[1:]]
    assert [type(e) for e in steps(*journal, max_steps=99)] == [CallModel]


def test_a_refused_call_that_wants_a_person_hands_back_once_all_results_are_in() -> None:
    refused = Decision("a", "deny", "no", needs_input=True)
    decided = CallsDecided((refused, Decision("b", "allow")))
    calls = asked(ToolCall("a", "tool"), ToolCall("b", "tool"))
    result = ToolFinished("a", "denied", "no", needs_input=True)
    assert [type(e) for e in steps(*calls, decided)] == [ToolFinished, RunTool]
    failed = ToolFinished("b", "error")
    assert [type(e) for e in steps(*calls, decided, result, failed)] == [CallModel]
    fine = ToolFinished("b", "ok")
    (ended,) = steps(*calls, decided, result, fine)
    assert isinstance(ended, TurnEnded)
    assert ended.outcome == "needs_input"


def test_a_call_that_was_refused_before_a_cancel_keeps_its_reason() -> None:
    decided = CallsDecided((Decision("a", "deny", "a rule says no"),))
    events = steps(*asked(ToolCall("a", "tool")), decided, Cancelled())
    assert events[0] == ToolFinished("a", "denied", "a rule says no")


def test_a_refusal_that_was_not_recorded_before_a_crash_is_due_again() -> None:
    decided = CallsDecided((Decision("a", "deny", "no"),))
    journal: list[Signal] = [*asked(ToolCall("a", "tool")), decided]
    assert due(replay(3, journal)) == [ToolFinished("a", "denied", "no")]


def test_a_result_for_a_call_that_nobody_has_started_changes_nothing() -> None:
    planned = asked(ToolCall("a", "tool"))
    state = replay(3, planned)
    assert reduce(state, ToolFinished("a", "ok")).state is state
