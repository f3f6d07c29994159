"""What sub-agents ask and do, shown in the stream of the workstream above them.

Nothing of it is a record there: a question is a record of the one who asks. Who comes back
after a restart finds it again, for the sub-agent asks again from its own journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from turnstone.core import events as ev
from turnstone.core.host import WorkstreamInfo
from turnstone.core.journal import Journal

Question: TypeAlias = ev.ApprovalAsked | ev.PlanAsked
Reply: TypeAlias = ev.ApprovalAnswered | ev.PlanAnswered

#: Seconds between two tellings of what a sub-agent does.
EVERY = 0.5

#: What readers are told of a question whose sub-agent was stopped.
_STOPPED = "The sub-agent was stopped."

#: And of one that was settled further below while there was too much to follow.
MISSED = "It was settled; how is told in the journal of the sub-agent."


class _Waiting(NamedTuple):
    question: Question
    ws_id: str  # the sub-agent right below, through which the answer goes


class Relay:
    """Of one workstream. `changed` is called with what changes how it stands."""

    def __init__(self, journal: Journal, changed: Callable[[ev.Event], None]) -> None:
        self._journal = journal
        self._changed = changed
        self._waiting: dict[str, _Waiting] = {}  # by request id, the oldest first
        self._routes: dict[str, str] = {}  # of all that were asked, by request id
        self._told: dict[str, ev.AgentProgress] = {}  # by sub-agent
        self._doing: dict[str, ev.AgentProgress] = {}
        self._timer: asyncio.TimerHandle | None = None

    def asked(self, question: Question, origin: ev.Origin, correlation_id: str) -> None:
        """A sub-agent asks, or one below it: then the question names that one already."""
        if question.request_id in self._waiting:
            return
        shown = self._publish(question, origin, correlation_id)
        self._waiting[question.request_id] = _Waiting(shown, origin.ws_id)
        self._routes[question.request_id] = origin.ws_id
        self._changed(shown)

    def answered(self, reply: Reply, origin: ev.Origin, correlation_id: str) -> None:
        if self._waiting.pop(reply.request_id, None) is not None:
            self._changed(self._publish(reply, origin, correlation_id))

    def doing(self, progress: ev.AgentProgress) -> None:
        """What a sub-agent is at; told now and then, the last of it always."""
        self._doing[progress.origin.ws_id] = progress
        if self._timer is None:
            self._tell()

    def over(self, ws_id: str) -> None:
        """The sub-agent is done: nothing of it waits, and it does nothing any more."""
        self.still(ws_id, (), {})
        self._routes = {r: w for r, w in self._routes.items() if w != ws_id}
        self._doing.pop(ws_id, None)
        self._told.pop(ws_id, None)

    def still(
        self, ws_id: str, asks: Collection[str], replies: Mapping[str, Reply], why: str = _STOPPED
    ) -> None:
        """The sub-agent waits for no other answers than these (request ids): what else is shown
        as waiting has one of these replies, or is over."""
        mine = {r: w for r, w in self._waiting.items() if w.ws_id == ws_id and r not in asks}
        for request_id, (question, _) in mine.items():
            over: Reply = (
                ev.PlanAnswered(request_id=request_id, feedback="reject", expired=True)
                if isinstance(question, ev.PlanAsked)
                else ev.ApprovalAnswered(request_id=request_id, feedback=why, expired=True)
            )
            said = replies.get(request_id, over)
            self.answered(said, question.origin or ev.Origin(), question.correlation_id)

    def route(self, request_id: str) -> str:
        """The sub-agent through which an answer to this question goes; empty: it is none's."""
        return self._routes.get(request_id, "")

    def oldest(self, kind: type[Question]) -> Question | None:
        """The question of this kind that waits for longest."""
        waiting = (w.question for w in self._waiting.values())
        return next((question for question in waiting if isinstance(question, kind)), None)

    @property
    def asking(self) -> bool:
        """A question from below waits for its answer."""
        return bool(self._waiting)

    def snapshot(self) -> list[ev.Event]:
        """What a reader has to know who starts now."""
        return [*self._told.values(), *(waiting.question for waiting in self._waiting.values())]

    def overlaid(self, info: WorkstreamInfo) -> WorkstreamInfo:
        """How the workstream stands, a question from below included."""
        if not self._waiting or info.state == "attention":
            return info
        question = next(iter(self._waiting.values())).question
        items = question.items if isinstance(question, ev.ApprovalAsked) else []
        return msgspec.structs.replace(
            info,
            state="attention",
            activity=items[0].header if items else info.activity,
            activity_state="approval",
        )

    def _publish(self, event: ev.EventT, origin: ev.Origin, correlation_id: str) -> ev.EventT:
        shown = msgspec.structs.replace(
            event,
            ws_id="",
            id="",
            timestamp=0.0,
            elapsed=None,
            correlation_id=correlation_id,
            origin=getattr(event, "origin", None) or origin,
        )
        self._journal.publish(shown, correlation_id)
        return shown

    def _tell(self) -> None:
        self._timer = None
        news = {w: p for w, p in self._doing.items() if self._told.get(w) != p}
        if not news:
            return
        for progress in news.values():
            self._journal.publish(progress, progress.correlation_id)
        self._told |= news
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._tell)
