"""Carries out the turns of one workstream: the world in which `oturn.driver` performs effects.

Every effect is recorded before it is performed, and its outcome after, by `record`. What
decides is elsewhere: how a turn goes on in `oturn.turn`, what may run in `core.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

import msgspec

from oturn import signals as s
from oturn.driver import Report, TurnDriver
from oturn.effects import CallModel, DecideCalls, RunTool
from oturn.turn import Phase, TurnEnded, TurnState
from turnstone.core import effort, prompts
from turnstone.core import events as ev
from turnstone.core.agent_rules import only_waits
from turnstone.core.calls import UNKNOWN, Calls
from turnstone.core.compacting import Compacting
from turnstone.core.engine import Engine
from turnstone.core.extraction import Extraction
from turnstone.core.journal import Journal
from turnstone.core.limits import Stop
from turnstone.core.model_calls import ModelCalls
from turnstone.core.paid import Paid
from turnstone.core.purse import OverBudget, Purse
from turnstone.core.tool import ToolContext
from turnstone.core.transcript import OpenTurn
from turnstone.core.turns import state_after, usage_of

#: How a turn is told that the time of its workstream's budget is over.
_OUT_OF_BUDGET = Stop(
    "stopped: the budget of time is used up. A person gives more with /budget, or POST /api/budget",
    "over_budget",
)

#: Seconds until a limit is looked at again, at least.
_SOON = 0.001

_NEVER: tuple[float | None, Stop | None] = (None, None)


class Session:
    """The turns of one workstream, one after another."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext) -> None:
        self._journal = journal
        self._engine = engine
        self.purse = Purse(journal, engine.ids.request)
        self.paid = Paid(journal, self.purse)
        context = replace(context, ask=Extraction(journal, engine, self.paid))
        self._context = context
        self._model = ModelCalls(journal, engine, context, self.paid)
        self._driver: TurnDriver | None = None
        self._cid = ""
        self._without_tools = False
        self._calls = Calls(journal, engine, context, self.purse, "")
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
            self._tell_model("The conversation went on with the model {asked} so far")
            return await self._drive(None)
        state = state_after(turn.records, self._max_steps)
        # A process that was told to stop, or ended while a person was asked, did not end
        # because of the turn; nor while sub-agents worked, whose attempts are counted.
        spared = turn.left or state.request_id or only_waits(turn)
        attempt = turn.attempts if spared else turn.attempts + 1
        if attempt > self._engine.max_attempts:
            reason = f"given up: its process ended {turn.attempts} times while it ran"
            return await self.give_up(message, reason)
        stop = self._engine.limits.passed(turn.time, turn.usage)
        if stop is not None:
            return await self.give_up(message, *stop)
        # What may have had effects is settled with the first record: no cancel comes between.
        unknown = self._unknown(turn, {"effect"})
        await self._stop_agents({e.call_id: turn.running[e.call_id] for e in unknown})
        first = [ev.TurnResumed(attempt=attempt, correlation_id=self._cid), *unknown]
        self._tell_model("This turn was begun with the model {asked}")
        await self._drive(state_after([*turn.records, *first], self._max_steps), first=first)

    def _tell_model(self, until_now: str) -> None:
        """Tell readers where it is another model that is asked now, and nobody has chosen it."""
        asked, now = self._journal.transcript.learnt.asked, self._shown_model()
        if asked and asked != now:
            told = f"{until_now.format(asked=asked)}, and goes on with {now}."
            self._journal.publish(ev.Info(message=told), self._cid)

    def _shown_model(self) -> str:
        return self._engine.models.shown(self._journal.transcript.summary)

    async def give_up(
        self, message: ev.MessageAccepted, reason: str, outcome: ev.StopOutcome = "failed"
    ) -> None:
        """End the turn of this message as it stands, every open call told."""
        self._start(message)
        turn = self._journal.transcript.turn
        records = turn.records if turn is not None else []
        first = self._unknown(turn, {"idempotent", "effect"}) if turn is not None else []
        state = state_after([*records, *first], self._max_steps)
        await self._drive(state, stop=(reason, outcome), first=first)

    @property
    def compacting(self) -> Compacting:
        return self._model.compacting

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

        def left() -> list[ev.Event]:
            turn = self._journal.transcript.turn
            if turn is None or turn.message.correlation_id != self._carried:
                return []
            return [ev.TurnLeft(correlation_id=self._carried)]

        await self._journal.append_from(left)

    def answered(self, answer: ev.ApprovalAnswered) -> None:
        """An answer is in the journal: whoever waits for it may go on."""
        self._calls.answered(answer)

    def _start(self, message: ev.MessageAccepted) -> None:
        self._cid = message.correlation_id
        self._without_tools = message.without_tools
        self._calls = Calls(self._journal, self._engine, self._context, self.purse, self._cid)

    async def _drive(
        self,
        state: TurnState | None,
        *,
        stop: tuple[str, ev.StopOutcome] | None = None,
        first: Sequence[ev.Event] = (),
    ) -> None:
        """`state` is that of the turn with the records `first`, which are kept before all."""
        driver = TurnDriver(self, max_steps=self._max_steps, state=state)
        if stop is not None:
            driver.cancel(*stop)
        self._driver = driver
        try:
            if first:
                await self._journal.append(*first)
            self._carried = self._cid
            await self.purse.begin(self._watch)
            self._watch()
            await driver.run()
        finally:
            self._driver = None
            self.purse.end()
            self._watch()

    @property
    def _max_steps(self) -> int:
        """Of a turn. A message that is to be answered as it is has one."""
        if self._without_tools:
            return 1
        return self._journal.transcript.created.max_steps or self._engine.max_steps

    async def _stop_agents(self, calls: Mapping[str, ev.ToolStarted]) -> None:
        """End the sub-agents of these calls, with all that they run."""
        agents = self._context.agents
        running = [c for c, started in calls.items() if started.effect == "agent"]
        if agents is not None and running:
            await asyncio.gather(*(agents.stop(call_id) for call_id in running))

    def _unknown(
        self, turn: OpenTurn, classes: Collection[ev.EffectClass]
    ) -> list[ev.ToolFinished]:
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
            if call_id not in self._here and self._calls.started_as(started) in classes
        ]

    def _watch(self, *, due: bool = False) -> None:
        """Stop the turn that has passed a limit; see to it that one is stopped in time. `due`:
        its time was to be over by now; it is not where it was given more meanwhile."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        turn, driver = self._journal.transcript.turn, self._driver
        if turn is None or driver is None:
            return
        limits = self._engine.limits
        stop = limits.passed(turn.time, turn.usage)
        if stop is not None:
            driver.cancel(*stop)
            return
        time = replace(turn.time, seconds=turn.time.seconds + self._journal.since)
        ends = [(limits.left(time), limits.out_of_time), (self._budgeted(turn), _OUT_OF_BUDGET)]
        left, stop = min(((left, stop) for left, stop in ends if left is not None), default=_NEVER)
        if left is None or stop is None:
            return
        if due and left <= 0:
            driver.cancel(*stop)
            return
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(max(_SOON, left), partial(self._watch, due=True))

    def _budgeted(self, turn: OpenTurn) -> float | None:
        """Seconds of work that the budget leaves; None where it sets no limit, or nobody works."""
        left = self.purse.seconds()
        return None if turn.time.asking else left

    # The effect handler: what the driver asks for.

    async def record(self, signal: s.Signal | TurnEnded) -> None:
        if isinstance(signal, TurnEnded):
            return await self._record_ending(signal)
        if isinstance(signal, s.StepFailed | s.Cancelled) and self._journal.live.streamed():
            # What was streamed of a step that did not finish is in no record: for every
            # reader, late or early, it was not said.
            step = self._journal.transcript.open_turn().steps
            self._journal.publish(ev.StreamReset(step=step), self._cid)
        if isinstance(signal, s.Cancelled) and self._journal.transcript.turn is not None:
            # They are ended before it is recorded, so that none is left behind by a crash.
            await self._stop_agents(self._journal.transcript.turn.running)
        if isinstance(signal, s.ToolStarted):
            self._here.add(signal.call_id)
        notes = await self._notes() if isinstance(signal, s.StepStarted) else []
        if isinstance(signal, s.ToolFinished):
            # What a tool has done cannot be found out again: its outcome waits for the store.
            await self._journal.keep(lambda: self._events_of(signal, notes), self._cid)
        else:
            await self._journal.append_from(lambda: self._events_of(signal, notes))
        self._watch()

    async def _notes(self) -> list[str]:
        """What the model is told with the next request, besides the conversation."""
        left = await self.purse.note()
        return [prompts.text("budget").format(left=left)] if left else []

    async def call_model(self, effect: CallModel) -> s.StepFinished | s.StepFailed:
        try:
            return await self._model.ask(effect, self._cid)
        except OverBudget as over:
            return await self._out_of_budget(str(over))

    async def _out_of_budget(self, reason: str) -> NoReturn:
        """Stop the turn; whoever waits for this effect is interrupted with it."""
        assert self._driver is not None
        self._driver.cancel(reason, "over_budget")
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a cancelled effect goes on")

    async def decide(self, effect: DecideCalls, report: Report) -> s.CallsDecided:
        return await self._calls.decide(effect, report)

    async def run_tool(self, effect: RunTool) -> s.ToolFinished:
        return await self._calls.run(effect)

    # Recording: each signal with what people and later processes need beside it.

    def _events_of(self, signal: s.Signal, notes: list[str]) -> list[ev.Event]:
        event = self._event_of(signal)
        if isinstance(event, ev.StepStarted) and notes:
            event = msgspec.structs.replace(event, notes=notes)
        return [] if event is None else [event]

    def _event_of(self, signal: s.Signal) -> ev.Event | None:
        cid = self._cid
        match signal:
            case s.StepStarted():
                return ev.StepStarted(
                    step=signal.step,
                    steered=self._steered(signal),
                    model=self._shown_model(),
                    correlation_id=cid,
                )
            case s.StepFinished():
                step = self._journal.transcript.open_turn().steps
                return _step_finished(signal.message, step, cid, self._model)
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
                    images=list(self._calls.images.get(signal.call_id, ())),
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
        await self.purse.ending()
        told = ev.TurnEnded(outcome=ending.outcome, reason=ending.reason, text=turn.text)
        change = msgspec.structs.replace
        await self._journal.append(
            change(
                told,
                steps=turn.steps,
                usage=turn.usage,
                seconds=round(turn.time.seconds, 6),
                correlation_id=self._cid,
            ),
            *(
                change(told, turn=self._cid, correlation_id=message.correlation_id)
                for message in turn.steered
            ),
        )

    def _status(self) -> ev.Status:
        used = self._journal.transcript.last_usage or ev.Usage()
        window = self._engine.models.window(self._journal.transcript.summary)
        return ev.Status(
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            total_tokens=used.total_tokens,
            context_window=window,
            pct=round(100 * used.total_tokens / window, 1) if window else 0.0,
            effort=effort.chosen(self._journal.transcript.settings, self._engine.effort),
            left=self.purse.known_left(),
        )


def _step_finished(
    message: s.AssistantMessage, step: int, cid: str, asking: ModelCalls
) -> ev.StepFinished:
    model = asking.asked
    used = usage_of(message.usage) or ev.Usage()
    money = model.price.of(used.prompt_tokens, used.total_tokens - used.prompt_tokens)
    return ev.StepFinished(
        step=step,
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=[ev.ToolCallRecord(c.id, c.name, c.arguments) for c in message.tool_calls],
        usage=usage_of(message.usage),
        money=round(money, 9),
        model=message.model or model.id,
        finish=message.finish or "",
        asked=model.name,
        model_key=model.key,
        estimate=round(asking.prompt),
        taken=asking.taken,
        correlation_id=cid,
    )
