"""Carries out the turns of one workstream: the world in which `oturn.driver` performs effects.

Every effect is recorded before it is performed, and its outcome after, by `record`. What
decides is elsewhere: how a turn goes on in `oturn.turn`, what may run in `core.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import msgspec

from oturn import signals as s
from oturn.agent_stream_state import MessageAssembler
from oturn.driver import Report, TurnDriver
from oturn.effects import CallModel, DecideCalls, RunTool
from oturn.transport.base import Failed, ModelRequest, ReasoningDelta, TextDelta
from oturn.turn import Phase, TurnEnded, TurnState
from turnstone.core import events as ev
from turnstone.core.calls import UNKNOWN, Calls
from turnstone.core.engine import Engine
from turnstone.core.journal import Journal
from turnstone.core.prompts import system_prompt
from turnstone.core.tool import ToolContext
from turnstone.core.transcript import OpenTurn
from turnstone.core.turns import state_after, usage_of


class Session:
    """The turns of one workstream, one after another."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext) -> None:
        self._journal = journal
        self._engine = engine
        self._context = context
        self._driver: TurnDriver | None = None
        self._cid = ""
        self._calls = Calls(journal, engine, context, "")
        self._alarm: asyncio.TimerHandle | None = None  # at the end of the turn's time
        self._here: set[str] = set()  # the calls that the last drive started
        self._carried = ""  # the message whose turn this process has worked on last

    async def run_turn(self, message: ev.MessageAccepted) -> None:
        """Carry this message to its end, from wherever its record stands.

        Raises StoreError and NotOwner: then nothing more was done than is recorded.
        """
        self._start(message)
        self._here.clear()
        turn = self._journal.transcript.turn
        if turn is None:
            return await self._drive(None)
        state = state_after(turn.records, self._engine.max_steps)
        # A process that was told to stop, or ended while a person was asked, did not end
        # because of the turn.
        spared = turn.left or state.request_id
        attempt = turn.attempts if spared else turn.attempts + 1
        if attempt > self._engine.max_attempts:
            reason = f"given up: its process ended {turn.attempts} times while it ran"
            return await self.give_up(message, reason)
        stop = self._engine.limits.passed(turn.time, turn.usage)
        if stop is not None:
            return await self.give_up(message, *stop)
        # What may have had effects is settled with the first record: no cancel comes between.
        first = [
            ev.TurnResumed(attempt=attempt, correlation_id=self._cid),
            *self._unknown(turn, ("effect", "agent")),
        ]
        await self._drive(state_after([*turn.records, *first], self._engine.max_steps), first=first)

    async def give_up(
        self, message: ev.MessageAccepted, reason: str, outcome: ev.StopOutcome = "failed"
    ) -> None:
        """End the turn of this message as it stands, every open call told."""
        self._start(message)
        turn = self._journal.transcript.turn
        records = turn.records if turn is not None else []
        first = self._unknown(turn, ("idempotent", "effect", "agent")) if turn is not None else []
        state = state_after([*records, *first], self._engine.max_steps)
        await self._drive(state, stop=(reason, outcome), first=first)

    @property
    def correlation_id(self) -> str:
        """The message whose turn is being carried out, or was last."""
        return self._cid

    @property
    def running(self) -> bool:
        """A turn is being carried out, or its ending is being recorded."""
        return self._driver is not None

    def cancel(self, reason: str = "cancelled") -> bool:
        """Stop the turn in progress; False if there is none, or it has ended already."""
        if self._driver is None or self._driver.state.phase is Phase.ENDED:
            return False
        self._driver.cancel(reason)
        return True

    async def leave(self) -> None:
        """Record that the turn, which is stopped, was left because the process was told to.

        Not of a turn that was found and not yet begun with: the process before it died.
        """
        turn = self._journal.transcript.turn
        if turn is not None and turn.message.correlation_id == self._carried:
            await self._journal.append(ev.TurnLeft(correlation_id=self._carried))

    def answered(self, answer: ev.ApprovalAnswered) -> None:
        """An answer is in the journal: whoever waits for it may go on."""
        self._calls.answered(answer)

    def _start(self, message: ev.MessageAccepted) -> None:
        self._cid = message.correlation_id
        self._calls = Calls(self._journal, self._engine, self._context, self._cid)

    async def _drive(
        self,
        state: TurnState | None,
        *,
        stop: tuple[str, ev.StopOutcome] | None = None,
        first: Sequence[ev.Event] = (),
    ) -> None:
        """`state` is that of the turn with the records `first`, which are kept before all."""
        driver = TurnDriver(self, max_steps=self._engine.max_steps, state=state)
        if stop is not None:
            driver.cancel(*stop)
        self._driver = driver
        try:
            if first:
                await self._journal.append(*first)
            self._carried = self._cid
            self._watch()
            await driver.run()
        finally:
            self._driver = None
            self._watch()

    def _unknown(self, turn: OpenTurn, classes: Collection[ev.EffectClass]) -> list[ev.Event]:
        """The results of calls of these classes that a process started which is gone."""
        return [
            ev.ToolFinished(
                call_id=call_id,
                name=started.name,
                status="unknown",
                output=UNKNOWN,
                correlation_id=self._cid,
            )
            for call_id, started in turn.running.items()
            if call_id not in self._here and self._calls.effect_class(started.name) in classes
        ]

    def _watch(self) -> None:
        """Stop the turn that has passed a limit; see to it that one is stopped in time."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        turn, driver = self._journal.transcript.turn, self._driver
        if turn is None or driver is None:
            return
        limits = self._engine.limits
        stop = limits.passed(turn.time, turn.usage)
        left = limits.left(turn.time)
        if stop is not None:
            driver.cancel(*stop)
        elif left is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(left, driver.cancel, *limits.out_of_time)

    # The effect handler: what the driver asks for.

    async def record(self, signal: s.Signal | TurnEnded) -> None:
        if isinstance(signal, TurnEnded):
            return await self._record_ending(signal)
        if isinstance(signal, s.StepFailed | s.Cancelled) and self._journal.live.streamed():
            # What was streamed of a step that did not finish is in no record: for every
            # reader, late or early, it was not said.
            step = self._journal.transcript.open_turn().steps
            self._journal.publish(ev.StreamReset(step=step), self._cid)
        if isinstance(signal, s.ToolStarted):
            self._here.add(signal.call_id)
        await self._journal.append_from(lambda: self._events_of(signal))
        self._watch()

    async def call_model(self, effect: CallModel) -> s.StepFinished | s.StepFailed:
        if effect.resumed:
            self._journal.publish(ev.StreamReset(step=effect.step), self._cid)
        answer = MessageAssembler()
        async for item in self._engine.model.stream(self._request()):
            match item:
                case TextDelta():
                    self._journal.piece(ev.Content(text=item.text), self._cid)
                case ReasoningDelta():
                    self._journal.piece(ev.Reasoning(text=item.text), self._cid)
                case Failed():
                    return s.StepFailed(str(item.error))
            answer.feed(item)
        if answer.error is not None:
            return s.StepFailed(str(answer.error))
        return s.StepFinished(answer.message())

    async def decide(self, effect: DecideCalls, report: Report) -> s.CallsDecided:
        return await self._calls.decide(effect, report)

    async def run_tool(self, effect: RunTool) -> s.ToolFinished:
        return await self._calls.run(effect)

    # Calling the model.

    def _request(self) -> ModelRequest:
        transcript = self._journal.transcript
        prompt = system_prompt(
            self._context.workspace, transcript.created.timestamp, self._engine.instructions
        )
        return ModelRequest(
            model=self._engine.model_name,
            messages=[{"role": "system", "content": prompt}, *transcript.messages],
            tools=[tool.spec.function() for _, tool in sorted(self._engine.tools.items())],
            params=self._engine.params,
        )

    # Recording: each signal with what people and later processes need beside it.

    def _events_of(self, signal: s.Signal) -> list[ev.Event]:
        event = self._event_of(signal)
        return [] if event is None else [event]

    def _event_of(self, signal: s.Signal) -> ev.Event | None:
        cid = self._cid
        match signal:
            case s.StepStarted():
                return ev.StepStarted(
                    step=signal.step, steered=self._steered(signal), correlation_id=cid
                )
            case s.StepFinished():
                return _step_finished(
                    signal.message, self._journal.transcript.open_turn().steps, cid
                )
            case s.StepFailed():
                return ev.StepFailed(error=signal.error, correlation_id=cid)
            case s.ApprovalAsked():
                return self._calls.question(signal)
            case s.CallsDecided():
                decisions = [self._decision_of(d) for d in signal.decisions]
                return ev.CallsDecided(decisions=decisions, correlation_id=cid)
            case s.ToolStarted():
                return self._tool_started(signal.call_id)
            case s.ToolFinished():
                name = self._journal.transcript.open_turn().calls[signal.call_id].name
                return ev.ToolFinished(
                    call_id=signal.call_id,
                    name=name,
                    status=signal.status,
                    output=signal.text,
                    cwd=self._calls.moved.get(signal.call_id, ""),
                    correlation_id=cid,
                )
            case s.Cancelled():
                return ev.CancelRequested(
                    reason=signal.reason, outcome=signal.outcome, correlation_id=cid
                )
        return None

    def _steered(self, step: s.StepStarted) -> list[str]:
        """What came for the turn in progress: it is read behind the results of a step."""
        if step.step == 1:
            return []
        return [m.correlation_id for m in self._journal.transcript.waiting if m.steer]

    def _decision_of(self, decision: s.Decision) -> ev.CallDecision:
        ruling = self._calls.rulings.get(decision.call_id)
        if ruling is not None:
            return ruling
        return ev.CallDecision(
            call_id=decision.call_id, verdict=decision.verdict, reason=decision.reason
        )

    def _tool_started(self, call_id: str) -> ev.ToolStarted:
        turn = self._journal.transcript.open_turn()
        name = turn.calls[call_id].name
        decision = turn.decided.get(call_id)
        return ev.ToolStarted(
            call_id=call_id,
            name=name,
            effect=self._calls.effect_class(name),
            args_hash=decision.args_hash if decision else "",
            item=self._calls.items.get(call_id),
            correlation_id=self._cid,
        )

    async def _record_ending(self, ending: TurnEnded) -> None:
        turn = self._journal.transcript.open_turn()
        if ending.outcome == "failed":
            self._journal.publish(ev.Error(message=ending.reason, code="turn_failed"), self._cid)
        elif self._journal.transcript.last_usage is not None:
            self._journal.publish(self._status(), self._cid)
        told = ev.TurnEnded(outcome=ending.outcome, reason=ending.reason, text=turn.text)
        change = msgspec.structs.replace
        await self._journal.append(
            change(told, steps=turn.steps, usage=turn.usage, correlation_id=self._cid),
            *(
                change(told, turn=self._cid, correlation_id=message.correlation_id)
                for message in turn.steered
            ),
        )

    def _status(self) -> ev.Status:
        used = self._journal.transcript.last_usage or ev.Usage()
        window = self._engine.context_window
        return ev.Status(
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            total_tokens=used.total_tokens,
            context_window=window,
            pct=round(100 * used.total_tokens / window, 1) if window else 0.0,
            effort=str(self._engine.params.get("reasoning_effort", "")),
        )


def _step_finished(message: s.AssistantMessage, step: int, cid: str) -> ev.StepFinished:
    return ev.StepFinished(
        step=step,
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=[ev.ToolCallRecord(c.id, c.name, c.arguments) for c in message.tool_calls],
        usage=usage_of(message.usage),
        model=message.model or "",
        finish=message.finish or "",
        correlation_id=cid,
    )
