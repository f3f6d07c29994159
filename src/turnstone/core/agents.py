"""The sub-agents of one workstream: started or found again, followed to their end, stopped.

A driver around workstreams, and no second loop: a sub-agent's turns are carried out as those
of any other. What it asks is shown in the stream of the workstream above, with its origin.
Decides nothing that `core.agent_rules` decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    suppress,
)
from typing import Protocol

import msgspec

from turnstone.core import agent_rules as rules
from turnstone.core import events as ev
from turnstone.core import prompts
from turnstone.core.engine import Engine
from turnstone.core.errors import NotOwner, UnknownWorkstream
from turnstone.core.journal import Journal
from turnstone.core.pocket import Pocket
from turnstone.core.relay import MISSED, Relay, Reply
from turnstone.core.sub_agents import AgentEnd, AgentKind, AgentOrder, Inherited, Offer
from turnstone.core.workstream import Workstream

log = logging.getLogger(__name__)

#: Who sends a sub-agent its message, in its journal.
SENDER = "agent"

#: Characters of the order that name a sub-agent.
_NAME = 48


class Home(Protocol):
    """Where workstreams are made and kept: what of the manager is needed here."""

    async def open_agent(self, created: ev.WsCreated) -> bool:
        """Make the workstream, or find the one that was made for this call. False: its id is
        another's."""

    async def find_agent(self, parent: str, call_id: str, ids: Iterable[str]) -> str:
        """The first of these ids that is the sub-agent of this call; empty: there is none."""

    def use(self, ws_id: str) -> AbstractAsyncContextManager[Workstream]:
        """A workstream that stays awake in the block."""

    async def ended(self, ws_id: str, correlation_id: str) -> ev.TurnEnded | None:
        """How the turn of a message ended, of closed workstreams too."""

    def passed_on(self, ws_id: str) -> Inherited:
        """What holds below this workstream; nothing, where it is not awake."""


class Agents:
    """Implements `SubAgents` for the workstream of this journal."""

    def __init__(
        self,
        home: Home,
        journal: Journal,
        engine: Engine,
        relay: Relay,
    ) -> None:
        self._home = home
        self._journal = journal
        self._engine = engine
        self._relay = relay
        self._reviews: dict[str, asyncio.Future[ev.PlanAnswered]] = {}

    @property
    def session_id(self) -> str:
        return self._journal.session_id

    def offer(self, agent: AgentKind) -> Offer | None:
        engine = self._engine
        return rules.offer(engine.tools, agent, self._journal.transcript, engine.agent_depth)

    def earlier_plan(self) -> str:
        return rules.earlier_plan(self._journal.transcript.history)

    def inherited(self) -> Inherited:
        parent = self._journal.transcript.created.parent
        return self._home.passed_on(parent) if parent else Inherited()

    def passed_on(self) -> Inherited:
        transcript, above = self._journal.transcript, self.inherited()
        return Inherited(
            auto_approve=transcript.auto_approve or above.auto_approve,
            granted=above.granted | transcript.granted,
            tainted=(*above.tainted, *transcript.tainted),
        )

    @asynccontextmanager
    async def above(self) -> AsyncIterator[Sequence[Pocket]]:
        """The budgets of the workstreams above, nearest first; they stay awake in the block."""
        async with AsyncExitStack() as awake:
            pockets: list[Pocket] = []
            parent = self._journal.transcript.created.parent
            while parent:
                workstream = await awake.enter_async_context(self._home.use(parent))
                pockets.append(workstream.pocket)
                parent, _ = workstream.parent
            yield pockets

    async def run(self, order: AgentOrder, call_id: str) -> AgentEnd:
        key = rules.key_of(self._journal.transcript, call_id)
        try:
            origin = await self._opened(order, call_id, key)
            end = await self._carried_out(order, call_id, key, origin)
        except UnknownWorkstream:
            end = AgentEnd("cancelled", reason="its workstream was closed")
        except Exception:
            await self.stop(call_id)
            raise
        self._relay.over(await self._found(call_id))
        return end

    def asked(self, call_id: str) -> ev.PlanAsked | None:
        return self._journal.transcript.reviews.get(self._review_id(call_id))

    async def review(self, plan: str, path: str, call_id: str) -> ev.PlanAnswered:
        transcript, request_id = self._journal.transcript, self._review_id(call_id)
        given = transcript.plans.get(request_id)
        if given is not None:
            return given
        waiting: asyncio.Future[ev.PlanAnswered] = asyncio.get_running_loop().create_future()
        self._reviews[request_id] = waiting
        try:
            if transcript.plan is None or transcript.plan.request_id != request_id:
                asked = ev.PlanAsked(
                    request_id=request_id, call_id=call_id, content=plan, path=path
                )
                await self._append(asked)
            return await waiting
        finally:
            del self._reviews[request_id]

    def _review_id(self, call_id: str) -> str:
        key = rules.key_of(self._journal.transcript, call_id)
        return rules.message_id(self._journal.ws_id, key, "review")

    def carries(self, call_id: str) -> bool:
        return rules.runs(self._journal.transcript, call_id)

    def reviewed(self, answer: ev.PlanAnswered) -> None:
        waiting = self._reviews.get(answer.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def stop(self, call_id: str) -> None:
        if found := await self._found(call_id):
            with suppress(UnknownWorkstream, NotOwner):  # then it is not ours to stop
                async with self._home.use(found) as workstream:
                    await workstream.stop()
            self._relay.over(found)

    async def _found(self, call_id: str) -> str:
        """The sub-agent of this call, if there is one."""
        ws_id = self._journal.ws_id
        ids = rules.ids_of(ws_id, rules.key_of(self._journal.transcript, call_id))
        return await self._home.find_agent(ws_id, call_id, ids)

    async def _append(self, event: ev.Event) -> None:
        cid = self._journal.transcript.open_turn().message.correlation_id
        await self._journal.append(msgspec.structs.replace(event, correlation_id=cid))

    async def _opened(self, order: AgentOrder, call_id: str, key: str) -> ev.Origin:
        """The sub-agent of this call, with what it must know before it begins."""
        transcript, ws_id = self._journal.transcript, self._journal.ws_id
        above = transcript.created
        created = ev.WsCreated(
            name=_name(order),
            session_id=self._engine.ids.session(),
            workspace=above.workspace or str(self._engine.workspace),
            agent=order.agent,
            model=self._engine.models.name_for(transcript.summary, "agent"),
            parent=ws_id,
            parent_call=call_id,
            tools=list(order.offer.tools),
            unasked=list(order.offer.unasked),
            max_steps=self._engine.agent_max_steps,
            depth=above.depth + 1,
            top_message=above.top_message or transcript.open_turn().message.correlation_id,
        )
        for child in rules.ids_of(ws_id, key):
            if await self._home.open_agent(msgspec.structs.replace(created, ws_id=child)):
                break
        async with self._home.use(child) as workstream:
            await workstream.prepare_agent(order.effort, self.passed_on().tainted)
        return ev.Origin(ws_id=child, name=created.name, agent=order.agent)

    async def _carried_out(
        self, order: AgentOrder, call_id: str, key: str, origin: ev.Origin
    ) -> AgentEnd:
        ending = await self._turn(order.prompt, call_id, key, origin)
        if ending.outcome == "max_steps":
            ending = await self._turn(prompts.text("conclude"), call_id, key, origin, last=True)
        async with self._home.use(origin.ws_id) as workstream:
            tainted = tuple(workstream.transcript.tainted)
        return AgentEnd(ending.outcome, ending.text, ending.reason, tainted)

    async def _turn(
        self, text: str, call_id: str, key: str, origin: ev.Origin, *, last: bool = False
    ) -> ev.TurnEnded:
        """One message to the sub-agent, and the end of its turn, wherever it stands by now."""
        cid = rules.message_id(self._journal.ws_id, key, "last" if last else "order")
        ending = await self._home.ended(origin.ws_id, cid)
        if ending is not None:
            return ending
        message = ev.MessageAccepted(
            message=text, sender=SENDER, without_tools=last, correlation_id=cid
        )
        async with self._home.use(origin.ws_id) as workstream:
            await workstream.accept(message)
            workstream.wake()
            return await self._followed(workstream, cid, call_id, origin)

    async def _followed(
        self, workstream: Workstream, cid: str, call_id: str, origin: ev.Origin
    ) -> ev.TurnEnded:
        above = self._journal.transcript.open_turn().message.correlation_id
        events = workstream.follow(None)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                match event:
                    case ev.ApprovalAsked() | ev.PlanAsked():
                        self._relay.asked(event, origin, above)
                    case ev.ApprovalAnswered() | ev.PlanAnswered():
                        self._relay.answered(event, origin, above)
                    case ev.Truncated():  # what waits is shown again, but no answer
                        said = workstream.transcript
                        replies: dict[str, Reply] = {**said.answers, **said.plans}
                        self._relay.still(origin.ws_id, workstream.asks, replies, MISSED)
                    case ev.TurnEnded() if event.correlation_id == cid:
                        return event
                    case ev.Error() if event.code == NotOwner.code:
                        raise NotOwner(event.message)
                    case _ if isinstance(event, _MOVES):
                        self._tell(workstream, call_id, origin, above)
        raise UnknownWorkstream(f"Workstream {origin.ws_id} was closed.")

    def _tell(self, workstream: Workstream, call_id: str, origin: ev.Origin, above: str) -> None:
        info = workstream.info()
        self._relay.doing(
            ev.AgentProgress(
                call_id=call_id,
                origin=origin,
                state=info.state,
                activity=info.activity,
                correlation_id=above,
            )
        )


#: Events after which a sub-agent is at something else.
_MOVES = (ev.StepStarted, ev.StepFinished, ev.CallsDecided, ev.ToolStarted, ev.ToolFinished)


def _name(order: AgentOrder) -> str:
    words = " ".join(order.prompt.split())
    return f"{order.agent}: {words[:_NAME]}{' …' if len(words) > _NAME else ''}"
