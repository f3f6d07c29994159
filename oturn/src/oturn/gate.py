"""Asks, for one turn, before anything is done: each tool call, and what tools ask themselves.

A question goes to the subscribers and, for approvals and choices, to the program's callback;
where nobody takes it within the grace, policy answers. No tool is run here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from oturn.events import ev_tool_call_request
from oturn.questions import QUESTIONS, AnswerCallback, Publish, Question, new_future
from oturn.signals import Decision, ToolCall

ToolPolicy: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[bool]]
"""Whether a tool may be called with these arguments."""


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

    async def judge(self, call: ToolCall, delta_id: str, preview: str | None) -> Decision:
        """Publish the call and wait for an answer; then ask the policy.

        Raises AnswerRaised, and CancelledError where the future was cancelled.
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
            event = Question(event)
            self._prepare(event)
            watcher = asyncio.create_task(self._watch(event, dict.__getitem__(event, "future")))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)
        await self.publish(event)

    def close(self) -> None:
        """Watch no question any more."""
        for watcher in self._watchers:
            watcher.cancel()

    def _prepare(self, question: Question) -> None:
        question.grace = self.rules.grace
        callbacks = {"approval_request": self.rules.approval, "choice_request": self.rules.choice}
        question.callback = callbacks.get(question["type"])

    async def _watch(self, question: Question, future: asyncio.Future[Any]) -> None:
        """Answer for everybody when nobody does: the tool waits for the future itself."""
        if await question.settled() is not None or future.done():
            return
        decision, answer = _WITHOUT_ANSWER[question["type"]]
        await self.publish(question.given_up(decision))
        if not future.done():
            future.set_result(answer)

    async def _by_policy(self, call: ToolCall) -> Decision:
        policy = self.rules.policy
        if policy is None or await policy(call.name, dict(call.parsed or {})):
            return Decision(call.id, "allow")
        return Decision(call.id, "deny", f"Not run: {call.name} is not allowed with this.")


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


def _let_through(settled: asyncio.Future[Any]) -> None:
    """An exception or a cancel as the answer to a `tool_call` ends the whole run."""
    if settled.cancelled():
        raise asyncio.CancelledError
    problem = settled.exception()
    if problem is not None:
        raise AnswerRaised(problem)


def _refused(call: ToolCall) -> Decision:
    return Decision(call.id, "deny", f"Not run: {call.name} was not approved.", needs_input=True)
