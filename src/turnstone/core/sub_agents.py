"""What the tools that start sub-agents are given by the engine. Protocol and data only.

A sub-agent is a workstream of its own, with a journal of its own; the one loop carries its
turns out. Which tools it has, and what runs unasked in it, is said here and recorded with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from turnstone.core.events import Grant, Outcome, PlanAnswered, PlanAsked

AgentKind: TypeAlias = Literal["task", "plan"]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a sub-agent works with: names of tools, and those that run unasked in it."""

    tools: tuple[str, ...]
    unasked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentOrder:
    """What a sub-agent is to do. `effort`: how much its model is asked to reason."""

    agent: AgentKind
    prompt: str
    offer: Offer
    effort: str = ""


@dataclass(frozen=True, slots=True)
class AgentEnd:
    """What came of it. `tainted`: what it has read from outside."""

    outcome: Outcome
    text: str = ""
    reason: str = ""
    tainted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inherited:
    """What holds in a sub-agent because it holds above it, at this moment."""

    auto_approve: bool = False
    granted: frozenset[Grant] = frozenset()
    tainted: tuple[str, ...] = ()


class SubAgents(Protocol):
    """The sub-agents of one workstream. The same call always has the same one: asking for it
    again, in this process or the next, goes on with it."""

    @property
    def session_id(self) -> str:
        """The session that the workstream is in."""

    def offer(self, agent: AgentKind) -> Offer | None:
        """What one would work with; None where the workstream may start none."""

    def earlier_plan(self) -> str:
        """The last plan of the conversation with what was said of it; empty: there is none."""

    async def run(self, order: AgentOrder, call_id: str) -> AgentEnd:
        """Carry the order of this call out. Cancelled, it leaves the sub-agent as it is: whoever
        stops the turn, and does not only leave it, calls `stop`."""

    def asked(self, call_id: str) -> PlanAsked | None:
        """What a person was asked about the plan of this call, answered by now or not."""

    async def review(self, plan: str, path: str, call_id: str) -> PlanAnswered:
        """Ask a person about the plan of this call, and wait for the answer, across restarts."""

    async def stop(self, call_id: str) -> None:
        """End the sub-agent of this call, and whatever it runs, if there is one."""

    def inherited(self) -> Inherited:
        """What holds in this workstream because of those above it."""

    def passed_on(self) -> Inherited:
        """What holds in the sub-agents of this workstream."""

    def reviewed(self, answer: PlanAnswered) -> None:
        """An answer to a `review` is in the journal: whoever waits for it may go on."""

    def carries(self, call_id: str) -> bool:
        """Whether this call of the open turn still waits for its sub-agent."""
