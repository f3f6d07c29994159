"""HttpHost where the network, the node, or whatever answers instead of one, does not play along.

What it does where they do is in `tests/contract/test_host.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver import ModelServer, hold, text
from modelserver.plans import echo
from support.nodes import local_node
from support.proxies import cutting_proxy
from support.servers import FULL, READ, serving
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.errors import (
    ConfigurationError,
    NodeUnavailable,
    NotAuthenticated,
    NotPermitted,
)
from turnstone.core.host import CreateWorkstream, Host, SendMessage

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

ANSWER = "an answer that comes in many small pieces, " * 40


@asynccontextmanager
async def client(url: str, token: str | None = FULL) -> AsyncIterator[HttpHost]:
    host = HttpHost(url, token)
    try:
        yield host
    finally:
        await host.aclose()


async def read_turn(host: Host, ws_id: str, after: ev.EventId | None) -> list[ev.Event]:
    seen: list[ev.Event] = []
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, after):
            seen.append(event)
            if isinstance(event, ev.TurnEnded):
                return seen
    raise AssertionError("the stream ended before the turn")


async def finished_turn(host: Host) -> str:
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    await read_turn(host, ws.id, ev.EventId(1))
    return ws.id


@pytest.mark.parametrize("cut", [1, 100, 1000, 3000, 10_000])
async def test_a_reader_whose_connections_break_sees_each_event_once(
    tmp_path: Path, cut: int
) -> None:
    # The first few connections break even within their headers; a reader does get on.
    async with (
        local_node(tmp_path, lambda body: text(ANSWER)) as node,
        serving(node.host) as served,
        cutting_proxy(served.port, lambda n: cut if n < 4 else 20_000) as url,
        client(url) as broken,
    ):
        ws_id = await finished_turn(node.host)
        whole = await read_turn(node.host, ws_id, ev.EventId(1))
        assert await read_turn(broken, ws_id, ev.EventId(1)) == whole


@given(cuts=st.lists(st.integers(0, 4000), max_size=6))
@settings(max_examples=8)
def test_a_snapshot_that_is_cut_anywhere_comes_whole_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    async def check() -> None:
        gate = threading.Event()
        async with (
            local_node(
                tmp_path_factory.mktemp("node"),
                lambda body: hold(text(ANSWER), gate, before=40),
            ) as node,
            serving(node.host) as served,
            cutting_proxy(served.port, lambda n: cuts[n] if n < len(cuts) else 1 << 30) as url,
            client(url) as broken,
        ):
            ws = await node.host.create(CreateWorkstream())
            await node.host.send(SendMessage(ws_id=ws.id, message="go"))
            async with asyncio.timeout(PATIENCE):
                await until_content(node.host, ws.id)
                reading = asyncio.create_task(answer_as_streamed(broken, ws.id))
                await until_content(node.host, ws.id)
                gate.set()
                assert await reading == ANSWER

    asyncio.run(check())


async def until_content(host: Host, ws_id: str) -> None:
    async for event in host.follow(ws_id):
        if isinstance(event, ev.Content):
            return


async def answer_as_streamed(host: Host, ws_id: str) -> str:
    """The answer as a reader puts it together: what the history says, or piece by piece."""
    pieces = ""
    async for event in host.follow(ws_id):
        match event:
            case ev.Connected() | ev.Truncated():
                pieces = ""
            case ev.Content():
                pieces += event.text
            case ev.History(
                messages=[ev.HistoryMessage(content="go"), ev.HistoryMessage() as said]
            ):
                return said.content
            case ev.TurnEnded():
                return pieces
    raise AssertionError("the stream ended")


async def test_a_reader_outlives_the_server_and_sees_each_event_once(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        async with serving(node.host) as served:
            url, port = served.url, served.port
            async with client(url) as remote:
                await remote.send(SendMessage(ws_id=ws.id, message="one"))
                before = await read_turn(remote, ws.id, ev.EventId(1))
        async with client(url) as remote:
            place = ev.EventId.parse(before[-1].id)
            reading = asyncio.create_task(read_turn(remote, ws.id, place))
            await asyncio.sleep(0)  # it begins while there is no server
            async with serving(node.host, port=port):
                await remote.send(SendMessage(ws_id=ws.id, message="two"))
                after = await reading
        assert [*before, *after] == [
            event for turn in (before, await read_turn(node.host, ws.id, place)) for event in turn
        ]


async def test_a_node_that_was_started_again_is_followed_on_with_a_snapshot(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, echo) as node, serving(node.host) as served:
        port = served.port
        ws_id = await finished_turn(node.host)
        async with client(served.url) as remote:
            seen: list[ev.Event] = []
            there = asyncio.Event()

            async def follow() -> None:
                async for event in remote.follow(ws_id):
                    seen.append(event)
                    there.set()
                    if isinstance(event, ev.TurnEnded) and event.text == "after all":
                        return

            following = asyncio.create_task(follow())
            async with asyncio.timeout(PATIENCE):
                await there.wait()
            await served.stop()
            await node.host.aclose()
            async with local_node(tmp_path, echo) as again, serving(again.host, port=port):
                async with asyncio.timeout(PATIENCE):
                    there.clear()
                    await there.wait()
                    await remote.send(SendMessage(ws_id=ws_id, message="after all"))
                    await following
    ended = seen[-1]
    assert isinstance(ended, ev.TurnEnded)
    ids = [ev.EventId.parse(e.id) for e in seen]
    assert ids == sorted(ids)


async def test_a_message_whose_answer_is_lost_is_sent_again_and_accepted_once(
    tmp_path: Path,
) -> None:
    async with (
        local_node(tmp_path, echo) as node,
        serving(node.host) as served,
        cutting_proxy(served.port, lambda n: 1 if n == 0 else 1 << 30) as url,
        client(url) as broken,
    ):
        ws = await node.host.create(CreateWorkstream())
        accepted = await broken.send(SendMessage(ws_id=ws.id, message="once"))
        seen = await read_turn(node.host, ws.id, ev.EventId(1))

    assert accepted.duplicate
    assert [e.message for e in seen if isinstance(e, ev.MessageAccepted)] == ["once"]


async def test_nothing_at_the_address_is_told_in_a_sentence() -> None:
    async with client("http://127.0.0.1:9") as host:
        with pytest.raises(NodeUnavailable, match="No node answers at http://127.0.0.1:9 "):
            await host.list()


async def test_another_program_at_the_address_is_no_node() -> None:
    with ModelServer(echo) as other:
        async with client(other.base_url.removesuffix("/v1")) as host:
            for attempt in (host.list(), host.health(), read_turn(host, "ffffffff", None)):
                with pytest.raises(NodeUnavailable, match="is not a Turnstone node"):
                    await attempt


async def test_a_wrong_token_and_one_that_may_not_are_told_apart(tmp_path: Path) -> None:
    async with (
        local_node(tmp_path, echo) as node,
        serving(node.host, refusal_delay=0.0) as served,
        client(served.url, "wrong") as stranger,
        client(served.url, None) as nobody,
        client(served.url, READ) as reader,
    ):
        ws = await node.host.create(CreateWorkstream())
        for host in (stranger, nobody):
            for attempt in (host.list(), host.health(), read_turn(host, ws.id, None)):
                with pytest.raises(NotAuthenticated):
                    await attempt
        with pytest.raises(NotPermitted, match="needs full"):
            await reader.send(SendMessage(ws_id=ws.id, message="hello"))
        assert [info.id for info in await reader.list()] == [ws.id]


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://x", "http://", "http:///x", "http://a:b", "redis://x:1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the address of a node"):
        HttpHost(url)


@pytest.mark.parametrize("token", ["two\nlines", "   ", "bell\a"])
def test_a_token_that_cannot_be_one_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="from the file t has characters that no token"):
        HttpHost("http://localhost:8080", token, token_from="the file t")
