"""I7: a turn that the driver has recorded is taken up at any point as if it had never stopped.

Each turn is a script that says what the model answers, what is allowed, and how tools end, by
the names of the calls alone; so a turn that is taken up must go on as the uncut one did. How it
has to end is read from the script, without the reducer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from oturn.driver import Report, TurnDriver
from oturn.effects import CallModel, DecideCalls, Effect, RunTool
from oturn.signals import (
    ApprovalAsked,
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Decision,
    Signal,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolFinished,
    ToolStarted,
    ToolStatus,
    Verdict,
)
from oturn.turn import TurnEnded, replay

PATIENCE = 5.0

VERDICTS: list[Verdict] = ["allow", "deny", "expired"]
STATUSES: list[ToolStatus] = ["ok", "error", "unknown"]


@dataclass(frozen=True)
class Planned:
    """What becomes of one call."""

    broken: bool
    verdict: Verdict
    concurrent: bool
    status: ToolStatus
    needs_input: bool  # whatever keeps it from being `ok`


@dataclass(frozen=True)
class Script:
    """The calls of each answer; an answer without calls follows behind the last of them."""

    answers: Sequence[Sequence[Planned]]
    asks_a_person: bool
    max_steps: int
    max_broken: int

    def call(self, step: int, place: int) -> ToolCall:
        problem = "no JSON" if self.answers[step - 1][place].broken else ""
        return ToolCall(f"{step}.{place}", "tool", problem=problem)

    def planned(self, call_id: str) -> Planned:
        step, place = call_id.split(".")
        return self.answers[int(step) - 1][int(place)]

    def ending(self) -> str:
        """How the turn has to end, as a person would say it."""
        row = 0
        for step, calls in enumerate(self.answers, start=1):
            row = row + 1 if any(call.broken for call in calls) else 0
            if row > self.max_broken:
                return "failed"
            if self.hands_back(calls):
                return "needs_input"
            if step == self.max_steps:
                return "max_steps"
        return "done"

    def hands_back(self, calls: Sequence[Planned]) -> bool:
        """The last call that did not succeed says so; those that are not run are told first."""
        broken = [False for call in calls if call.broken]
        refused = [c.needs_input for c in calls if not c.broken and c.verdict != "allow"]
        allowed = [c for c in calls if not c.broken and c.verdict == "allow"]
        failed = [c.needs_input for c in allowed if c.status != "ok"]
        return bool(([False] + broken + refused + failed)[-1])


planned = st.builds(
    Planned,
    broken=st.integers(0, 3).map(lambda n: n == 3),
    verdict=st.sampled_from(VERDICTS),
    concurrent=st.booleans(),
    status=st.sampled_from(STATUSES),
    needs_input=st.booleans(),
)
scripts = st.builds(
    Script,
    answers=st.lists(st.lists(planned, min_size=1, max_size=3), max_size=4),
    asks_a_person=st.booleans(),
    max_steps=st.integers(1, 5),
    max_broken=st.integers(0, 2),
)


@dataclass
class Host:
    """An `EffectHandler` that does what the script says; `cancel_at`: behind so many records."""

    script: Script
    cancel_at: int | None = None
    recorded: list[Signal | TurnEnded] = field(default_factory=list)
    begun: list[Effect] = field(default_factory=list)

    async def run(self, journal: Sequence[Signal] = ()) -> TurnEnded:
        limits = self.script.max_steps, self.script.max_broken
        state = replay(limits[0], journal, limits[1]) if journal else None
        self.driver = TurnDriver(self, max_steps=limits[0], max_broken=limits[1], state=state)
        async with asyncio.timeout(PATIENCE):
            return await self.driver.run()

    async def record(self, signal: Signal | TurnEnded) -> None:
        self.recorded.append(signal)
        if len(self.recorded) == self.cancel_at:
            self.driver.cancel()

    async def call_model(self, effect: CallModel) -> StepFinished:
        self.begun.append(effect)
        if effect.step > len(self.script.answers):
            return StepFinished(AssistantMessage("that is all"))
        places = range(len(self.script.answers[effect.step - 1]))
        calls = tuple(self.script.call(effect.step, place) for place in places)
        return StepFinished(AssistantMessage(tool_calls=calls))

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        self.begun.append(effect)
        if self.script.asks_a_person:
            report(ApprovalAsked("ask_1", tuple(call.id for call in effect.calls)))
            await asyncio.sleep(0)
        decisions = []
        for call in effect.calls:
            plan = self.script.planned(call.id)
            decisions.append(
                Decision(call.id, plan.verdict, "no", plan.concurrent, plan.needs_input)
            )
        return CallsDecided(tuple(decisions))

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        self.begun.append(effect)
        plan = self.script.planned(effect.call.id)
        return ToolFinished(effect.call.id, plan.status, "", plan.needs_input)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(scripts, st.integers(0, 12))
async def test_a_turn_goes_on_from_every_point_of_its_record_as_the_uncut_one_did(
    script: Script, cancel_at: int
) -> None:
    whole = Host(script, cancel_at or None)
    ending = await whole.run()
    signals = [signal for signal in whole.recorded if not isinstance(signal, TurnEnded)]
    cancel = next((i for i, s in enumerate(signals) if isinstance(s, Cancelled)), None)
    if cancel is None:
        assert ending.outcome == script.ending()

    # A cancel that was asked for and not recorded is forgotten: compare from its record on.
    for length in range(0 if cancel is None else cancel + 1, len(signals) + 1):
        journal = signals[:length]
        again = Host(script)
        assert await again.run(journal) == ending
        assert facts([*journal, *again.recorded]) == facts(whole.recorded)
        unanswered = [e for e in whole.begun if answered(e, signals) >= length]
        expected = taken_up(unanswered[0], journal) if unanswered and cancel is None else None
        assert next(iter(again.begun), None) == expected


def answered(effect: Effect, signals: Sequence[Signal]) -> int:
    """The place of the answer to an effect; the end where a cancel has come before."""
    for place, signal in enumerate(signals):
        match effect, signal:
            case CallModel(), StepFinished() if signals[:place].count(StepStarted(effect.step)):
                return place
            case DecideCalls(), CallsDecided() if asked_about(effect) == spoken_about(signal):
                return place
            case RunTool(), ToolFinished() if effect.call.id == signal.call_id:
                return place
    return len(signals)


def taken_up(effect: Effect, journal: Sequence[Signal]) -> Effect:
    """The same effect as it is ordered again by a process that has only the journal."""
    match effect:
        case CallModel():
            return replace(effect, resumed=StepStarted(effect.step) in journal)
        case RunTool():
            return replace(effect, resumed=ToolStarted(effect.call.id) in journal)
        case DecideCalls():
            asked = ApprovalAsked("ask_1", asked_about(effect)) in journal
            return replace(effect, request_id="ask_1" if asked else None)


def asked_about(effect: DecideCalls) -> tuple[str, ...]:
    return tuple(call.id for call in effect.calls)


def spoken_about(signal: CallsDecided) -> tuple[str, ...]:
    return tuple(decision.call_id for decision in signal.decisions)


def facts(record: Sequence[Signal | TurnEnded]) -> list[Signal | TurnEnded]:
    """A record without what is said again when a turn is taken up: a step, and a question."""
    seen: list[Signal | TurnEnded] = []
    for signal in record:
        if not isinstance(signal, StepStarted | ApprovalAsked) or signal not in seen:
            seen.append(signal)
    return seen
