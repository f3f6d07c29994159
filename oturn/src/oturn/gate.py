"""Asks, for one turn, before anything is done: each tool call, and what tools ask themselves.

A question goes to the subscribers and, for approvals and choices, to the program's callback;
where nobody takes it within the grace, policy answers. No tool is run here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from oturn.cancelling import being_cancelled
from oturn.events import ev_tool_call_request
from oturn.questions import (
    QUESTIONS,
    AnswerCallback,
    Publish,
    Question,
    QuestionCancelled,
    new_future,
)
from oturn.signals import Decision, ToolCall

ToolPolicy: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[bool] | bool]
"""Whether a tool may be called with these arguments: a coroutine function, or a plain one that
does not block. Only True lets the call go on; what it raises is a no, and is logged."""

_log = logging.getLogger(__name__)


class AnswerRaised(Exception):
    """A subscriber answered a `tool_call` with an exception; it is for the caller of the run."""

    def __init__(self, problem: BaseException) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True)
class Rules:
    """What the program says about questions. `grace` in seconds, None for no limit."""

    policy: ToolPolicy | None = None
    grace: float | None = None
    approval: AnswerCallback | None = None
    choice: AnswerCallback | None = None


@dataclass
class Gate:
    """The questions of one turn. `publish` has to take a `Question` as it is."""

    publish: Publish
    rules: Rules
    _watchers: set[asyncio.Task[None]] = field(default_factory=set)
    _of_tools: list[asyncio.Future[Any]] = field(default_factory=list)

    async def judge(self, call: ToolCall, delta_id: str, preview: str | None) -> Decision:
        """Publish the call and wait for an answer; then ask the policy.

        Raises AnswerRaised, and QuestionCancelled where the future was cancelled.
        """
        question = Question(
            _event(call, delta_id), self.rules.grace, hidden=_details(call, preview)
        )
        await self.publish(question)
        settled = await question.settled()
        if settled is not None:
            _let_through(settled)
        decision = _refused(call) if question.refused else await self._by_policy(call)
        if settled is None:
            shown = "allowed" if decision.verdict == "allow" else "denied"
            await self.publish(question.given_up(shown))
        return decision

    async def announce(self, call: ToolCall, delta_id: str) -> None:
        """Publish a call that will not run, whatever is answered."""
        question = Question(_event(call, delta_id), hidden=_details(call, None))
        question.open = False
        await self.publish(question)

    async def publish_from_tool(self, event: Any) -> None:
        """Publish what a tool says; a question of its own making gets its answer as well."""
        if isinstance(event, Question):
            self._prepare(event)
        elif _is_question(event):
            waited = event["future"]
            event = Question({**event, "future": self._shown(waited)})
            self._prepare(event)
            watcher = asyncio.create_task(self._watch(event, waited))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)
        await self.publish(event)

    def was_cancelled(self) -> bool:
        """Whether the future of a question of a tool's own making has been cancelled."""
        return any(future.cancelled() for future in self._of_tools)

    def close(self) -> None:
        """Watch no question any more."""
        for watcher in self._watchers:
            watcher.cancel()

    def _prepare(self, question: Question) -> None:
        question.grace = self.rules.grace
        callbacks = {"approval_request": self.rules.approval, "choice_request": self.rules.choice}
        question.callback = callbacks.get(question["type"])

    def _shown(self, waited: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """A future for subscribers, which stays open when others have answered: setting it too
        late raises nothing. What it is set to reaches the one that the tool waits for."""
        shown = new_future()
        shown.add_done_callback(lambda done: _pass_on(done, waited))
        self._of_tools.append(shown)
        return shown

    async def _watch(self, question: Question, waited: asyncio.Future[Any]) -> None:
        """Answer the tool, also when nobody else does."""
        settled = await question.settled()
        if settled is not None:
            _pass_on(settled, waited)
        elif not waited.done():
            decision, answer = _WITHOUT_ANSWER[question["type"]]
            await self.publish(question.given_up(decision))
            if not waited.done():
                waited.set_result(answer)

    async def _by_policy(self, call: ToolCall) -> Decision:
        if self.rules.policy is None or await self._allows(self.rules.policy, call):
            return Decision(call.id, "allow")
        return Decision(call.id, "deny", f"Not run: {call.name} is not allowed with this.")

    async def _allows(self, policy: ToolPolicy, call: ToolCall) -> bool:
        try:
            said: object = policy(call.name, dict(call.parsed or {}))
            if inspect.isawaitable(said):
                said = await said
        except (Exception, asyncio.CancelledError) as problem:
            if isinstance(problem, asyncio.CancelledError) and being_cancelled():
                raise
            _log.exception("the tool policy fails for %s: taken as a no", call.name)
            return False
        if not isinstance(said, bool):
            _log.error("the tool policy gave %r for %s: taken as a no", said, call.name)
        return said is True


_WITHOUT_ANSWER: dict[str, tuple[str, Any]] = {
    "tool_call": ("allowed", None),
    "approval_request": ("denied", False),
    "choice_request": ("not chosen", None),
}


def _event(call: ToolCall, delta_id: str) -> Any:
    return ev_tool_call_request(tool=call.name, delta_id=delta_id, future=new_future())


def _details(call: ToolCall, preview: str | None) -> dict[str, str]:
    details = {"args": call.arguments, "preview": preview}
    return {name: detail for name, detail in details.items() if detail}


def _is_question(event: Any) -> bool:
    if not isinstance(event, dict) or event.get("type") not in QUESTIONS:
        return False
    return isinstance(event.get("future"), asyncio.Future)


def _pass_on(answered: asyncio.Future[Any], waited: asyncio.Future[Any]) -> None:
    if waited.done():
        return
    if answered.cancelled():
        waited.cancel()
    elif (problem := answered.exception()) is not None:
        waited.set_exception(problem)
    else:
        waited.set_result(answered.result())


def _let_through(settled: asyncio.Future[Any]) -> None:
    """An exception or a cancel as the answer to a `tool_call` ends the whole run."""
    if settled.cancelled():
        raise QuestionCancelled
    problem = settled.exception()
    if problem is not None:
        raise AnswerRaised(problem)


def _refused(call: ToolCall) -> Decision:
    return Decision(call.id, "deny", f"Not run: {call.name} was not approved.", needs_input=True)
