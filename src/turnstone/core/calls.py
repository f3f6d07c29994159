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
from turnstone.core import events as ev
from turnstone.core import permissions, policy
from turnstone.core.engine import Engine
from turnstone.core.errors import ToolRefused, TurnstoneError
from turnstone.core.journal import Journal
from turnstone.core.policy_rules import Parts
from turnstone.core.tool import Prepared, ToolContext, ToolResult

log = logging.getLogger(__name__)

#: Characters of a call's output that readers are shown while it runs. What the model is given
#: in the end is cut by the tool itself, and tells what was left out.
MAX_SHOWN = 256_000

#: What the model reads of a call with the status `unknown`.
UNKNOWN = (
    "Outcome unknown: this call was started, and its outcome could not be recorded. It may have "
    "run partly or fully. Check what has happened before you repeat it."
)
_NOT_SHOWN = "\n[it has printed more, which is not shown while it runs]\n"
_CHANGED = "Not run: what this call would do has changed since it was allowed. Ask for it again."


class Calls:
    """The calls of one turn. `items` and `rulings` are those of its last step, by call id."""

    def __init__(
        self, journal: Journal, engine: Engine, context: ToolContext, correlation_id: str
    ) -> None:
        self.items: dict[str, ev.ToolItem] = {}
        self.rulings: dict[str, ev.CallDecision] = {}
        self.moved: dict[str, str] = {}  # by call id, where a call has moved the commands to
        self._journal = journal
        self._engine = engine
        self._context = context
        self._cid = correlation_id
        self._prepared: dict[str, Prepared] = {}
        self._answers: dict[str, asyncio.Future[ev.ApprovalAnswered]] = {}
        self._passed_fence = False

    async def decide(self, effect: DecideCalls, report: Report) -> s.CallsDecided:
        """Judge them all by the rules, and ask a person once about those that must be asked."""
        self.items.clear()
        self.rulings.clear()
        self.moved.clear()
        self._prepared.clear()
        asked: list[str] = []
        for call in effect.calls:
            ruling = await self._judge(call)
            if ruling is None:
                asked.append(call.id)
            else:
                self.rulings[call.id] = ruling
        if asked:
            answer = await self._ask(effect, asked, report)
            for call_id in asked:
                self.rulings[call_id] = self._by_answer(call_id, answer)
        return s.CallsDecided(
            tuple(
                s.Decision(r.call_id, r.verdict, r.reason, r.concurrent)
                for r in (self.rulings[call.id] for call in effect.calls)
            )
        )

    async def run(self, effect: RunTool) -> s.ToolFinished:
        """Run a call that was allowed, if it still is what was allowed."""
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
        rules = self._engine.rules.placed(self._context.workspace.parts, _resolved)
        ruling = policy.decide(prepared, spec, grants, self._engine.confinement.level, rules)
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
            concurrent=prepared.effect == "pure",
        )

    async def _prepare(self, call: s.ToolCall, *, decided: bool = False) -> Prepared:
        tool = self._engine.tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._engine.tools))
            raise ToolRefused(f"There is no tool named {call.name!r}. The tools are: {known}.")
        if not self._context.workspace.is_dir():
            raise ToolRefused(f"The workspace {self._context.workspace} is gone.")
        context = self._placed()
        if decided and (decision := self._decision(call.id)) is not None:
            context = replace(context, decided=decision.expects)
        prepared = await tool.prepare(call.parsed or {}, context)
        self._prepared[call.id] = prepared
        return prepared

    def _placed(self) -> ToolContext:
        """With the folder in which the commands of this step start."""
        folder = self._journal.transcript.directory
        return replace(self._context, directory=Path(folder) if folder else None)

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
        return ev.ToolItem(
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

    async def _ask(
        self, effect: DecideCalls, asked: list[str], report: Report
    ) -> ev.ApprovalAnswered:
        """Ask under the request's old id if the same thing was asked before a restart."""
        turn = self._journal.transcript.open_turn()
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
                expects=prepared.expects,
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

    async def _fenced_off(self) -> str:
        """Why this node may have no effects for this message; empty if it may."""
        if self._passed_fence:
            return ""
        try:
            if not await self._engine.fence(self._cid):
                return "Not run: another node has taken this message over."
        except TurnstoneError as error:
            return f"Not run: it could not be made sure that no other node runs it. {error}"
        self._passed_fence = True
        return ""

    async def _run_now(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        shown = 0

        def emit(text: str) -> None:
            nonlocal shown
            if shown > MAX_SHOWN or not text:
                return
            shown += len(text)
            if shown > MAX_SHOWN:
                text = text[: len(text) - (shown - MAX_SHOWN)] + _NOT_SHOWN
            self._journal.piece(ev.ToolOutput(call_id=call.id, text=text), self._cid)

        try:
            result = await self._engine.tools[call.name].run(prepared, self._placed(), emit)
        except ToolRefused as refused:
            result = ToolResult("error", str(refused))
        except Exception as error:
            if prepared.effect == "pure":
                raise
            # A tool tells its failures. One that breaks may have done its work before.
            log.exception("workstream %s: the tool %s broke", self._context.ws_id, call.name)
            result = ToolResult("unknown", f"{UNKNOWN} ({type(error).__name__}: {error})")
        self.moved[call.id] = result.directory
        return s.ToolFinished(call.id, result.status, result.output)

    async def _run_again(self, call: s.ToolCall, prepared: Prepared) -> s.ToolFinished:
        """A call that had been started by a process that is gone."""
        as_decided = prepared.hash == self._decided_hash(call.id)
        if prepared.effect == "pure":
            return (
                await self._run_now(call, prepared) if as_decided else _not_run(call.id, _CHANGED)
            )
        happened = await self._engine.tools[call.name].happened(prepared, self._context)
        if happened:
            return s.ToolFinished(call.id, "ok", "Done (before the process was restarted).")
        if happened is False and as_decided:
            return await self._run_now(call, prepared)
        return s.ToolFinished(call.id, "unknown", UNKNOWN)

    def _decision(self, call_id: str) -> ev.CallDecision | None:
        return self._journal.transcript.open_turn().decided.get(call_id)

    def _decided_hash(self, call_id: str) -> str:
        decision = self._decision(call_id)
        return decision.args_hash if decision is not None else ""


def _not_run(call_id: str, why: str, *, started: bool = False) -> s.ToolFinished:
    """A call that cannot be run now; one that was started before may have run all the same."""
    return s.ToolFinished(call_id, "unknown" if started else "error", UNKNOWN if started else why)


def _resolved(path: Parts) -> Parts:
    return Path(os.path.realpath(Path(*path))).parts


def _plain(arguments: Mapping[str, object] | None) -> dict[str, object]:
    return dict(arguments or {})
