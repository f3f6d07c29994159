"""The tool calls of a turn: prepared, judged, asked about, run. The middle of a session.

What may run is said by `core.policy`; what a person is shown, what the policy judges and what
is run is one `Prepared`, and an answer holds for its exact hash. Records nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from oturn import signals as s
from oturn.driver import Report
from oturn.effects import DecideCalls, RunTool
from turnstone.core import agent_rules, permissions, policy, taint
from turnstone.core import events as ev
from turnstone.core.answered_calls import (
    by_answer,
    changed,
    concurrent,
    of_changed,
    settled,
    told,
)
from turnstone.core.budget import Cost
from turnstone.core.engine import Engine
from turnstone.core.errors import ToolRefused, TurnstoneError
from turnstone.core.journal import Journal
from turnstone.core.masking import MASK
from turnstone.core.policy_rules import Parts
from turnstone.core.purse import OverBudget, Purse
from turnstone.core.results import given, masked, writes_mask
from turnstone.core.showing import showing
from turnstone.core.sub_agents import Inherited
from turnstone.core.tool import Prepared, ToolContext, ToolResult

log = logging.getLogger(__name__)

#: What the model reads of a call with the status `unknown`.
UNKNOWN = (
    "Outcome unknown: this call was started, and the process that ran it ended before its outcome "
    "was recorded. It may have run partly or fully. Check what has happened before you repeat it."
)
_CHANGED = "Not run: what this call would do has changed since it was allowed. Ask for it again."

_MASKED = (
    f"{{tool}}: the text contains the mark of a masked secret, {MASK!r}. Written, it would take the"
    " place of the secret. Leave the lines with secrets out of what you change."
)


class Calls:
    """The calls of one turn. `items` and `rulings` are those of its last step, by call id."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        context: ToolContext,
        purse: Purse,
        correlation_id: str,
    ) -> None:
        self.items: dict[str, ev.ToolItem] = {}
        self.rulings: dict[str, ev.CallDecision] = {}
        self.moved: dict[str, str] = {}  # by call id, where a call has moved the commands to
        self.images: dict[str, tuple[str, ...]] = {}  # by call id, those of its result
        self._journal = journal
        self._engine = engine
        self._context = context
        self._purse = purse
        self._cid = correlation_id
        self._prepared: dict[str, Prepared] = {}
        self._answers: dict[str, asyncio.Future[ev.ApprovalAnswered]] = {}
        self._followed: set[str] = set()  # questions about the step whose answers were taken
        self._passed_fence = False

    async def decide(self, effect: DecideCalls, report: Report) -> s.CallsDecided:
        """Judge them all by the rules, and ask a person once about those that must be asked."""
        self.items.clear()
        self.rulings.clear()
        self.moved.clear()
        self.images.clear()
        self._prepared.clear()
        self._followed.clear()
        asked: list[str] = []
        for call in effect.calls:
            ruling = await self._judge(call)
            if ruling is None:
                asked.append(call.id)
            else:
                self.rulings[call.id] = ruling
        for together in self._questions(asked):
            await self._settle(effect, together, report)
        return s.CallsDecided(
            tuple(
                s.Decision(r.call_id, r.verdict, r.reason, r.concurrent)
                for r in (self.rulings[call.id] for call in effect.calls)
            )
        )

    async def run(self, effect: RunTool) -> s.ToolFinished:
        """Run a call that was allowed, if it still is what was allowed."""
        result = await self._run(effect)
        agents = self._context.agents
        if effect.resumed and result.status == "unknown" and agents is not None:
            await agents.stop(effect.call.id)  # of a sub-agent, nobody waits for it any more
        return replace(result, text=told(result.text, self._edited(effect.call.id)))

    async def _run(self, effect: RunTool) -> s.ToolFinished:
        call = effect.call
        try:
            prepared = self._prepared.get(call.id) or await self._prepare(call, decided=True)
        except ToolRefused as refused:
            return _not_run(call.id, str(refused), started=effect.resumed)
        if prepared.effect != "pure" and (fenced := await self._fenced_off()):
            return _not_run(call.id, fenced, started=effect.resumed)
        if effect.resumed:
            return await self._run_again(call, prepared)
        if prepared.hash != self._decided_hash(call.id):
            return _not_run(call.id, _CHANGED)
        try:
            await self._purse.reserve(Cost(tool_calls=1))
        except OverBudget as over:
            return _not_run(call.id, f"Not run: {over}.")
        return await self._run_now(call, prepared)

    def answered(self, answer: ev.ApprovalAnswered) -> None:
        """An answer is in the journal: whoever waits for it may go on."""
        waiting = self._answers.get(answer.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def effect_class(self, name: str) -> ev.EffectClass:
        """What a crash may leave of a call of this tool; `effect` for a tool that is unknown."""
        tool = self._engine.tools.get(name)
        return tool.spec.effect if tool is not None else "effect"

    def started_as(self, started: ev.ToolStarted) -> ev.EffectClass:
        """What a crash may have left of a call: as its intent says, or worse, if the tool says
        so by now. A tool that changed in between makes nothing repeatable."""
        return stricter(started.effect, self.effect_class(started.name))

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
            tools=self._engine.auto_approve_tools,
            always=transcript.granted,
        )
        agents = self._context.agents
        inherited = agents.inherited() if agents is not None else Inherited()
        rules = self._engine.rules.placed(self._context.workspace.parts, _resolved)
        level = self._engine.confinement.level
        ruling = agent_rules.judge(prepared, spec, transcript, grants, inherited, level, rules)
        read = next(iter((*transcript.tainted, *inherited.tainted)), "")
        ruling = taint.held_back(ruling, prepared, spec, read, level)
        self.items[call.id] = self._item(call, prepared, ruling)
        if ruling.verdict == "ask":
            return None
        return ev.CallDecision(
            call_id=call.id,
            verdict=ruling.verdict,
            rule=ruling.rule,
            reason=ruling.reason,
            args_hash=prepared.hash,
            expects=prepared.expects,
            concurrent=concurrent(prepared),
        )

    async def _prepare(self, call: s.ToolCall, *, decided: bool = False) -> Prepared:
        known = agent_rules.offered(self._journal.transcript, self._engine.tools)
        if call.name not in known:
            these = f"The tools are: {', '.join(known)}." if known else "There are no tools now."
            raise ToolRefused(f"There is no tool named {call.name!r}. {these}")
        tool = self._engine.tools[call.name]
        if not self._context.workspace.is_dir():
            raise ToolRefused(f"The workspace {self._context.workspace} is gone.")
        context = self._place(call)
        if decided and (decision := self._decision(call.id)) is not None:
            context = replace(context, decided=decision.expects)
            call = changed(call, self._edited(call.id))
        prepared = await tool.prepare(call.parsed or {}, context)
        if writes_mask(prepared):
            raise ToolRefused(_MASKED.format(tool=call.name))
        self._prepared[call.id] = prepared
        return prepared

    def _place(self, call: s.ToolCall) -> ToolContext:
        """Where this call happens, with the folder in which the commands of this step start."""
        folder = self._journal.transcript.directory
        return replace(
            self._context,
            max_output=self._engine.output_for(self._journal.transcript.summary),
            call_id=call.id,
            correlation_id=self._cid,
            directory=Path(folder) if folder else None,
            images=self._engine.models.takes_images(self._journal.transcript.summary),
        )

    def question(self, asked: s.ApprovalAsked) -> ev.ApprovalAsked:
        """The question as it is recorded and shown."""
        items = [self.items[i] for i in asked.call_ids if i in self.items]
        return ev.ApprovalAsked(
            request_id=asked.request_id,
            items=items,
            args_hash=permissions.question_hash(items),
            correlation_id=self._cid,
        )

    def _item(self, call: s.ToolCall, prepared: Prepared, ruling: policy.Ruling) -> ev.ToolItem:
        item = ev.ToolItem(
            call_id=call.id,
            name=call.name,
            func_name=call.name,
            header=prepared.header,
            preview=prepared.preview,
            approval_label=prepared.label or call.name,
            needs_approval=ruling.verdict == "ask",
            arguments=_plain(call.parsed),
            args_hash=prepared.hash,
            rule=ruling.rule,
            grant=permissions.in_words(ruling.always, self._engine, self._context.workspace),
            grants=list(ruling.always),
        )
        writes = any(use.access == "write" for use in prepared.paths)
        diff = writes and prepared.effect == "idempotent" and not prepared.commands
        return masked(item, self._engine.masking, diff=diff)

    def _questions(self, asked: list[str]) -> list[list[str]]:
        """The calls of each question: those of a step together, but of a sub-agent one by one,
        as readers of 0.2 know it (contract, section 2.5)."""
        if self._journal.transcript.created.agent:
            return [[call_id] for call_id in asked]
        return [asked] if asked else []

    async def _settle(self, effect: DecideCalls, asked: list[str], report: Report) -> None:
        """Ask about these, and anew about all that no rule decides once one was changed."""
        calls = {call.id: call for call in effect.calls}
        while (answer := await self._ask(effect, asked, report)).edited:
            for call_id, arguments in answer.edited.items():
                ruling = await self._judge(changed(calls[call_id], arguments))
                if ruling is not None:
                    self.rulings[call_id] = of_changed(ruling, arguments)
                    self.items[call_id] = settled(self.items[call_id], ruling)
            asked = [call_id for call_id in asked if call_id not in self.rulings]
            if not asked:
                return
        for call_id in asked:
            self.rulings[call_id] = by_answer(call_id, self._prepared[call_id], answer)

    async def _ask(
        self, effect: DecideCalls, asked: list[str], report: Report
    ) -> ev.ApprovalAnswered:
        """Ask under the request's old id if the same thing was asked before a restart."""
        turn = self._journal.transcript.open_turn()
        open_ones = [q for q in turn.asked_now() if q.request_id not in self._followed]
        before = next((q for q in reversed(open_ones) if self._asks_the_same(q, asked)), None)
        request_id = before.request_id if before is not None else self._engine.ids.request()
        self._followed.add(request_id)
        if given := self._journal.transcript.answers.get(request_id):
            return given
        waiting: asyncio.Future[ev.ApprovalAnswered] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = waiting
        try:
            if before is None:
                together = asked if self._journal.transcript.created.agent else None
                calls = together or [call.id for call in effect.calls]
                report(s.ApprovalAsked(request_id, tuple(calls)))
            return await waiting
        finally:
            del self._answers[request_id]

    def _asks_the_same(self, before: ev.ApprovalAsked, asked: list[str]) -> bool:
        then = {i.call_id: i.args_hash for i in before.items if i.needs_approval}
        return then == {call_id: self._prepared[call_id].hash for call_id in asked}

    async def _fenced_off(self) -> str:
        """Why this node may have no effects for this message; empty if it may."""
        if self._passed_fence:
            return ""
        try:
            top = self._journal.transcript.created.top_message
            if not await self._engine.fence(top or self._cid):
                return "Not run: another node has taken this message over."
        except TurnstoneError as error:
            return f"Not run: it could not be made sure that no other node runs it. {error}"
        self._passed_fence = True
        return ""

    async def _run_now(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        def show(text: str) -> None:
            printed = ev.ToolOutput(call_id=call.id, text=text, correlation_id=self._cid)
            self._journal.live.piece(printed)

        tool = self._engine.tools[call.name]
        try:
            with showing(self._engine.masking, show) as emit:
                result = await tool.run(prepared, self._place(call), emit)
        except ToolRefused as refused:
            result = ToolResult("error", str(refused))
        except Exception as error:
            if prepared.effect == "pure":
                raise
            # A tool tells its failures. One that breaks may have done its work before.
            log.exception("workstream %s: the tool %s broke", self._context.ws_id, call.name)
            result = ToolResult("unknown", f"{UNKNOWN} ({type(error).__name__}: {error})")
        return await self._taken_in(call, prepared, result)

    async def _taken_in(
        self, call: s.ToolCall, prepared: Prepared, result: ToolResult
    ) -> s.ToolFinished:
        """The result as it is recorded. Where it comes from outside, the workstream is marked
        before the model can read it."""
        spec = self._engine.tools[call.name].spec
        masking = self._engine.masking
        source = ""
        if not (result.own and spec.untrusted):
            source = masking.text(taint.source(prepared, spec, self._context.workspace.parts))
        known = self._journal.transcript.tainted
        news = [read for read in (source, *result.tainted) if read and read not in known]
        if news:
            await self._journal.append(
                *(ev.Tainted(source=read, correlation_id=self._cid) for read in news)
            )
        self.moved[call.id] = result.directory
        nonce = self._engine.ids.request()
        result = given(result, masking, source=source, nonce=nonce)
        self.images[call.id] = result.images
        return s.ToolFinished(call.id, result.status, result.output)

    async def _run_again(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        """A call that had been started by a process that is gone."""
        as_decided = prepared.hash == self._decided_hash(call.id)
        started = self._journal.transcript.open_turn().running.get(call.id)
        effect = self.started_as(started) if started is not None else prepared.effect
        if effect == "effect":
            return s.ToolFinished(call.id, "unknown", UNKNOWN)
        if effect in ("pure", "agent"):  # a sub-agent is found, and goes on where it was
            if as_decided:
                return await self._run_now(call, prepared)
            return _not_run(call.id, _CHANGED, started=effect == "agent")
        happened = await self._engine.tools[call.name].happened(prepared, self._context)
        if happened:
            return s.ToolFinished(call.id, "ok", "Done (before the process was restarted).")
        if happened is False and as_decided:
            return await self._run_now(call, prepared)
        return s.ToolFinished(call.id, "unknown", UNKNOWN)

    def _decision(self, call_id: str) -> ev.CallDecision | None:
        return self._journal.transcript.open_turn().decided.get(call_id)

    def _edited(self, call_id: str) -> Mapping[str, object] | None:
        """What a person put in the place of this call's arguments."""
        return self._journal.transcript.open_turn().changed.get(call_id)

    def _decided_hash(self, call_id: str) -> str:
        decision = self._decision(call_id)
        return decision.args_hash if decision is not None else ""


def stricter(one: ev.EffectClass, other: ev.EffectClass) -> ev.EffectClass:
    """Of two effect classes, what holds for both."""
    if one == other:
        return one
    return "idempotent" if {one, other} == {"pure", "idempotent"} else "effect"


def _not_run(call_id: str, why: str, *, started: bool = False) -> s.ToolFinished:
    """A call that cannot be run now; one that was started before may have run all the same."""
    return s.ToolFinished(call_id, "unknown" if started else "error", UNKNOWN if started else why)


def _resolved(path: Parts) -> Parts:
    return Path(os.path.realpath(Path(*path))).parts


def _plain(arguments: Mapping[str, object] | None) -> dict[str, object]:
    return dict(arguments or {})
