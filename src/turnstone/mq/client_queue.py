"""A client's way through the queue: messages into lists, events out of streams.

Nothing that matters depends on publish and subscribe: a turn is followed by the ids of its
workstream's stream, and its ending is looked up where the queue keeps it, when no events come.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from turnstone.core import events as ev
from turnstone.core.errors import UnknownTimer
from turnstone.core.timekeeping import alter, keep
from turnstone.core.timers import Timer, TimerAction
from turnstone.mq import keys as limits
from turnstone.mq import protocol as p
from turnstone.mq.client_absence import absence
from turnstone.mq.client_known import known, waiting
from turnstone.mq.client_timers import timer_in, timers_by
from turnstone.mq.client_wire import encoded
from turnstone.mq.connection import PATIENCE as ANSWER
from turnstone.mq.connection import RedisAddress, asking, hopeless, translated
from turnstone.mq.entry import read
from turnstone.mq.errors import QueueRefuses, QueueUnavailable
from turnstone.mq.keys import Keys
from turnstone.mq.pushes import Pushes
from turnstone.mq.results import StoredResult
from turnstone.mq.signing import Keyring

log = logging.getLogger(__name__)

#: Seconds for which a Redis that does not answer is tried again, before a sender is told.
PATIENCE = 5.0

#: Seconds of the first wait for events, and of the longest; after each without any, the stored
#: result is looked up.
FIRST_WAIT, LONGEST_WAIT = 0.25, 2.0

#: Seconds before the first attempt to reach Redis again, and at most before any.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

#: Seconds after which a Redis that was asked whether it is there counts as silent.
SILENCE = 1.0

#: Seconds for a node to say whether it has stopped a turn.
CANCEL_WAIT = 15.0

#: Events that are read at once.
PAGE = 500

_SCAN = 100

T = TypeVar("T")


class QueueLine:
    """Implements `Line` over Redis. Makes no connection before it is used."""

    def __init__(
        self, address: RedisAddress, prefix: str = "turnstone", keyring: Keyring | None = None
    ) -> None:
        self.keys = Keys(prefix)
        self._keyring = keyring and keyring.of(prefix)
        self._address = address
        self._redis: Any = address.client(prefix)
        self._waiting: Any = address.client(prefix)
        self._pushes = Pushes(address, self._redis)
        self._timers = timers_by(self.keys, self._ask, self._keyring)
        self.problem = ""

    async def deliver(self, message: p.InboundMessage, *, new_ws_id: str = "") -> None:
        raw = encoded(message, new_ws_id, self._keyring)
        where = await self._where(message)
        await self._patiently(lambda: self._pushes.push(where, raw), PATIENCE)

    async def place(self, ws_id: str) -> str:
        found = await self._patiently(
            lambda: self._ask("XREVRANGE", self.keys.event_stream(ws_id), "+", "-", "COUNT", "1"),
            PATIENCE,
        )
        return found[0][0].decode() if found else "0-0"

    async def turn(
        self, correlation_id: str, ws_id: str, after: str
    ) -> AsyncIterator[ev.Event | StoredResult]:
        wait = FIRST_WAIT
        while True:
            page = await self._patiently(lambda: self._page(ws_id, after, wait))  # noqa: B023
            for place, event in page:
                after = place
                if event is not None:
                    yield event
                if isinstance(event, ev.TurnEnded) and event.correlation_id == correlation_id:
                    yield await self._kept(correlation_id)
                    return
            if page:
                wait = FIRST_WAIT
                continue
            wait = min(2 * wait, LONGEST_WAIT)
            stored = await self._patiently(lambda: self._look(correlation_id))
            if stored is not None and not await self._patiently(
                lambda: self._page(ws_id, after, 0)  # noqa: B023
            ):
                yield stored
                return

    async def respond(self, message: p.ApproveMessage | p.PlanFeedbackMessage) -> None:
        key = self.keys.responses(message.request_id)
        raw = encoded(message, keyring=self._keyring)

        async def push() -> None:
            await self._pushes.push(key, raw)
            await self._ask("EXPIRE", key, str(limits.RESPONSE_TTL))

        await self._patiently(push, PATIENCE)

    async def workstream_of(self, correlation_id: str) -> str:
        return await self._patiently(lambda: self._workstream(correlation_id), PATIENCE)

    async def knows(self, correlation_id: str, ws_id: str = "") -> bool:
        return await self._patiently(lambda: known(self._ask, self.keys, correlation_id), PATIENCE)

    async def cancel(self, correlation_id: str, ws_id: str) -> bool:
        asked = p.CancelMessage(ws_id=ws_id, message_id=correlation_id)
        await self.deliver(asked)
        try:
            async with asyncio.timeout(CANCEL_WAIT):
                kept = await self._kept(asked.correlation_id)
        except TimeoutError:
            raise QueueUnavailable(
                f"No node has answered within {CANCEL_WAIT:g} s whether it has stopped that.",
                hint="It is stopped when a node takes the message; see list_nodes().",
            ) from None
        if kept.outcome == "dead":
            raise QueueRefuses(kept.error)
        return kept.outcome == "done"

    async def result(self, correlation_id: str, ws_id: str = "") -> StoredResult | None:
        return await self._patiently(lambda: self._look(correlation_id), PATIENCE)

    async def silence(self) -> str:
        try:
            async with asking(self._address, SILENCE):
                await self._redis.ping()
        except QueueUnavailable as error:
            silent = isinstance(error.__cause__, TimeoutError)
            return f"Redis at {self._address} has not answered." if silent else str(error)
        return ""

    async def absence(self, sent: p.SendMessage) -> str:
        try:
            async with asyncio.timeout(SILENCE):
                found, db = await self._nodes(), self._address.db
                return await absence(self._ask, self.keys, db, found, sent)
        except (QueueUnavailable, TimeoutError):
            return ""

    async def nodes(self) -> list[dict[str, object]]:
        return await self._patiently(self._nodes, PATIENCE)

    async def timers(self) -> list[Timer]:
        return await self._patiently(self._timers.timers, PATIENCE)

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        return await self._patiently(lambda: self._altered(timer_id, action), PATIENCE)

    async def listen(self, ws_id: str) -> AsyncGenerator[p.OutboundEvent, None]:
        channel = self.keys.events(ws_id or "global")
        first = await self._patiently(lambda: self._subscribed(channel), PATIENCE)
        return self._listen(channel, first)

    async def aclose(self) -> None:
        await self._redis.aclose()
        await self._waiting.aclose()

    async def _altered(self, timer_id: str, action: TimerAction) -> Timer:
        try:
            return await alter(self._timers, timer_id, action)
        except UnknownTimer as error:
            raw = await waiting(self._ask, self.keys, timer_id)
            wanted = raw and timer_in(raw, timer_id, self._keyring)
            if not wanted:
                raise
            if action != "cancel":
                hint = "No node has taken its message yet: try again, or cancel it, which ends it."
                raise UnknownTimer(error.message, hint=hint) from None
        # It is made here, so that the node which takes its message finds it ended.
        await keep(self._timers, wanted)
        return await alter(self._timers, timer_id, action)

    async def _where(self, message: p.InboundMessage) -> str:
        """The list that it goes to (contract, section 4.3). Work for a node that is not known
        goes to the shared list, where a node that is will tell its sender."""
        target = str(getattr(message, "target_node", ""))
        if target:
            known = await self._patiently(
                lambda: self._ask("EXISTS", self.keys.node(target)), PATIENCE
            )
            return self.keys.inbound_of(target) if known else self.keys.inbound
        ws_id = str(getattr(message, "ws_id", ""))
        if ws_id:
            owner = await self._patiently(
                lambda: self._ask("GET", self.keys.owner(ws_id)), PATIENCE
            )
            if owner:
                return self.keys.inbound_of(owner.decode())
        return self.keys.inbound

    async def _look(self, correlation_id: str) -> StoredResult | None:
        found = await self._ask("HGET", self.keys.message(correlation_id), "r")
        return None if found is None else StoredResult.decode(found)

    async def _workstream(self, correlation_id: str) -> str:
        """As its record says; of one that made its workstream, what it wanted it to be called."""
        record = self.keys.message(correlation_id)
        ws_id, kept, node = await self._ask("HMGET", record, "ws", "r", "n")
        if ws_id:
            return str(ws_id.decode())
        if kept is not None:
            return StoredResult.decode(kept).ws_id
        held = node and await self._ask("HGET", self.keys.inflight(node.decode()), correlation_id)
        wanted = _object(read(held[1:]).raw).get("new_ws_id") if held else ""
        return wanted if isinstance(wanted, str) else ""

    async def _kept(self, correlation_id: str) -> StoredResult:
        """The result of a turn that has ended: it is stored a moment after its last event."""
        pause = FIRST_PAUSE
        while (stored := await self._patiently(lambda: self._look(correlation_id))) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return stored

    async def _page(self, ws_id: str, after: str, wait: float) -> list[tuple[str, ev.Event | None]]:
        stream = self.keys.event_stream(ws_id)
        block = ("BLOCK", str(round(wait * 1000))) if wait else ()
        command = ("XREAD", "COUNT", str(PAGE), *block, "STREAMS", stream, after)
        async with asking(self._address, wait + ANSWER):
            found = await self._waiting.execute_command(*command)
        entries = found[stream.encode()] if isinstance(found, dict) else found and found[0][1]
        if isinstance(found, dict):
            entries = entries[0]
        return [(place.decode(), _event(fields)) for place, fields in entries or ()]

    async def _nodes(self) -> list[dict[str, object]]:
        prefix = self.keys.node("")
        found: list[dict[str, object]] = []
        async with asking(self._address):
            async for name in self._redis.scan_iter(match=f"{prefix}*", count=_SCAN):
                text = await self._redis.get(name)
                if text is not None:
                    found.append(_object(text) | {"node_id": name.decode()[len(prefix) :]})
        return found

    async def _listen(
        self, channel: str, messages: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[p.OutboundEvent, None]:
        while True:
            try:
                async with aclosing(messages):
                    async for data in messages:
                        event = _outbound(data)
                        if event is not None:
                            yield event
            except QueueUnavailable as error:
                log.warning("what happens meanwhile on %s is missed: %s", channel, error)
            messages = await self._patiently(lambda: self._subscribed(channel))

    async def _subscribed(self, channel: str) -> AsyncGenerator[bytes, None]:
        """What is published on a channel; returns when the subscription holds."""
        pubsub = self._waiting.pubsub()
        try:
            async with asking(self._address):
                await pubsub.subscribe(channel)
                await pubsub.get_message(timeout=ANSWER)
        except BaseException:
            await pubsub.aclose()
            raise
        return self._heard(pubsub)

    async def _heard(self, pubsub: Any) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                with translated(self._address):
                    message = await pubsub.get_message(timeout=None)
                if message is not None and message["type"] == "message":
                    yield message["data"]
        finally:
            await pubsub.aclose()

    async def _ask(self, *command: Any) -> Any:
        async with asking(self._address, ANSWER):
            return await self._redis.execute_command(*command)

    async def _patiently(
        self, step: Callable[[], Awaitable[T]], patience: float = float("inf")
    ) -> T:
        """The result of a step, tried again while Redis is away. Raises QueueUnavailable after
        `patience` seconds, and at once where trying again cannot help."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + patience, FIRST_PAUSE
        while True:
            try:
                found = await step()
                self.problem = ""
                return found
            except QueueUnavailable as error:
                self.problem = str(error)
                if hopeless(error) or loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)


def _event(fields: Any) -> ev.Event | None:
    """An envelope of the stream; None for one of a newer version."""
    pairs = fields if isinstance(fields, dict) else dict(zip(*[iter(fields)] * 2, strict=True))
    try:
        return ev.decode(pairs[b"envelope"])
    except (KeyError, msgspec.DecodeError) as error:
        log.warning("an event in the stream cannot be read, and is left out: %s", error)
        return None


def _outbound(data: bytes) -> p.OutboundEvent | None:
    try:
        return p.OutboundEvent.from_json(data)
    except (ValueError, TypeError, RecursionError) as error:
        log.warning("what was published is no event, and is left out: %s", error)
        return None


def _object(text: bytes) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
