"""`AsyncTurnstoneClient`: work for agents from a program, and what comes of it.

Through Redis it reaches every node; with a URL, one node without Redis, by the same methods. It
names the message and its workstream before it sends, so that no event can come before it
listens, and none is missed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeAlias

from turnstone.api.http_host import HttpHost
from turnstone.core.errors import NodeUnavailable, TurnstoneError
from turnstone.mq import protocol as p
from turnstone.mq.broker import RedisBroker
from turnstone.mq.client_line import Line
from turnstone.mq.client_node import NodeLine
from turnstone.mq.client_queue import QueueLine
from turnstone.mq.client_turn import TurnReader
from turnstone.mq.connection import RedisAddress
from turnstone.mq.entry import MESSAGE_MAX
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.results import StoredResult, TurnResult

log = logging.getLogger(__name__)

#: Seconds that `send_and_wait` waits for an answer, if nobody says otherwise.
TIMEOUT = 600.0

OnEvent: TypeAlias = Callable[[p.OutboundEvent], Awaitable[None] | None]


class AsyncTurnstoneClient:
    """A client of a cluster, or of one node. Use on one event loop; any number of calls at once.

    `redis` are the arguments of `RedisBroker` (host, port, db, password, …). With `url`, or a
    URL in the place of `broker`, it talks to that node over HTTP instead; `token` is for there.
    Methods raise QueueUnavailable or NodeUnavailable where the other side cannot be reached.
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
        self._line = _line(broker, prefix, url, token, redis)
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
    ) -> str:
        """Send a message and do not wait. Returns its correlation id (see `result`)."""
        sent = _send(message, ws_id, name, auto_approve, auto_approve_tools, target_node)
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
    ) -> TurnResult:
        """Send a message and wait for its answer; for ever with `timeout=None`.

        A turn that failed, a message that nobody could take and a time that is over are told in
        the result. `on_event` gets what happens meanwhile; if it raises, that is logged.
        """
        sent = _send(message, ws_id, name, auto_approve, auto_approve_tools, target_node)
        reader = _reader(sent)
        try:
            async with asyncio.timeout(timeout):
                async with aclosing(self._turn(sent, reader)) as events:
                    async for event in events:
                        await _tell(on_event, event)
        except TimeoutError:
            reader.result.timed_out = True
            if self._line.problem:
                reader.result.errors.append(f"Not heard of in time: {self._line.problem}")
        return reader.result

    async def stream(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """Send a message and follow its turn, event by event; `turn_complete` is the last."""
        sent = _send(message, ws_id, name, auto_approve, auto_approve_tools, target_node)
        async with aclosing(self._turn(sent, _reader(sent))) as events:
            async for event in events:
                yield event

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
    ) -> str:
        """Returns the correlation id; a `ws_created` event with it names the workstream."""
        return await self._deliver(
            p.CreateWorkstreamMessage(
                name=name,
                auto_approve=auto_approve,
                auto_approve_tools=list(auto_approve_tools or ()),
                target_node=target_node,
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
        `unsubscribe`. What happens while Redis is away is missed; a turn is not (`stream`)."""
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

    async def _turn(
        self, sent: p.SendMessage, reader: TurnReader
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        """Send, and yield what happens until the turn has ended."""
        line, cid, ws_id = self._line, sent.correlation_id, reader.result.ws_id
        try:
            place = await line.place(ws_id) if sent.ws_id else "0-0"
            await line.deliver(sent, new_ws_id="" if sent.ws_id else ws_id)
        except (QueueUnavailable, NodeUnavailable):
            raise
        except TurnstoneError as error:
            for told in reader.close(_refused(reader.result, error)):
                yield told
            return
        stored: StoredResult | None = None
        async with aclosing(line.turn(cid, ws_id, place)) as happened:  # type: ignore[type-var]
            async for event in happened:
                if isinstance(event, StoredResult):
                    stored = event
                    break
                for told in reader.read(event):
                    yield told
                if reader.ended:
                    break
        if stored is not None:
            for told in reader.close(stored):
                yield told
        elif reader.missed:
            stored = await self._stored(cid)
            if stored is not None:
                reader.close(stored)

    async def _stored(self, correlation_id: str) -> StoredResult | None:
        """The stored result of a turn that has just ended: it is kept a moment later."""
        for pause in (0, 0.05, 0.2, 0.5, 1):
            await asyncio.sleep(pause)
            stored = await self._line.result(correlation_id)
            if stored is not None:
                return stored
        return None

    async def _listen(self, callback: OnEvent, ws_id: str, ready: asyncio.Event) -> None:
        try:
            events = await self._line.listen(ws_id)
        finally:
            ready.set()
        async with aclosing(events):
            async for event in events:
                await _tell(callback, event)


def _line(broker: object, prefix: str, url: str, token: str | None, redis: dict[str, Any]) -> Line:
    if isinstance(broker, str):
        url, broker = broker, None
    if url:
        return NodeLine(HttpHost(url, token), url)
    if broker is None:
        redis.pop("response_ttl", None)  # of RedisBroker; the wire's own holds here
        return QueueLine(RedisAddress(**redis), prefix)
    if isinstance(broker, RedisBroker):
        return QueueLine(broker.address, broker.keys.prefix)
    raise TypeError(
        f"broker must be a RedisBroker or the URL of a node, not {type(broker).__name__}."
    )


def _send(
    message: str,
    ws_id: str,
    name: str,
    auto_approve: bool,
    auto_approve_tools: Sequence[str] | None,
    target_node: str,
) -> p.SendMessage:
    if not isinstance(message, str):
        raise TypeError(f"message: a text is sent, and not {type(message).__name__}")
    if len(message) > MESSAGE_MAX:
        raise ValueError(
            f"message: it has {len(message)} characters, and at most {MESSAGE_MAX} bytes are taken."
            " Put it into a file that the node can read, and send its name."
        )
    return p.SendMessage(
        ws_id=ws_id,
        message=message,
        auto_approve=auto_approve,
        auto_approve_tools=list(auto_approve_tools or ()),
        name=name,
        target_node=target_node,
    )


def _reader(sent: p.SendMessage) -> TurnReader:
    fresh = not sent.ws_id
    ws_id = sent.ws_id or secrets.token_hex(4)
    return TurnReader(sent.correlation_id, ws_id, fresh=fresh)


def _refused(result: TurnResult, error: TurnstoneError) -> StoredResult:
    return StoredResult(
        correlation_id=result.correlation_id,
        ws_id=result.ws_id,
        outcome="refused",
        errors=[str(error)],
    )


async def _tell(on_event: OnEvent | None, event: p.OutboundEvent) -> None:
    """A program's own mistake is logged, and does not end what it listens to."""
    if on_event is None:
        return
    try:
        answer = on_event(event)
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        log.exception("on_event raised for an event of type %s", event.type)
