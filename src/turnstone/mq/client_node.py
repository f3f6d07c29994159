"""A client's way straight to one node over HTTP, without Redis: the same requests, the same end.

The node's journal is the queue then. What the queue answers by an event beside all workstreams
is told here to those who listen there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec

from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest, TurnstoneError, UnknownRequest, UnknownWorkstream
from turnstone.core.host import Answer, CreateWorkstream, Host, PlanReply, SendMessage
from turnstone.core.timers import Timer, TimerAction
from turnstone.mq import protocol as p
from turnstone.mq import wire
from turnstone.mq.results import OUTPUT_KEPT, UNANSWERED, StoredResult
from turnstone.mq.timers import wanted_of

_CUT = "Parts of the answer were missed, and the conversation does not have them any more."

#: Seconds after which a node that was asked whether it is there counts as silent.
_SILENCE = 1.0

#: Endings that are remembered for who asks later, by correlation id.
_KEPT = 1_000


class NodeLine:
    """Implements `Line` over a Host."""

    def __init__(self, host: Host, url: str) -> None:
        self._host = host
        self._url = url
        self.problem = ""
        self._asked: dict[str, str] = {}  # question → workstream
        self._results: dict[str, StoredResult] = {}
        self._listeners: set[asyncio.Queue[p.OutboundEvent]] = set()

    async def deliver(self, message: p.InboundMessage, *, new_ws_id: str = "") -> None:
        cid = message.correlation_id
        if getattr(message, "requires", None):
            raise InvalidRequest(
                f"requires: this client talks to one node, {self._url}, and chooses none by labels.",
                hint="Leave it out, or give this client a Redis.",
            )
        await self._check_target(str(getattr(message, "target_node", "")))
        match message:
            case p.SendMessage() if message.timed:
                await self._host.set_timer(wanted_of(message, cid))
            case p.SendMessage():
                await self._send(message, new_ws_id)
            case p.CreateWorkstreamMessage():
                made = await self._host.create(
                    CreateWorkstream(
                        ws_id=new_ws_id,
                        name=message.name,
                        auto_approve=message.auto_approve,
                        auto_approve_tools=message.auto_approve_tools,
                    )
                )
                self._tell(p.WorkstreamCreatedEvent(ws_id=made.id, name=made.name), cid)
            case p.CloseWorkstreamMessage():
                await self._host.close(message.ws_id)
            case p.ListWorkstreamsMessage():
                found = msgspec.to_builtins(await self._host.list())
                self._tell(p.WorkstreamListEvent(workstreams=found), cid)
            case p.HealthMessage():
                data = msgspec.to_builtins(await self._host.health())
                self._tell(p.HealthResponseEvent(data=data), cid)
            case _:
                raise InvalidRequest(f"This node has no use for a message of type {message.type}.")

    async def place(self, ws_id: str) -> str:
        async for event in self._host.follow(ws_id):
            return event.id
        return "0-0"

    async def turn(
        self, correlation_id: str, ws_id: str, after: str
    ) -> AsyncIterator[ev.Event | StoredResult]:
        kept = StoredResult(correlation_id=correlation_id, ws_id=ws_id)
        begun = after if after != "0-0" else "1-0"
        all_of_it = False
        async for event in self._host.follow(ws_id, ev.EventId.parse(begun)):
            if isinstance(event, ev.ApprovalAsked | ev.PlanAsked):
                self._asked[event.request_id] = ws_id
            mine = event.correlation_id == correlation_id
            all_of_it |= isinstance(event, ev.History) or (
                mine and isinstance(event, ev.MessageAccepted)
            )
            ended = await self._ending(kept, event)
            if ended is not None and all_of_it:
                self._keep(kept, ended)
            elif ended is not None:
                kept = await self._fetched(correlation_id, ws_id) or kept
            yield event
            if ended is not None:
                yield kept
                return

    async def respond(self, message: p.ApproveMessage | p.PlanFeedbackMessage) -> None:
        ws_id = message.ws_id or self._asked.get(message.request_id, "")
        if not ws_id:
            raise UnknownRequest(
                f"Which workstream asked {message.request_id} is not known here.",
                hint="Give its ws_id too.",
            )
        if isinstance(message, p.PlanFeedbackMessage):
            said = message.feedback or ""
            await self._host.answer_plan(
                PlanReply(ws_id=ws_id, request_id=message.request_id, feedback=said)
            )
            return
        await self._host.approve(
            Answer(
                ws_id=ws_id,
                request_id=message.request_id,
                approved=message.approved,
                feedback=message.feedback or "",
                always=message.always,
            )
        )

    async def workstream_of(self, correlation_id: str) -> str:
        for info in await self._host.list():
            if await self._knows(info.id, correlation_id):
                return info.id
        return ""

    async def knows(self, correlation_id: str, ws_id: str = "") -> bool:
        if correlation_id in self._results:
            return True
        if ws_id:
            return await self._host.knows(ws_id, correlation_id)
        return bool(await self.workstream_of(correlation_id))

    async def cancel(self, correlation_id: str, ws_id: str) -> bool:
        found = ws_id or await self.workstream_of(correlation_id)
        try:
            return bool(found) and await self._host.cancel(found, correlation_id)
        except UnknownWorkstream:
            return False

    async def result(self, correlation_id: str, ws_id: str = "") -> StoredResult | None:
        known = self._results.get(correlation_id)
        if known is not None:
            return known
        ws_id = ws_id or await self.workstream_of(correlation_id)
        return await self._fetched(correlation_id, ws_id) if ws_id else None

    async def _fetched(self, correlation_id: str, ws_id: str) -> StoredResult | None:
        """As the node has it in its journal."""
        ending = await self._host.ending(ws_id, correlation_id)
        if ending is None:
            return None
        kept = StoredResult(correlation_id=correlation_id, ws_id=ws_id)
        for told in await self._host.steps(ws_id, correlation_id):
            if isinstance(told, ev.ToolFinished):
                kept.tool_results.append((told.name, told.output[:OUTPUT_KEPT]))
            else:
                kept.content += filter(None, [told.text])
                kept.reasoning += filter(None, [told.reasoning])
        self._keep(kept, ending)
        return kept

    async def _knows(self, ws_id: str, correlation_id: str) -> bool:
        try:
            return await self._host.knows(ws_id, correlation_id)
        except UnknownWorkstream:  # closed just now
            return False

    async def silence(self) -> str:
        try:
            async with asyncio.timeout(_SILENCE):
                await self._host.health()
        except TimeoutError:
            return f"The node at {self._url} has not answered."
        except TurnstoneError as error:
            return str(error)
        return ""

    async def absence(self, sent: p.SendMessage) -> str:
        return ""  # the node is there, or its silence says so

    async def nodes(self) -> list[dict[str, object]]:
        health = await self._host.health()
        return [{"server_url": self._url, "version": health.version, "node_id": health.node_id}]

    async def timers(self) -> list[Timer]:
        return list(await self._host.timers())

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        return await self._host.alter_timer(timer_id, action)

    async def listen(self, ws_id: str) -> AsyncGenerator[p.OutboundEvent, None]:
        return self._listen(ws_id)

    async def _listen(self, ws_id: str) -> AsyncGenerator[p.OutboundEvent, None]:
        if ws_id:
            async for event in self._host.follow(ws_id):
                for told in wire.outbound(event):
                    yield told
            return
        heard: asyncio.Queue[p.OutboundEvent] = asyncio.Queue()
        self._listeners.add(heard)
        following = asyncio.create_task(self._node_events(heard))
        try:
            while True:
                yield await heard.get()
        finally:
            self._listeners.discard(heard)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def aclose(self) -> None:
        await self._host.aclose()

    async def _send(self, message: p.SendMessage, new_ws_id: str) -> None:
        ws_id = message.ws_id
        if not ws_id:
            made = await self._host.create(
                CreateWorkstream(
                    ws_id=new_ws_id,
                    name=message.name,
                    auto_approve=message.auto_approve,
                    auto_approve_tools=message.auto_approve_tools,
                )
            )
            ws_id = made.id
            self._tell(
                p.WorkstreamCreatedEvent(ws_id=ws_id, name=made.name), message.correlation_id
            )
        await self._host.send(
            SendMessage(
                ws_id=ws_id,
                message=message.message,
                correlation_id=message.correlation_id,
                auto_approve=message.auto_approve,
                auto_approve_tools=message.auto_approve_tools,
            )
        )

    async def _check_target(self, target: str) -> None:
        if not target:
            return
        here = (await self._host.health()).node_id
        if target != here:
            raise InvalidRequest(
                f"There is no node {target} here: {self._url} is node {here}.",
                hint="Only through Redis can another node be reached.",
            )

    async def _node_events(self, heard: asyncio.Queue[p.OutboundEvent]) -> None:
        async with aclosing(self._host.follow_all()) as events:  # type: ignore[type-var]
            async for event in events:
                for told in wire.outbound(event):
                    heard.put_nowait(told)

    def _tell(self, event: p.OutboundEvent, correlation_id: str) -> None:
        event.correlation_id = correlation_id
        for heard in self._listeners:
            heard.put_nowait(event)

    async def _ending(self, kept: StoredResult, event: ev.Event) -> ev.TurnEnded | None:
        """Take an event in, and say how the turn has ended, if it has."""
        if isinstance(event, ev.History):  # events are gone, and the ending may be among them
            ended = await self._host.ending(kept.ws_id, kept.correlation_id)
            kept.content = _last_answer(event, ended)
            return ended
        if event.correlation_id != kept.correlation_id:
            return None
        match event:
            case ev.StepStarted(step=1):
                kept.content = []
            case ev.StepFinished() if event.text:
                kept.content.append(event.text)
            case ev.TurnEnded():
                return event
        return None

    def _keep(self, kept: StoredResult, ending: ev.TurnEnded) -> None:
        kept.outcome = ending.outcome
        if ending.text and kept.content[-1:] != [ending.text]:
            kept.content = [ending.text]
            kept.errors = [_CUT] if ending.steps > 1 else []
        if ending.outcome in UNANSWERED:
            kept.errors = [ending.reason or f"The turn {UNANSWERED[ending.outcome]}."]
        self._results[kept.correlation_id] = kept
        if len(self._results) > _KEPT:
            del self._results[next(iter(self._results))]


def _last_answer(history: ev.History, ending: ev.TurnEnded | None) -> list[str]:
    """What the steps of the newest turn have said; with an ending, of the newest that ended so."""
    answers: list[list[str]] = [[]]
    for message in history.messages:
        if message.role == "user":
            answers.append([])
        elif message.role == "assistant" and message.content:
            answers[-1].append(message.content)
    if ending is None:
        return answers[-1]
    return next((one for one in reversed(answers) if one[-1:] == [ending.text]), [])
