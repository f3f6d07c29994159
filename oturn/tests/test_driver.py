"""The driver: what is recorded before what is done, cancels, failures, and taking up a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from oturn.driver import Report, TurnDriver
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
from oturn.turn import TurnEnded, replay

#: Seconds that a turn of these tests may take before it counts as hanging.
PATIENCE = 5.0

CALLS = (ToolCall("a", "first"), ToolCall("b", "second"))
ANSWERS = (AssistantMessage(tool_calls=CALLS), AssistantMessage("all done"))


@dataclass
class Handler:
    """A whole host in memory. `log` holds what was recorded and begun, in order."""

    answers: tuple[AssistantMessage, ...] = ANSWERS
    concurrent: bool = False
    ask: bool = False
    log: list[Signal | TurnEnded | Effect] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    on_record: Callable[[Signal | TurnEnded], None] = lambda _: None
    model: Callable[[], None] = lambda: None
    judge: Callable[[], None] = lambda: None
    tool: Callable[[], None] = lambda: None

    @property
    def recorded(self) -> list[Signal | TurnEnded]:
        return [e for e in self.log if not isinstance(e, CallModel | DecideCalls | RunTool)]

    async def record(self, signal: Signal | TurnEnded) -> None:
        self.log.append(signal)
        self.on_record(signal)

    async def call_model(self, effect: CallModel) -> StepFinished | StepFailed:
        await self._work(effect)
        self.model()
        return StepFinished(self.answers[effect.step - 1])

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        await self._work(effect)
        self.judge()
        if self.ask:
            report(ApprovalAsked(effect.request_id or "ask_1", tuple(c.id for c in effect.calls)))
            await asyncio.sleep(0)
        return CallsDecided(
            tuple(Decision(c.id, "allow", concurrent=self.concurrent) for c in effect.calls)
        )

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        await self._work(effect)
        self.tool()
        return ToolFinished(effect.call.id, "ok", "fine")

    async def _work(self, effect: Effect) -> None:
        self.log.append(effect)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            self.running -= 1


async def driven(driver: TurnDriver) -> TurnEnded:
    async with asyncio.timeout(PATIENCE):
        return await driver.run()


def results(handler: Handler) -> list[tuple[str, str]]:
    return [(s.call_id, s.status) for s in handler.recorded if isinstance(s, ToolFinished)]


async def test_a_turn_with_tools_records_each_intent_before_and_each_outcome_after() -> None:
    handler = Handler()
    assert await driven(TurnDriver(handler)) == TurnEnded("done")
    assert handler.log == [
        TurnStarted(),
        StepStarted(1),
        CallModel(1),
        StepFinished(ANSWERS[0]),
        DecideCalls(CALLS),
        CallsDecided((Decision("a", "allow"), Decision("b", "allow"))),
        ToolStarted("a"),
        RunTool(CALLS[0]),
        ToolFinished("a", "ok", "fine"),
        ToolStarted("b"),
        RunTool(CALLS[1]),
        ToolFinished("b", "ok", "fine"),
        StepStarted(2),
        CallModel(2),
        StepFinished(ANSWERS[1]),
        TurnEnded("done"),
    ]


async def test_calls_that_may_run_side_by_side_do() -> None:
    handler = Handler(concurrent=True)
    await driven(TurnDriver(handler))
    assert handler.most_running == 2


async def test_calls_that_may_not_run_side_by_side_do_not() -> None:
    handler = Handler()
    await driven(TurnDriver(handler))
    assert handler.most_running == 1


async def test_a_question_to_a_person_is_recorded_while_the_turn_waits() -> None:
    handler = Handler(ask=True)
    await driven(TurnDriver(handler))
    assert handler.recorded[3] == ApprovalAsked("ask_1", ("a", "b"))


LENGTH = 11  # records of the whole turn above, its ending among them


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("after", range(LENGTH + 1))
async def test_a_cancel_at_any_record_ends_the_turn_once_and_in_order(
    after: int, concurrent: bool
) -> None:
    handler = Handler(concurrent=concurrent)
    driver = TurnDriver(handler)

    def cancel_in_time(signal: Signal | TurnEnded) -> None:
        if isinstance(signal, Cancelled):
            assert handler.running == 0  # what ran has been stopped before the cancel counts
        if len(handler.recorded) == after:
            driver.cancel()

    handler.on_record = cancel_in_time
    if after == 0:
        driver.cancel()
    ending = await driven(driver)

    expected = "done" if after == LENGTH else "cancelled"
    if after == LENGTH - 1:  # the last answer is in: the cancel may come too late
        assert ending.outcome in ("done", "cancelled")
    else:
        assert ending.outcome == expected
    assert [r for r in handler.recorded if isinstance(r, TurnEnded)] == [ending]
    assert handler.log[-1] == ending
    assert handler.running == 0
    answered = any(s == StepFinished(ANSWERS[0]) for s in handler.recorded)
    assert [call_id for call_id, _ in results(handler)] == (["a", "b"] if answered else [])
    check_nothing_begins_after_cancel(handler)


@pytest.mark.parametrize("intent", [StepStarted, ToolStarted])
async def test_a_cancel_while_an_intent_is_recorded_keeps_its_effect_from_beginning(
    intent: type[Signal],
) -> None:
    handler = Handler()
    driver = TurnDriver(handler, max_steps=5)

    def cancel_at_intent(signal: Signal | TurnEnded) -> None:
        if isinstance(signal, intent):
            driver.cancel()

    handler.on_record = cancel_at_intent
    ending = await driven(driver)

    assert ending.outcome == "cancelled"
    last = max(i for i, entry in enumerate(handler.log) if isinstance(entry, intent))
    assert not [e for e in handler.log[last:] if isinstance(e, CallModel | DecideCalls | RunTool)]


@pytest.mark.parametrize("concurrent", [False, True])
@pytest.mark.parametrize("last", [StepStarted, CallsDecided, ToolStarted, ToolFinished])
async def test_no_intent_is_recorded_once_a_cancel_was_asked_for(
    last: type[Signal], concurrent: bool
) -> None:
    handler = Handler(concurrent=concurrent)
    driver = TurnDriver(handler)
    handler.on_record = lambda signal: driver.cancel() if isinstance(signal, last) else None
    await driven(driver)
    place = next(i for i, signal in enumerate(handler.recorded) if isinstance(signal, last))
    later = handler.recorded[place + 1 :]
    assert not [signal for signal in later if isinstance(signal, StepStarted | ToolStarted)]


async def test_a_result_that_is_recorded_before_a_cancel_gives_nothing_time_to_begin() -> None:
    finished = asyncio.Event()

    class Slow(Handler):
        """Its records take time, and `a` has run when the intent to run `b` is recorded."""

        async def record(self, signal: Signal | TurnEnded) -> None:
            await super().record(signal)
            if signal == ToolStarted("b"):
                await finished.wait()
                driver.cancel()
            for _ in range(5):
                await asyncio.sleep(0)

        async def run_tool(self, effect: RunTool) -> ToolFinished:
            try:
                return await super().run_tool(effect)
            finally:
                finished.set()

    handler = Slow(concurrent=True)
    driver = TurnDriver(handler)
    assert (await driven(driver)).outcome == "cancelled"
    assert results(handler) == [("a", "ok"), ("b", "cancelled")]
    assert RunTool(CALLS[1]) not in handler.log


def check_nothing_begins_after_cancel(handler: Handler) -> None:
    cancels = [i for i, entry in enumerate(handler.log) if isinstance(entry, Cancelled)]
    if cancels:
        rest = handler.log[cancels[0] :]
        assert not [e for e in rest if isinstance(e, CallModel | DecideCalls | RunTool)]


async def test_a_cancel_interrupts_a_tool_that_waits_for_ever() -> None:
    handler = Handler()
    begun = asyncio.Event()

    async def for_ever(effect: RunTool) -> ToolFinished:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    handler.run_tool = for_ever  # type: ignore[method-assign]
    driver = TurnDriver(handler)
    run = asyncio.create_task(driven(driver))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    driver.cancel("enough")
    assert await run == TurnEnded("cancelled", "enough")
    assert results(handler) == [("a", "cancelled"), ("b", "cancelled")]


def failing(problem: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise problem

    return fail


async def test_a_model_call_that_raises_ends_the_turn_with_its_sentence() -> None:
    handler = Handler(model=failing(OSError("the line is cut")))
    ending = await driven(TurnDriver(handler))
    assert ending.outcome == "failed"
    assert "the line is cut" in ending.reason


async def test_a_judgement_that_raises_refuses_the_calls_and_the_turn_goes_on() -> None:
    handler = Handler(judge=failing(ValueError("no rules")))
    assert (await driven(TurnDriver(handler))).outcome == "done"
    assert results(handler) == [("a", "denied"), ("b", "denied")]


async def test_a_tool_that_raises_is_an_error_for_the_model_and_the_turn_goes_on() -> None:
    handler = Handler(tool=failing(ValueError("bad luck")))
    assert (await driven(TurnDriver(handler))).outcome == "done"
    assert results(handler) == [("a", "error"), ("b", "error")]


async def test_a_cancellation_that_a_tool_raises_itself_does_not_hang_the_turn() -> None:
    handler = Handler(tool=failing(asyncio.CancelledError()))
    assert (await driven(TurnDriver(handler))).outcome == "done"
    assert results(handler) == [("a", "error"), ("b", "error")]


async def test_a_record_that_cannot_be_kept_stops_everything_and_reaches_the_caller() -> None:
    handler = Handler(concurrent=True)

    def full_disk(signal: Signal | TurnEnded) -> None:
        if isinstance(signal, ToolFinished):
            raise OSError("no space left")

    handler.on_record = full_disk
    with pytest.raises(OSError, match="no space left"):
        await driven(TurnDriver(handler))
    assert handler.running == 0


async def test_cancelling_the_task_stops_what_runs_and_passes_through() -> None:
    handler = Handler()
    begun = asyncio.Event()
    handler.on_record = lambda s: begun.set() if isinstance(s, ToolStarted) else None
    run = asyncio.create_task(TurnDriver(handler).run())
    await asyncio.wait_for(begun.wait(), PATIENCE)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert handler.running == 0


@pytest.mark.parametrize("kept", range(LENGTH))
async def test_a_turn_is_taken_up_wherever_its_record_ends(kept: int) -> None:
    first = Handler()
    await driven(TurnDriver(first))
    journal = [s for s in first.recorded if not isinstance(s, TurnEnded)][:kept]

    second = Handler()
    ending = await driven(TurnDriver(second, state=replay(100, journal)))

    assert ending == TurnEnded("done")
    whole = [*journal, *second.recorded]
    finished = [s.call_id for s in whole if isinstance(s, ToolFinished)]
    assert finished == ["a", "b"]
    for effect in second.log:
        if isinstance(effect, RunTool):
            assert effect.resumed == (ToolStarted(effect.call.id) in journal)


async def test_a_turn_that_had_ended_is_concluded_even_when_it_is_cancelled_again() -> None:
    journal: list[Signal] = [
        TurnStarted(),
        StepStarted(1),
        StepFinished(ANSWERS[0]),
        Cancelled(),
    ]
    handler = Handler()
    driver = TurnDriver(handler, state=replay(3, journal))
    driver.cancel()
    assert (await driven(driver)).outcome == "cancelled"
    assert results(handler) == [("a", "cancelled"), ("b", "cancelled")]
