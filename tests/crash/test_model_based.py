"""Any order of messages, answers, cancels, kills and restarts, and what must hold after each.

Hypothesis makes up the orders and shrinks what fails. The node is a process of its own, killed
with -9 at rest, in the middle of a tool, or before or after any of its journal's writes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.crashing import checks
from support.crashing.harness import size
from support.crashing.journals import faults_at_rest, faults_at_the_end
from support.crashing.obedient import WS, Begin, Died, Doom, Obedient, Order, Read, Rests, Seen
from support.crashing.plans import made, times
from turnstone.core import events as ev
from turnstone.core.host import Answer, SendMessage
from turnstone.core.transcript import Transcript

#: Runs, and the steps of each.
RUNS = {"default": (10, 25), "ci": (10, 25), "long": (400, 50)}

CALLS = st.sampled_from(["mark", "mark", "hold", "put", "look"])  # the question twice as often
STEPS = st.lists(st.lists(CALLS, min_size=1, max_size=3), max_size=3)
DOOMS = st.builds(Doom, st.integers(1, 12), st.sampled_from(["before", "after"]))


class Life(RuleBasedStateMachine):
    """One workstream over many lives of its node."""

    late = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        (self.folder / "effects").mkdir()
        self.node: Obedient | None = None
        self.seen: list[Seen] = []
        self.reads = True
        self.records: list[bytes] = []
        self.transcript = Transcript()
        self.sent: list[SendMessage] = []
        self.accepted: set[str] = set()  # that the sender was told of
        self.stopped: set[str] = set()  # the turns that were, or may have been, cancelled

    @initialize(doom=st.none() | DOOMS)
    def begin(self, doom: Doom | None) -> None:
        self.live(doom)

    @precondition(lambda self: self.node is None)
    @rule(doom=st.none() | DOOMS)
    def restart(self, doom: Doom | None) -> None:
        self.live(doom)

    @precondition(lambda self: self.node is not None)
    @rule(steps=STEPS, steer=st.booleans())
    def send(self, steps: list[list[Any]], steer: bool) -> None:
        plan = made(steps, len(self.sent) + 1)
        message = SendMessage(
            ws_id=WS,
            message=plan.text(),
            correlation_id=plan.name,
            busy="steer" if steer else "queue",
        )
        self.sent.append(message)
        self.told_of(message)

    @precondition(lambda self: self.node is not None and self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.sent))
        known = message.correlation_id in self.transcript.accepted
        assert self.told_of(message) in (None, known)

    @precondition(lambda self: self.node is not None and self.transcript.question)
    @rule()
    def allow(self) -> None:
        self.answer(approved=True)

    @precondition(lambda self: self.node is not None and self.transcript.question)
    @rule()
    def refuse(self) -> None:
        self.answer(approved=False)

    @precondition(lambda self: self.node is not None and self.transcript.answers)
    @rule(data=st.data(), approved=st.booleans())
    def answer_again(self, data: st.DataObject, approved: bool) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.transcript.answers)))
        told = self.order(Answer(ws_id=WS, request_id=request_id, approved=approved))
        assert told is None or "answered already" in str(told.result)

    @precondition(lambda self: self.node is not None and self.transcript.turn)
    @rule()
    def cancel(self) -> None:
        self.stopped.add(self.transcript.open_turn().message.correlation_id)
        self.order("cancel")

    @precondition(lambda self: self.node is not None and self.holds())
    @rule()
    def let_go(self) -> None:
        self.order("let go")

    @precondition(lambda self: self.node is not None and not self.reads)
    @rule()
    def reader_returns(self) -> None:
        self.reads = True
        self.order(self.place())

    @precondition(lambda self: self.node is not None and self.reads)
    @rule()
    def reader_leaves(self) -> None:
        self.reads = False
        self.order("stop reading")

    @precondition(lambda self: self.node is not None)
    @rule(doom=DOOMS)
    def doom(self, doom: Doom) -> None:
        self.order(doom)

    @precondition(lambda self: self.node is not None)
    @rule()
    def crash(self) -> None:
        assert self.node is not None
        self.node.kill()
        self.node = None

    @precondition(lambda self: self.node is not None)
    @rule()
    def leave(self) -> None:
        assert self.node is not None
        node, self.node = self.node, None
        try:
            node.leave()
        except Died:
            return

    @invariant()
    def nothing_is_lost_and_nothing_doubled(self) -> None:
        if self.node is not None:
            assert self.faults(ended=False) == []

    def faults(self, *, ended: bool) -> list[str]:
        events = [ev.decode(record) for record in self.records]
        ran = times(self.folder / "effects")
        return [
            *faults_at_rest(events, ran),
            *self.unread(events),
            *(
                f"{cid} was accepted, and is gone"
                for cid in self.accepted - self.transcript.accepted
            ),
            *(faults_at_the_end(events, self.stopped) if ended else ()),
        ]

    def teardown(self) -> None:
        """Bring all of it to an end, which must come."""
        try:
            if self.node is None:
                self.live(None)
            if not self.reads:
                self.reader_returns()
            while self.node is None or self.transcript.turn is not None:
                self.go_on()
            assert self.faults(ended=True) == []
        finally:
            if self.node is not None:
                self.node.kill()
            shutil.rmtree(self.folder)

    def answer(self, *, approved: bool) -> None:
        question = self.transcript.question
        assert question is not None
        answer = Answer(ws_id=WS, request_id=question.request_id, approved=approved, by="tester")
        if told := self.order(answer):
            assert told.result is None

    def go_on(self) -> None:
        if self.node is None:
            self.live(None)
        elif self.transcript.question is not None:
            self.answer(approved=True)
        else:
            self.let_go()

    def live(self, doom: Doom | None) -> None:
        read = self.place() if self.reads else None
        self.node = Obedient(Begin(self.folder, doom, read, self.late), self.seen)
        self.settled(self.node.answer)

    def told_of(self, message: SendMessage) -> bool | None:
        """Whether it was known; None if nobody says."""
        told = self.order(message)
        if told is None:
            return None
        self.accepted.add(message.correlation_id)
        return bool(told.result.duplicate)

    def order(self, order: Order) -> Rests | None:
        """None: it died of it."""
        node = self.node
        assert node is not None
        return self.settled(lambda: node.order(order))

    def settled(self, answer: Any) -> Rests | None:
        try:
            told: Rests = answer()
        except Died:
            self.node = None
            return None
        assert told.records[: len(self.records)] == self.records, "a record has changed"
        for record in told.records[len(self.records) :]:
            self.transcript.apply(ev.decode(record))
        self.records = told.records
        return told

    def holds(self) -> bool:
        turn, question = self.transcript.turn, self.transcript.question
        return turn is not None and question is None

    def place(self) -> Read:
        return Read(self.seen[-1].id if self.seen else "")

    def unread(self, events: list[ev.AnyEvent]) -> list[str]:
        seen = [(ev.EventId.parse(event.id), event.type) for event in self.seen]
        last = seen[-1][0] if seen and not self.reads else ev.EventId(len(events))
        due = [event for event in events if ev.EventId.parse(event.id) <= last]
        return list(checks.of_a_reader(due if seen else [], seen))


class LateLife(Life):
    """Over a store that writes intents too late; only what has run twice is looked for."""

    late = True

    def faults(self, *, ended: bool) -> list[str]:
        return [fault for fault in super().faults(ended=ended) if "times" in fault]


def bounds(**more: Any) -> settings:
    runs, steps = RUNS[size()]
    return settings(
        max_examples=runs,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@pytest.mark.timeout(900)
def test_no_order_of_steps_and_kills_loses_or_doubles_anything() -> None:
    run_state_machine_as_test(Life, settings=bounds())


@pytest.mark.timeout(900)
def test_the_same_steps_find_doubled_effects_where_the_intent_is_written_too_late() -> None:
    """Steps that cannot find the fault would say nothing by finding none."""
    enough = settings(bounds(phases=[Phase.generate]), max_examples=500)  # it ends with the first
    with pytest.raises(AssertionError, match=r"has run \d+ times"):
        run_state_machine_as_test(LateLife, settings=enough)
