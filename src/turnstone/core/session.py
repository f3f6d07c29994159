"""Carries out the turns of one workstream: the world in which `oturn.driver` performs effects.

Every effect is recorded before it is performed, and its outcome after, by `record`. What
decides is elsewhere: how a turn goes on in `oturn.turn`, what may run in `core.policy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from oturn import signals as s
from oturn.agent_stream_state import MessageAssembler
from oturn.driver import Report, TurnDriver
from oturn.effects import CallModel, DecideCalls, RunTool
from oturn.transport.base import Failed, ModelRequest, ReasoningDelta, TextDelta
from oturn.turn import Phase, TurnEnded, TurnState
from turnstone.core import events as ev
from turnstone.core import policy
from turnstone.core.engine import Engine
from turnstone.core.errors import ToolRefused, TurnstoneError
from turnstone.core.journal import Journal
from turnstone.core.prompts import system_prompt
from turnstone.core.tool import Prepared, ToolContext, ToolResult
from turnstone.core.transcript import OpenTurn
from turnstone.core.turns import state_after, usage_of

_UNKNOWN = (
    "Outcome unknown: this call was interrupted when its process ended. It may have run partly "
    "or fully. Check what has happened before you repeat it."
)
_CHANGED = "Not run: what this call would do has changed since it was allowed. Ask for it again."


class Session:
    """The turns of one workstream, one after another."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext) -> None:
        self._journal = journal
        self._engine = engine
        self._context = context
        self._driver: TurnDriver | None = None
        self._answers: dict[str, asyncio.Future[ev.ApprovalAnswered]] = {}
        self._cid = ""
        self._passed = ""  # the message that has passed the fence
        self._prepared: dict[str, Prepared] = {}
        self._items: dict[str, ev.ToolItem] = {}
        self._rulings: dict[str, ev.CallDecision] = {}

    async def run_turn(self, message: ev.MessageAccepted) -> None:
        """Carry this message to its end, from wherever its record stands.

        Raises StoreError and NotOwner: then nothing more was done than is recorded.
        """
        self._start(message)
        turn = self._journal.transcript.turn
        if turn is None:
            return await self._drive(None)
        if turn.attempts >= self._engine.max_attempts:
            reason = f"given up: its process ended {turn.attempts} times while it ran"
            return await self.give_up(message, reason)
        await self._journal.append(
            ev.TurnResumed(attempt=turn.attempts + 1, correlation_id=self._cid)
        )
        await self._drive(state_after(turn.records, self._engine.max_steps))

    async def give_up(
        self, message: ev.MessageAccepted, reason: str, outcome: ev.StopOutcome = "failed"
    ) -> None:
        """End the turn of this message as it stands, every open call told."""
        self._start(message)
        turn = self._journal.transcript.turn
        records = turn.records if turn is not None else []
        state = state_after(records, self._engine.max_steps)
        await self._drive(state, stop=(reason, outcome))

    def cancel(self, reason: str = "cancelled") -> bool:
        """Stop the turn in progress; False if there is none, or it has ended already."""
        if self._driver is None or self._driver.state.phase is Phase.ENDED:
            return False
        self._driver.cancel(reason)
        return True

    def answered(self, answer: ev.ApprovalAnswered) -> None:
        """An answer is in the journal: whoever waits for it may go on."""
        waiting = self._answers.get(answer.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _start(self, message: ev.MessageAccepted) -> None:
        self._cid = message.correlation_id
        self._prepared.clear()
        self._items.clear()
        self._rulings.clear()

    async def _drive(
        self, state: TurnState | None, stop: tuple[str, ev.StopOutcome] | None = None
    ) -> None:
        driver = TurnDriver(self, max_steps=self._engine.max_steps, state=state)
        if stop is not None:
            driver.cancel(*stop)
        self._driver = driver
        try:
            await driver.run()
        finally:
            self._driver = None

    # The effect handler: what the driver asks for.

    async def record(self, signal: s.Signal | TurnEnded) -> None:
        if isinstance(signal, TurnEnded):
            return await self._record_ending(signal)
        event = self._event_of(signal)
        if event is not None:
            await self._journal.append(event)

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
        return s.StepFinished(answer.message())

    async def decide(self, effect: DecideCalls, report: Report) -> s.CallsDecided:
        asked: list[str] = []
        for call in effect.calls:
            ruling = await self._judge(call)
            if ruling is None:
                asked.append(call.id)
            else:
                self._rulings[call.id] = ruling
        if asked:
            answer = await self._ask(effect, asked, report)
            for call_id in asked:
                self._rulings[call_id] = self._by_answer(call_id, answer)
        return s.CallsDecided(
            tuple(
                s.Decision(r.call_id, r.verdict, r.reason, r.concurrent)
                for r in (self._rulings[call.id] for call in effect.calls)
            )
        )

    async def run_tool(self, effect: RunTool) -> s.ToolFinished:
        call = effect.call
        if effect.resumed and self._effect_class(call.name) in ("effect", "agent"):
            return s.ToolFinished(call.id, "unknown", _UNKNOWN)
        try:
            prepared = self._prepared.get(call.id) or await self._prepare(call)
        except ToolRefused as refused:
            return _not_run(call.id, str(refused), started=effect.resumed)
        if prepared.effect != "pure" and (fenced := await self._fenced_off()):
            return _not_run(call.id, fenced, started=effect.resumed)
        if effect.resumed:
            return await self._run_again(call, prepared)
        if prepared.hash != self._decided_hash(call.id):
            return _not_run(call.id, _CHANGED, started=False)
        return await self._run(call, prepared)

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

    # Deciding.

    async def _judge(self, call: s.ToolCall) -> ev.CallDecision | None:
        """What the rules say; None if a person has to be asked."""
        try:
            prepared = await self._prepare(call)
        except ToolRefused as refused:
            return ev.CallDecision(call_id=call.id, verdict="invalid", reason=str(refused))
        spec = self._engine.tools[call.name].spec
        transcript = self._journal.transcript
        grants = policy.Grants(
            auto_approve=transcript.auto_approve or self._engine.auto_approve,
            tools=transcript.granted | self._engine.auto_approve_tools,
        )
        ruling = policy.decide(prepared, spec, grants, self._engine.confinement.level)
        self._items[call.id] = _item(call, prepared, ruling)
        if ruling.verdict == "ask":
            return None
        return ev.CallDecision(
            call_id=call.id,
            verdict=ruling.verdict,
            rule=ruling.rule,
            reason=ruling.reason,
            args_hash=prepared.hash,
            concurrent=prepared.effect == "pure",
        )

    async def _prepare(self, call: s.ToolCall) -> Prepared:
        tool = self._engine.tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._engine.tools))
            raise ToolRefused(f"There is no tool named {call.name!r}. The tools are: {known}.")
        prepared = await tool.prepare(call.parsed or {}, self._context)
        self._prepared[call.id] = prepared
        return prepared

    async def _ask(
        self, effect: DecideCalls, asked: list[str], report: Report
    ) -> ev.ApprovalAnswered:
        """Ask under the request's old id if the same thing was asked before a restart."""
        turn = self._turn()
        before = turn.questions.get(effect.request_id or "")
        request_id = self._engine.ids.request()
        if before is not None and self._asks_the_same(before, asked):
            request_id = before.request_id
            answer = self._journal.transcript.answers.get(request_id)
            if answer is not None:
                return answer
        waiting: asyncio.Future[ev.ApprovalAnswered] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = waiting
        try:
            if before is None or before.request_id != request_id:
                report(s.ApprovalAsked(request_id, tuple(call.id for call in effect.calls)))
            return await waiting
        finally:
            del self._answers[request_id]

    def _asks_the_same(self, before: ev.ApprovalAsked, asked: list[str]) -> bool:
        then = {i.call_id: i.args_hash for i in before.items if i.needs_approval}
        return then == {call_id: self._prepared[call_id].hash for call_id in asked}

    def _by_answer(self, call_id: str, answer: ev.ApprovalAnswered) -> ev.CallDecision:
        who = answer.by or "the user"
        prepared = self._prepared[call_id]
        if answer.approved:
            return ev.CallDecision(
                call_id=call_id,
                verdict="allow",
                rule=f"allowed by {who}",
                args_hash=prepared.hash,
                concurrent=prepared.effect == "pure",
            )
        said = f" They said: {answer.feedback}" if answer.feedback else ""
        return ev.CallDecision(
            call_id=call_id,
            verdict="expired" if answer.expired else "deny",
            rule=f"refused by {who}",
            reason="Not run: nobody answered in time."
            if answer.expired
            else f"Not run: {who} refused it.{said}",
            args_hash=prepared.hash,
        )

    # Running tools.

    async def _fenced_off(self) -> str:
        """Why this node may have no effects for this message; empty if it may."""
        if self._cid == self._passed:
            return ""
        try:
            if not await self._engine.fence(self._cid):
                return "Not run: another node has taken this message over."
        except TurnstoneError as error:
            return f"Not run: it could not be made sure that no other node runs it. {error}"
        self._passed = self._cid
        return ""

    async def _run(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        def emit(text: str) -> None:
            self._journal.piece(ev.ToolOutput(call_id=call.id, text=text), self._cid)

        try:
            result = await self._engine.tools[call.name].run(prepared, self._context, emit)
        except ToolRefused as refused:
            result = ToolResult("error", str(refused))
        return s.ToolFinished(call.id, result.status, result.output)

    async def _run_again(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        """A call that had been started by a process that is gone."""
        if prepared.effect == "pure":
            return await self._run(call, prepared)
        happened = await self._engine.tools[call.name].happened(prepared, self._context)
        if happened:
            return s.ToolFinished(call.id, "ok", "Done (before the process was restarted).")
        if happened is False and prepared.hash == self._decided_hash(call.id):
            return await self._run(call, prepared)
        return s.ToolFinished(call.id, "unknown", _UNKNOWN)

    def _effect_class(self, name: str) -> ev.EffectClass:
        tool = self._engine.tools.get(name)
        return tool.spec.effect if tool is not None else "effect"

    def _decided_hash(self, call_id: str) -> str:
        decision = self._turn().decided.get(call_id)
        return decision.args_hash if decision is not None else ""

    def _turn(self) -> OpenTurn:
        turn = self._journal.transcript.turn
        assert turn is not None, "every signal but the first follows a record of its turn"
        return turn

    # Recording: each signal with what people and later processes need beside it.

    def _event_of(self, signal: s.Signal) -> ev.Event | None:
        cid = self._cid
        match signal:
            case s.StepStarted():
                return ev.StepStarted(step=signal.step, correlation_id=cid)
            case s.StepFinished():
                return _step_finished(signal.message, self._turn().steps, cid)
            case s.StepFailed():
                return ev.StepFailed(error=signal.error, correlation_id=cid)
            case s.ApprovalAsked():
                items = [self._items[i] for i in signal.call_ids if i in self._items]
                return ev.ApprovalAsked(
                    request_id=signal.request_id, items=items, correlation_id=cid
                )
            case s.CallsDecided():
                decisions = [self._decision_of(d) for d in signal.decisions]
                return ev.CallsDecided(decisions=decisions, correlation_id=cid)
            case s.ToolStarted():
                return self._tool_started(signal.call_id)
            case s.ToolFinished():
                name = self._turn().calls[signal.call_id].name
                return ev.ToolFinished(
                    call_id=signal.call_id,
                    name=name,
                    status=signal.status,
                    output=signal.text,
                    correlation_id=cid,
                )
            case s.Cancelled():
                return ev.CancelRequested(
                    reason=signal.reason, outcome=signal.outcome, correlation_id=cid
                )
        return None

    def _decision_of(self, decision: s.Decision) -> ev.CallDecision:
        ruling = self._rulings.get(decision.call_id)
        if ruling is not None:
            return ruling
        return ev.CallDecision(
            call_id=decision.call_id, verdict=decision.verdict, reason=decision.reason
        )

    def _tool_started(self, call_id: str) -> ev.ToolStarted:
        name = self._turn().calls[call_id].name
        return ev.ToolStarted(
            call_id=call_id,
            name=name,
            effect=self._effect_class(name),
            args_hash=self._decided_hash(call_id),
            item=self._items.get(call_id),
            correlation_id=self._cid,
        )

    async def _record_ending(self, ending: TurnEnded) -> None:
        turn = self._turn()
        if ending.outcome == "failed":
            self._journal.publish(ev.Error(message=ending.reason, code="turn_failed"), self._cid)
        elif self._journal.transcript.last_usage is not None:
            self._journal.publish(self._status(), self._cid)
        await self._journal.append(
            ev.TurnEnded(
                outcome=ending.outcome,
                reason=ending.reason,
                text=turn.text,
                steps=turn.steps,
                usage=turn.usage,
                correlation_id=self._cid,
            )
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


def _not_run(call_id: str, why: str, *, started: bool) -> s.ToolFinished:
    """A call that cannot be run now; one that was started before may have run all the same."""
    return s.ToolFinished(call_id, "unknown" if started else "error", _UNKNOWN if started else why)


def _item(call: s.ToolCall, prepared: Prepared, ruling: policy.Ruling) -> ev.ToolItem:
    return ev.ToolItem(
        call_id=call.id,
        name=call.name,
        func_name=call.name,
        header=prepared.header,
        preview=prepared.preview,
        approval_label=call.name,
        needs_approval=ruling.verdict == "ask",
        arguments=_plain(call.parsed),
        args_hash=prepared.hash,
        rule=ruling.rule,
    )


def _plain(arguments: Mapping[str, object] | None) -> dict[str, object]:
    return dict(arguments or {})


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
