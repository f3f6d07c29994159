"""Hosts under a contract: a model whose plan a test sets, and what a reader is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver import Plan, Reply
from modelserver.plans import echo
from support.nodes import local_node
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import Host, SendMessage

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0


@dataclass
class Told:
    """A plan whose behaviour a test sets after the node has been started."""

    plan: Plan = echo

    def __call__(self, body: dict[str, Any]) -> Reply:
        return self.plan(body)


@asynccontextmanager
async def either(way: str, folder: Path, plan: Plan, **engine: Any) -> AsyncIterator[Host]:
    """A started node: itself for the way `local`, and through its HTTP server for any other."""
    async with local_node(folder, plan, **engine) as node:
        if way == "local":
            yield node.host
            return
        async with serving(node.host) as served:
            client = HttpHost(served.url, FULL)
            try:
                yield client
            finally:
                await client.aclose()


async def read(
    host: Host, ws_id: str, until: type[ev.Event], after: ev.EventId | None = None
) -> list[ev.Event]:
    """The events up to the first of this type."""
    seen: list[ev.Event] = []
    async with asyncio.timeout(PATIENCE):
        events = host.follow(ws_id, after)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                seen.append(event)
                if isinstance(event, until):
                    return seen
    raise AssertionError(f"the stream ended without {until.__name__}: {seen}")


async def said(host: Host, ws_id: str, message: str = "go") -> ev.EventId:
    """Carry one turn to its end; the id of its last event."""
    await host.send(SendMessage(ws_id=ws_id, message=message))
    [*_, ended] = await read(host, ws_id, ev.TurnEnded, ev.EventId(1))
    return ev.EventId.parse(ended.id)


def texts(events: list[ev.Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, ev.Content))
