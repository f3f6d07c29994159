"""Reading a workstream in tests: up to an event, or one message's way to its ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

from turnstone.core import events as ev
from turnstone.core.host import Host, SendMessage, WhenBusy
from turnstone.core.local_host import LocalHost

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

EventT = TypeVar("EventT", bound=ev.Event)


async def send(
    host: Host, ws_id: str, message: str, cid: str = "", busy: WhenBusy = "queue"
) -> str:
    """Send a message; its correlation id."""
    asked = SendMessage(ws_id=ws_id, message=message, correlation_id=cid, busy=busy)
    return (await host.send(asked)).correlation_id


async def until(
    host: Host, ws_id: str, kind: type[EventT], cid: str = "", after: int | None = 1
) -> tuple[EventT, list[ev.Event]]:
    """The first event of this type (and message) from the beginning on, and all up to it.

    With `after` None: from the snapshot on.
    """
    seen: list[ev.Event] = []
    events = host.follow(ws_id, None if after is None else ev.EventId(after))
    assert isinstance(events, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(events):
        async for event in events:
            seen.append(event)
            if isinstance(event, kind) and cid in ("", event.correlation_id):
                return event, seen
    raise AssertionError(f"the stream ended without {kind.__name__}: {seen}")


async def ending(host: Host, ws_id: str, cid: str) -> ev.TurnEnded:
    """How the turn of this message ends."""
    return (await until(host, ws_id, ev.TurnEnded, cid))[0]


async def snapshot(host: LocalHost, ws_id: str) -> list[ev.Event]:
    """What a reader that comes now starts from: all that is there without waiting."""
    seen: list[ev.Event] = []
    events = host.follow(ws_id)
    assert isinstance(events, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(events):
        seen.append(await anext(events))
        while True:
            try:
                async with asyncio.timeout(0):
                    event = await anext(events)
            except TimeoutError:
                return seen
            if event.id != seen[0].id:
                return seen
            seen.append(event)


@asynccontextmanager
async def in_use(host: Host, ws_id: str) -> AsyncIterator[None]:
    """With a reader, until it is closed: a workstream in use gives its place to no other."""
    reads = asyncio.Event()

    async def read() -> None:
        async for _ in host.follow(ws_id):
            reads.set()

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(PATIENCE):
            await reads.wait()
        yield
    finally:
        reading.cancel()
        await asyncio.wait({reading})
