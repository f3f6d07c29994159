"""`AsyncTurnstoneClient`: work for agents from a program, and what comes of it.

Through Redis it reaches every node; with a URL, one node without Redis, by the same methods. It
names the message and its workstream before it sends, so that no event can come before it
listens, and none is missed.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeAlias

from turnstone.core.errors import NodeUnavailable, TurnstoneError
from turnstone.core.timers import Missed, Timer
from turnstone.mq import protocol as p
from turnstone.mq.client_args import TIMEOUT, Mistakes, labels_of, line_to, message_of, seconds
from turnstone.mq.client_timers import When, timed
from turnstone.mq.client_turn import TurnReader
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.results import StoredResult, TurnResult

_CUT = (
    "The turn has ended, but parts of its answer were missed, and the whole of it was not there in"
    " time: ask for it with result()."
)

OnEvent: TypeAlias = Callable[[p.OutboundEvent], Awaitable[None] | None]


class AsyncTurnstoneClient:
    """A client of a cluster, or of one node. Use on one event loop; any number of calls at once.

    `redis` are the arguments of `RedisBroker` (host, port, db, password, …). With `url`, or a
    URL in the place of `broker`, it talks to that node over HTTP instead; `token` is for there.
    Raises TypeError for arguments that do not go together. Methods raise QueueUnavailable or
    NodeUnavailable where the other side cannot be reached.
    """

    def __init__(
        self,
        broker: object = None,
        prefix: str = "turnstone",
        *,
        url: str = "",
        token: str | None = None,
        **redis: Any,
    ) -> None:
        self._line = line_to(broker, prefix, url, token, redis)
        self._subscriptions: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def send(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
        not_before: When = None,
        every: str = "",
        timezone: str = "UTC",
        missed: Missed = "once",
        until: When = None,
    ) -> str:
        """Send a message and do not wait. Returns its correlation id (see `result`).

        With `not_before` (Unix seconds, or a datetime with a time zone) it is sent then; with
        `every` (a cron line of five fields, in `timezone`) at each of its times, until `until`.
        `missed` says what becomes of times at which no node was there: `skip`, `once` for all, or
        `all`. The id is that of the timer then; each run has one of its own (see `timers`).
        Raises InvalidRequest for times that cannot be.
        """
        sent = message_of(
            message, ws_id, name, auto_approve, auto_approve_tools, target_node, requires
        )
        sent = timed(sent, not_before, every, timezone, missed, until)
        await self._line.deliver(sent)
        return sent.correlation_id

    async def send_and_wait(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = True,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        timeout: float | None = TIMEOUT,
        on_event: OnEvent | None = None,
        *,
        requires: Sequence[str] | None = None,
    ) -> TurnResult:
        """Send a message and wait for its answer: `timeout` seconds, or for ever with None.

        **It approves what the turn asks for, unless told otherwise**: with `auto_approve=False`
        questions come as `approval_request` to `on_event`, and `approve` answers them.

        A turn that failed, a message that nobody could take and a time that is over are told in
        the result. An answer of which parts were missed is made whole from what the queue keeps
        of it; where that does not come in time, the result has `timed_out`, and says so.
        `on_event` gets what happens meanwhile; if it raises, that is logged the first time, and
        the turn goes on. When the time is over, `errors` say what is known of the reason: a
        question that waits, a message that was not delivered, a Redis or node that is silent
        (which may take a second more to see). Raises ValueError for a timeout that is over before it begins.
        """
        limit = seconds(timeout)
        sent = message_of(
            message, ws_id, name, auto_approve, auto_approve_tools, target_node, requires
        )
        reader = _reader(sent)
        mistakes = Mistakes()
        try:
            async with asyncio.timeout(limit):
                async with aclosing(self._turn(sent, reader)) as events:
                    async for event in events:
                        await _tell(on_event, event, mistakes)
        except TimeoutError:
            reader.result.timed_out = True
            reader.result.errors += await self._why_late(reader)
        return reader.result

    async def stream(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """Send a message and follow its turn, event by event; `turn_complete` is the last."""
        sent = message_of(
            message, ws_id, name, auto_approve, auto_approve_tools, target_node, requires
        )
        async with aclosing(self._turn(sent, _reader(sent))) as events:
            async for event in events:
                yield event
                if isinstance(event, p.TurnCompleteEvent):
                    return

    async def result(self, correlation_id: str) -> TurnResult | None:
        """What came of a message that was sent earlier; None while it has not ended, or where
        nobody remembers it."""
        stored = await self._line.result(correlation_id)
        return None if stored is None else stored.turn_result()

    async def create_workstream(
        self,
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
    ) -> str:
        """Returns the correlation id; a `ws_created` event with it names the workstream."""
        return await self._deliver(
            p.CreateWorkstreamMessage(
                name=name,
                auto_approve=auto_approve,
                auto_approve_tools=list(auto_approve_tools or ()),
                target_node=target_node,
                requires=labels_of(requires),
            )
        )

    async def close_workstream(self, ws_id: str) -> str:
        """End a workstream, and the turn that runs in it."""
        return await self._deliver(p.CloseWorkstreamMessage(ws_id=ws_id))

    async def command(self, ws_id: str, command: str) -> str:
        return await self._deliver(p.CommandMessage(ws_id=ws_id, command=command))

    async def list_workstreams(self) -> str:
        """Returns the correlation id; a `ws_list` event with it has those of one node."""
        return await self._deliver(p.ListWorkstreamsMessage())

    async def health(self) -> str:
        """Returns the correlation id; a `health_response` event with it is of one node."""
        return await self._deliver(p.HealthMessage())

    async def list_nodes(self) -> list[dict[str, object]]:
        """The nodes that live: what each says of itself, and its `node_id`."""
        return await self._line.nodes()

    async def timers(self) -> list[Timer]:
        """Messages that are to be sent later, by their next time, paused ones last."""
        return await self._line.timers()

    async def cancel_timer(self, timer_id: str) -> None:
        """End a timer. Raises UnknownTimer; InvalidRequest if it has ended by itself."""
        await self._line.alter_timer(timer_id, "cancel")

    async def pause_timer(self, timer_id: str, paused: bool = True) -> None:
        """Pause a timer, or let it go on. Raises UnknownTimer, InvalidRequest."""
        await self._line.alter_timer(timer_id, "pause" if paused else "resume")

    async def approve(
        self,
        request_id: str,
        ws_id: str = "",
        approved: bool = True,
        feedback: str | None = None,
        always: bool = False,
    ) -> None:
        """Answer a question; its id is the correlation id of the `approval_request`."""
        await self._line.respond(
            p.ApproveMessage(
                ws_id=ws_id,
                request_id=request_id,
                approved=approved,
                feedback=feedback,
                always=always,
            )
        )

    async def plan_feedback(self, request_id: str, ws_id: str = "", feedback: str = "") -> None:
        """Answer the review of a plan; empty feedback accepts it."""
        await self._line.respond(
            p.PlanFeedbackMessage(ws_id=ws_id, request_id=request_id, feedback=feedback)
        )

    async def subscribe(self, callback: OnEvent, ws_id: str = "") -> None:
        """Call `callback` with what happens in a workstream, or beside all of them, until
        `unsubscribe`. What happens while Redis is away is missed; a turn is not (`stream`).
        If the callback raises, that is logged the first time, and it is called again."""
        await self.unsubscribe(ws_id)
        ready = asyncio.Event()
        listening = asyncio.create_task(self._listen(callback, ws_id, ready))
        await ready.wait()
        if listening.done():
            await listening  # it could not begin
        self._subscriptions[ws_id] = listening

    async def unsubscribe(self, ws_id: str = "") -> None:
        listening = self._subscriptions.pop(ws_id, None)
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def aclose(self) -> None:
        for ws_id in list(self._subscriptions):
            await self.unsubscribe(ws_id)
        await self._line.aclose()

    async def _why_late(self, reader: TurnReader) -> list[str]:
        """Why the answer has not come in time, as far as that can be seen from here."""
        line = self._line
        why = [_CUT] if reader.ended else reader.questions()
        refused, silent = line.problem, "" if line.problem else await line.silence()
        if not reader.delivered:
            reason = (
                refused
                or f"{silent or 'That it has arrived was not confirmed.'} It may still come."
            )
            why.append(f"The message could not be delivered in time: {reason}")
        elif refused or silent:
            why.append(f"Not heard of in time: {refused or silent}")
        return why

    async def _deliver(self, message: p.InboundMessage) -> str:
        await self._line.deliver(message)
        return message.correlation_id

    async def _turn(
        self, sent: p.SendMessage, reader: TurnReader
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """Send, and yield what happens until the turn has ended."""
        line, cid, ws_id = self._line, sent.correlation_id, reader.result.ws_id
        try:
            place = await line.place(ws_id) if sent.ws_id else "0-0"
            await line.deliver(sent, new_ws_id="" if sent.ws_id else ws_id)
            reader.delivered = True
        except (QueueUnavailable, NodeUnavailable):
            raise
        except TurnstoneError as error:
            for one in reader.close(_refused(reader.result, error)):
                yield one
            return
        async with aclosing(line.turn(cid, ws_id, place)) as happened:  # type: ignore[type-var]
            async for event in happened:
                if isinstance(event, StoredResult):
                    told = reader.close(event)
                else:
                    told = reader.read(event)
                for one in told:
                    yield one
                if reader.whole:
                    return
        for one in reader.close(_unended(reader.result)):
            yield one

    async def _listen(self, callback: OnEvent, ws_id: str, ready: asyncio.Event) -> None:
        try:
            events = await self._line.listen(ws_id)
        finally:
            ready.set()
        mistakes = Mistakes()
        async with aclosing(events):
            async for event in events:
                await _tell(callback, event, mistakes)


def _reader(sent: p.SendMessage) -> TurnReader:
    fresh = not sent.ws_id
    ws_id = sent.ws_id or secrets.token_hex(4)
    return TurnReader(sent.correlation_id, ws_id, fresh=fresh)


def _refused(result: TurnResult, error: TurnstoneError) -> StoredResult:
    return _without_answer(result, "refused", str(error))


def _unended(result: TurnResult) -> StoredResult:
    return _without_answer(result, "closed", f"Workstream {result.ws_id} was closed meanwhile.")


def _without_answer(result: TurnResult, outcome: str, why: str) -> StoredResult:
    return StoredResult(
        correlation_id=result.correlation_id, ws_id=result.ws_id, outcome=outcome, errors=[why]
    )


async def _tell(on_event: OnEvent | None, event: p.OutboundEvent, mistakes: Mistakes) -> None:
    if on_event is None:
        return
    with mistakes.logged(event):
        answer = on_event(event)
        if inspect.isawaitable(answer):
            await answer
