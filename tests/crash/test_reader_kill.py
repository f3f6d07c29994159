"""A reader over HTTP, whose server is killed again and again, sees each event once, in order.

It is one call of `follow`: what resumes is the client of every program, at the last id that it
has. A snapshot may stand for what it missed, as for any reader.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import last_user_text
from support.crashing import checks
from support.crashing.harness import size
from support.processes import Server, server
from support.watching import send
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.core.store import SqliteStore

KILLS = {"default": 3, "ci": 3, "long": 60}

#: Events after which the server is killed, counted from its start: within a turn, and behind it.
EVENTS = 40

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0


class Reader:
    """What it was given, by id and type; and how it waits for more."""

    def __init__(self) -> None:
        self.seen: list[tuple[ev.EventId, str]] = []
        self.ended: set[str] = set()
        self._news = asyncio.Condition()

    async def follow(self, host: HttpHost, ws_id: str) -> None:
        events = host.follow(ws_id, ev.EventId(0))
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                self.seen.append((ev.EventId.parse(event.id), event.type))
                if isinstance(event, ev.TurnEnded):
                    self.ended.add(event.correlation_id)
                async with self._news:
                    self._news.notify_all()

    async def until(self, count: int, cid: str) -> None:
        """Until so many events have come, or the turn of this message has ended."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.seen) >= count or cid in self.ended)


def plan(body: dict[str, Any]) -> Reply:
    """Two reads, then an answer in many pieces; the same again for each message."""
    done = 0
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            break
        done += message["role"] == "tool"
    if done < 2:
        return calls(call("read_file", path="notes"), text="I look. " * 20, chunk=4)
    return text(f"{last_user_text(body)} is done. " * 20, chunk=4)


async def sent(node: Server, ws_id: str, cid: str) -> None:
    """Accepted, before the server is killed or not at all."""
    async with aclosing(node.client()) as host:
        await send(host, ws_id, cid, cid)


@pytest.mark.timeout(600)
async def test_a_reader_over_http_sees_each_event_once_across_kills(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    kills, killed, messages = KILLS[size()], 0, 0
    (tmp_path / "notes").write_text("remember the milk\n")
    reader = Reader()
    with ModelServer(plan) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path)]
        asking += ["--port", str(free_port())]  # the same one in each life
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            ws_id = (await host.create(CreateWorkstream())).id
        following = asyncio.create_task(reader.follow(host, ws_id))
        cid = ""
        while killed <= kills:
            async with server(tmp_path / "home", *asking) as node:
                last = killed == kills
                end = len(reader.seen) + dice.randrange(1, EVENTS)
                while len(reader.seen) < end or last:
                    if cid in reader.ended or not cid:
                        if last:
                            break
                        messages += 1
                        cid = f"m{messages}"
                        await sent(node, ws_id, cid)
                    await reader.until(10**9 if last else end, cid)
                await node.kill()
            killed += 1
        following.cancel()
        await asyncio.wait({following})
        await host.aclose()

    store = await SqliteStore.open(tmp_path / "home/.local/share/turnstone/turnstone.db")
    records = await store.records(ws_id)
    await store.aclose()
    resumed = sum(isinstance(record, ev.TurnResumed) for record in records)
    print(f"{messages} messages, {len(reader.seen)} events, {resumed} turns taken up")
    assert list(checks.of_a_reader(records, reader.seen)) == []
    assert [c for c in endings(records) if c not in reader.ended] == []
    assert endings(records) == [f"m{n}" for n in range(1, messages + 1)]


def endings(records: list[ev.AnyEvent]) -> list[str]:
    return [record.correlation_id for record in records if isinstance(record, ev.TurnEnded)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
