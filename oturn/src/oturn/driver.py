"""Performs what the turn reducer decides, and feeds back what happened. The one loop there is.

It decides nothing itself: an `OTurnNucleus` steps the reducer of `oturn.turn`, where every
branch of a turn is. It writes nothing itself: the handler records each signal, and is asked to
before the signal takes effect, so that what is done can be found again by a process that comes
after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeAlias

from oturn.cancelling import being_cancelled
from oturn.effects import CallModel, DecideCalls, Effect, RunTool
from oturn.nucleus import OTurnNucleus
from oturn.signals import (
    ApprovalAsked,
    CallsDecided,
    Cancelled,
    Decision,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    StopOutcome,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from oturn.turn import (
    MAX_BROKEN_ANSWERS,
    Output,
    Phase,
    TurnEnded,
    TurnState,
    due,
    initial,
    reduce,
)

Report: TypeAlias = Callable[[ApprovalAsked], None]
"""How a handler tells that a person has been asked, while it waits for the answer."""


class EffectHandler(Protocol):
    """What a host supplies: the world in which a turn's effects happen.

    An exception from `record` ends the drive at once and reaches its caller: a turn whose
    record cannot be kept must not go on. An exception from any other method is taken as
    that effect's failure, and the turn goes on with it. Each may be cancelled, and then must
    have stopped what it started before it lets the cancellation pass.
    """

    async def record(self, signal: Signal | TurnEnded) -> None:
        """Keep this for good, before anything is done because of it; then tell the readers."""

    async def call_model(self, effect: CallModel) -> StepFinished | StepFailed:
        """Ask the model with the history as it stands, and give back its whole answer."""

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        """Judge the calls by rules; where those say so, ask a person and wait for the answer."""

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        """Run the call. `effect.resumed`: it had been started by a process that is gone."""


class TurnDriver:
    """Drives one turn to its end: `await TurnDriver(handler, max_steps=20).run()`.

    With `state`, a turn that was cut off is taken up where its record ends. One driver
    drives one turn, once.
    """

    def __init__(
        self,
        handler: EffectHandler,
        *,
        max_steps: int = 100,
        max_broken: int = MAX_BROKEN_ANSWERS,
        state: TurnState | None = None,
    ) -> None:
        self.state = initial(max_steps, max_broken) if state is None else state
        self._turn: OTurnNucleus[TurnState, Signal, Output] = OTurnNucleus(self.state, reduce)
        self._handler = handler
        self._inbox: asyncio.Queue[Signal] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def cancel(self, reason: str = "cancelled", outcome: StopOutcome = "cancelled") -> None:
        """Stop the turn: what runs is interrupted, and the turn ends with `outcome`. Idempotent."""
        self._stopping.set()
        self._inbox.put_nowait(Cancelled(reason, outcome))

    async def run(self) -> TurnEnded:
        """Drive to the ending. Raises what the handler's `record` raises."""
        try:
            outputs = await self._begin()
            while True:
                ending = await self._perform(outputs)
                if ending is not None:
                    return ending
                outputs = await self._feed(await self._inbox.get())
        finally:
            await self._stop_tasks()

    async def _begin(self) -> list[Output]:
        if self.state.phase is not Phase.READY:
            return due(self.state)
        return await self._feed(
            self._inbox.get_nowait() if self._stopping.is_set() else TurnStarted()
        )

    async def _feed(self, signal: Signal) -> list[Output]:
        """Step with one signal; record it if it counts; then let it take effect.

        `state` is what the record holds: it stays behind the nucleus while a signal is recorded.
        """
        step = await self._turn.step(signal)
        if step.state is self.state:
            return []
        if isinstance(signal, Cancelled):
            await self._stop_tasks()
        await self._handler.record(signal)
        self.state = step.state
        return step.events

    async def _perform(self, outputs: list[Output]) -> TurnEnded | None:
        for output in outputs:
            match output:
                case ToolFinished():
                    ending = await self._perform(await self._feed(output))
                    if ending is not None:
                        return ending
                case TurnEnded():
                    await self._handler.record(output)
                    return output
                case CallModel() | DecideCalls() | RunTool():
                    await self._start(output)
        return None

    async def _start(self, effect: Effect) -> None:
        """Record the intent, then set the effect going; its result comes back as a signal."""
        if self._stopping.is_set():
            return  # the cancel that waits in the inbox concludes it
        match effect:
            case CallModel():
                await self._feed(StepStarted(effect.step))
            case RunTool() if not effect.resumed:
                await self._feed(ToolStarted(effect.call.id))
        if self._stopping.is_set():
            return  # stopped while the intent was being recorded
        task = asyncio.create_task(self._carry_out(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, effect: Effect) -> None:
        try:
            result = await self._result(effect)
        except asyncio.CancelledError as problem:
            if being_cancelled():
                raise
            # The handler gave up by itself (something it awaited was cancelled): a failure.
            result = _failure(effect, problem)
        self._inbox.put_nowait(result)

    async def _result(self, effect: Effect) -> Signal:
        try:
            match effect:
                case CallModel():
                    return await self._handler.call_model(effect)
                case DecideCalls():
                    return await self._handler.decide(effect, self._inbox.put_nowait)
                case RunTool():
                    return await self._handler.run_tool(effect)
        except Exception as error:
            return _failure(effect, error)

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _failure(effect: Effect, error: BaseException) -> Signal:
    match effect:
        case CallModel():
            return StepFailed(_sentence("the model could not be asked", error))
        case DecideCalls():
            reason = _sentence("Not run: it could not be judged", error)
            return CallsDecided(tuple(Decision(c.id, "deny", reason) for c in effect.calls))
        case RunTool():
            return ToolFinished(effect.call.id, "error", _sentence("The tool failed", error))


def _sentence(what: str, error: BaseException) -> str:
    return f"{what}: {str(error) or 'no reason given'} ({type(error).__name__})"
