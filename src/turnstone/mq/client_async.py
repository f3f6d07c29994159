"""`AsyncTurnstoneClient`: work for agents from a program, and what comes of it.

Through Redis it reaches every node; with a URL, one node without Redis, by the same methods. It
names the message and its workstream before it sends, so that no event can come before it
listens, and none is missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Self

from turnstone.core.timers import Missed, Timer
from turnstone.mq import protocol as p
from turnstone.mq.client_args import (
    TIMEOUT,
    IfUnavailable,
    Mistakes,
    check_texts,
    labels_of,
    line_to,
    message_of,
    seconds,
    tools_of,
)
from turnstone.mq.client_asks import Asked, OnApproval, OnPlan
from turnstone.mq.client_events import OnEvent, answer, in_time, tell, told, why_late
from turnstone.mq.client_follow import again, reader_of, turn
from turnstone.mq.client_timers import When, timed
from turnstone.mq.client_turn import TurnReader, place_of
from turnstone.mq.results import TurnResult


class AsyncTurnstoneClient:
    """A client of a cluster, or of one node. Use on one event loop; any number of calls at once.

    `redis` are the arguments of `RedisBroker` (host, port, db, password, …). With `url`, or a
    URL in the place of `broker`, it talks to that node over HTTP instead; `token` is for there.
    With a `signing_secret` all that it sends through Redis is signed with that.
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
        signing_secret: str = "",
        **redis: Any,
    ) -> None:
        self._line = line_to(broker, prefix, url, token, redis, signing_secret)
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
        if_unavailable: IfUnavailable = "error",
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
            message,
            ws_id,
            name,
            auto_approve,
            auto_approve_tools,
            target_node,
            requires,
            if_unavailable,
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
        if_unavailable: IfUnavailable = "error",
        on_approval: OnApproval | None = None,
        on_plan: OnPlan | None = None,
    ) -> TurnResult:
        """Send a message and wait for its answer: `timeout` seconds, or for ever with None.

        **It approves what the turn asks for, unless told otherwise**: with `auto_approve=False`
        questions go to `on_approval` and `on_plan`, which say `True`, `False` or why not (a text), or
        `None` to leave it to somebody else: they come as `approval_request` to `on_event` too, and
        `approve` answers them. A callback for questions that raises has said no.

        A turn that failed, a message that nobody could take and a time that is over are told in
        the result. An answer of which parts were missed is made whole from what the queue keeps
        of it; where that does not come in time, the result has `timed_out`, and says so.
        `on_event` gets what happens meanwhile; if it raises, that is logged the first time, and
        the turn goes on. When the time is over, `errors` say what is known of the reason: a
        question that waits, a message that was not delivered, a Redis or node that is silent,
        a node that is not there (which may take a second more to see). Raises ValueError for a timeout that is over before it begins.
        """
        limit = seconds(timeout)
        sent = message_of(
            message,
            ws_id,
            name,
            auto_approve,
            auto_approve_tools,
            target_node,
            requires,
            if_unavailable,
        )
        reader = reader_of(sent)
        mistakes, asked = Mistakes(), Asked(on_approval, on_plan)
        try:
            async with asyncio.timeout(limit):
                async with aclosing(turn(self._line, sent, reader)) as events:
                    async for event in events:
                        await tell(on_event, event, mistakes)
                        await answer(self._line, asked, event, mistakes)
        except TimeoutError:
            reader.result.timed_out = True
            reader.result.errors += await why_late(self._line, reader, sent)
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
        if_unavailable: IfUnavailable = "error",
        timeout: float | None = None,
        on_approval: OnApproval | None = None,
        on_plan: OnPlan | None = None,
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """Send a message and follow its turn, event by event; `turn_complete` is the last.
        The callbacks are those of `send_and_wait`. Raises TurnTimedOut when it has not ended
        `timeout` seconds after the first event was asked for, with what is known of it; the turn
        goes on."""
        limit = seconds(timeout)
        sent = message_of(
            message,
            ws_id,
            name,
            auto_approve,
            auto_approve_tools,
            target_node,
            requires,
            if_unavailable,
        )
        reader, asked = reader_of(sent), Asked(on_approval, on_plan)
        events = in_time(turn(self._line, sent, reader), self._line, reader, limit, sent)
        async with aclosing(told(self._line, events, asked)) as happened:
            async for event in happened:
                yield event

    async def follow(
        self,
        correlation_id: str,
        after: str = "",
        *,
        ws_id: str = "",
        timeout: float | None = None,
        on_approval: OnApproval | None = None,
        on_plan: OnPlan | None = None,
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """The turn of a message that was sent earlier, by any program, as `stream` gives it.

        `after`: the `cursor` of the last event that was dealt with; empty: from its beginning. Waits
        until the message has a turn. With neither, `ws_id` helps to find that of a closed
        workstream. Raises UnknownMessage when for five seconds there is no such message;
        TurnTimedOut as `stream` does; ValueError for what is no cursor.
        """
        limit, (known, place) = seconds(timeout), place_of(after)
        check_texts(correlation_id=correlation_id, ws_id=ws_id)
        reader = TurnReader(correlation_id, ws_id or known, fresh=False, resumed=place)
        reader.delivered = True
        events = in_time(again(self._line, reader, place), self._line, reader, limit)
        async with aclosing(told(self._line, events, Asked(on_approval, on_plan))) as happened:
            async for event in happened:
                yield event

    async def cancel(self, correlation_id: str = "", ws_id: str = "") -> bool:
        """Stop the turn of a message, wherever it is; it is not run if no node has it yet.
        Without one, stop what runs in the workstream. False: there is nothing to stop.

        Raises QueueUnavailable where no node answers in time; QueueRefuses where it may not."""
        if not correlation_id and not ws_id:
            raise ValueError("cancel: give the correlation_id of a message, or a ws_id.")
        return await self._line.cancel(correlation_id, ws_id)

    async def result(self, correlation_id: str, ws_id: str = "") -> TurnResult | None:
        """What came of a message that was sent earlier; None while it has not ended, or where
        nobody remembers it. One node needs `ws_id` for a workstream that is closed."""
        stored = await self._line.result(correlation_id, ws_id)
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
                auto_approve_tools=tools_of(auto_approve_tools),
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
        if not callable(callback):
            raise TypeError(f"callback: what can be called, and not {type(callback).__name__}")
        check_texts(ws_id=ws_id)
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

    async def _deliver(self, message: p.InboundMessage) -> str:
        await self._line.deliver(message)
        return message.correlation_id

    async def _listen(self, callback: OnEvent, ws_id: str, ready: asyncio.Event) -> None:
        try:
            events = await self._line.listen(ws_id)
        finally:
            ready.set()
        mistakes = Mistakes()
        async with aclosing(events):
            async for event in events:
                await tell(callback, event, mistakes)
