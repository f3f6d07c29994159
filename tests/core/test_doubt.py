"""A write whose answer is lost: never deleted, never done twice, and taken up by its owner.

A PostgreSQL behind a proxy that loses the answers to commits; other nodes reach it directly.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelserver import ModelServer, Plan, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.held_tools import HeldTool
from support.nodes import start_host
from support.postgres import PostgresServer
from support.proxy import Proxy, proxy_to
from support.stores import UnsteadyStore
from turnstone.core import events as ev
from turnstone.core import journal, workstream
from turnstone.core.errors import NotOwner, UnknownWorkstream, Unsettled
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store import SqliteStore, Store, WorkstreamRow
from turnstone.core.store.postgres import PostgresStore

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

#: As it goes over the wire: asked for, before it is prepared (the words of BEGIN hold it too), and
#: answered.
COMMIT, COMMITTED = b"COMMIT\0", b"C\0\0\0\x0bCOMMIT\0"

#: Answers to lose: all, until it is said otherwise.
ALL = 1_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times, not behaviours."""
    monkeypatch.setattr(PostgresStore, "settling", 0.3)
    monkeypatch.setattr(journal, "ASK", 0.05)
    monkeypatch.setattr(workstream, "RETRY", 0.05)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.database()


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with proxy_to("127.0.0.1", urlsplit(url).port or 0) as proxy:
        yield proxy


@pytest.fixture
async def open_later() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def through(proxy: Proxy, url: str) -> str:
    return f"postgresql://tester@127.0.0.1:{proxy.port}{urlsplit(url).path}"


async def node(stack: AsyncExitStack, folder: Path, plan: Plan, url: str = "") -> LocalHost:
    model = stack.enter_context(ModelServer(plan))
    host = await start_host(folder, model.base_url, url=url, node_id=folder.name)
    stack.push_async_callback(host.aclose)
    return host


async def beside(stack: AsyncExitStack, url: str) -> Store:
    """The same store, as another process has it."""
    store = await PostgresStore.open(url)
    stack.push_async_callback(store.aclose)
    return store


async def ended(host: LocalHost, ws_id: str, correlation_id: str) -> ev.TurnEnded:
    async with asyncio.timeout(PATIENCE):
        while (ending := await host.ending(ws_id, correlation_id)) is None:
            await asyncio.sleep(0.01)
    return ending


async def stands_still(host: LocalHost, ws_id: str) -> None:
    """Until its turn does: what it has written last is in doubt."""
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id):
            if isinstance(event, ev.Error):
                return
    raise AssertionError("it goes on")


def message(ws_id: str, correlation_id: str) -> SendMessage:
    return SendMessage(ws_id=ws_id, message=f"do {correlation_id}", correlation_id=correlation_id)


async def test_a_message_in_doubt_that_another_node_answers_for_is_run_by_its_owner(
    tmp_path: Path, url: str, proxy: Proxy, open_later: AsyncExitStack
) -> None:
    one = await node(open_later, tmp_path / "one", echo, through(proxy, url))
    two = await node(open_later, tmp_path / "two", echo, url)
    here, also_here = [(await one.create(CreateWorkstream())).id for _ in range(2)]
    there = (await two.create(CreateWorkstream())).id
    proxy.lose(ALL, told=COMMITTED)
    with pytest.raises(Unsettled, match="not known yet"):
        await one.send(message(here, "c1"))
    answered = await two.send(message(there, "c1"))
    with pytest.raises(Unsettled):
        await one.ending(here, "c1")
    proxy.lose(0)
    answered_here = await one.send(message(also_here, "c1"))

    assert (answered.duplicate, answered.ws_id) == (True, here)
    assert (answered_here.duplicate, answered_here.ws_id) == (True, here)
    store = await beside(open_later, url)
    async with asyncio.timeout(PATIENCE):  # it is run, though its own node is asked for nothing
        while (ending := await store.ending(here, "c1")) is None:
            await asyncio.sleep(0.01)
    assert ending.text == "do c1"
    await one.send(message(here, "c2"))
    await ended(one, here, "c2")
    records = await store.records(here)
    kept = [r.correlation_id for r in records if isinstance(r, ev.MessageAccepted)]
    assert kept == ["c1", "c2"]


async def test_a_step_in_doubt_is_recorded_once_and_the_model_asked_once(
    tmp_path: Path,
    url: str,
    proxy: Proxy,
    open_later: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "ASK", PATIENCE)  # so that it is the turn that comes first
    gate = threading.Event()
    model = open_later.enter_context(ModelServer(lambda body: hold(text("42"), gate)))
    host = await start_host(tmp_path / "one", model.base_url, url=through(proxy, url))
    open_later.push_async_callback(host.aclose)
    ws_id = (await host.create(CreateWorkstream())).id
    await host.send(message(ws_id, "c1"))
    async with asyncio.timeout(PATIENCE):
        while not model.requests:
            await asyncio.sleep(0.01)
        proxy.lose(ALL, told=COMMITTED)
        gate.set()
        await stands_still(host, ws_id)
    proxy.lose(0)

    store = await beside(open_later, url)
    async with asyncio.timeout(PATIENCE):
        while (ending := await store.ending(ws_id, "c1")) is None:
            await asyncio.sleep(0.01)
    assert ending.text == "42"
    kinds = [r.type for r in await store.records(ws_id)]
    assert kinds.count("step_finished") == kinds.count("turn_ended") == 1
    assert len(model.requests) == 1


async def test_what_a_tool_has_done_is_known_though_the_answer_to_its_record_was_lost(
    tmp_path: Path, url: str, proxy: Proxy, open_later: AsyncExitStack
) -> None:
    tool = HeldTool()
    model = open_later.enter_context(
        ModelServer(
            lambda body: text("done") if tool_results(body) else calls(call("wait", key="k"))
        )
    )
    host = await start_host(
        tmp_path / "one", model.base_url, url=through(proxy, url), tools={"wait": tool}
    )
    open_later.push_async_callback(host.aclose)
    ws_id = (await host.create(CreateWorkstream())).id
    await host.send(message(ws_id, "c1"))
    await tool.runs("k")
    proxy.lose(ALL, told=COMMITTED)
    tool.let_go("k")
    await stands_still(host, ws_id)
    proxy.lose(0)

    await ended(host, ws_id, "c1")
    records = await (await beside(open_later, url)).records(ws_id)
    [finished] = [r for r in records if isinstance(r, ev.ToolFinished)]
    assert (finished.status, finished.output) == ("ok", "result of k")


async def test_a_message_that_did_not_reach_the_store_may_be_sent_again_and_is_run(
    tmp_path: Path, url: str, proxy: Proxy, open_later: AsyncExitStack
) -> None:
    host = await node(open_later, tmp_path / "one", echo, through(proxy, url))
    ws_id = (await host.create(CreateWorkstream())).id
    proxy.lose(ALL, to=COMMIT, arrives=False)
    with pytest.raises(Unsettled):
        await host.send(message(ws_id, "c1"))
    proxy.lose(0)

    assert not (await host.send(message(ws_id, "c1"))).duplicate
    assert (await ended(host, ws_id, "c1")).text == "do c1"


async def test_a_node_that_stops_while_it_is_in_doubt_leaves_the_message_to_the_next(
    tmp_path: Path, url: str, proxy: Proxy, open_later: AsyncExitStack
) -> None:
    async with AsyncExitStack() as first:
        host = await node(first, tmp_path / "one", echo, through(proxy, url))
        ws_id = (await host.create(CreateWorkstream())).id
        proxy.lose(ALL, told=COMMITTED)
        with pytest.raises(Unsettled):
            await host.send(message(ws_id, "c1"))
    again = await node(open_later, tmp_path / "one", echo, url)

    assert (await ended(again, ws_id, "c1")).text == "do c1"


async def test_a_node_that_stops_while_it_does_not_know_of_an_ending_adds_nothing_to_it(
    tmp_path: Path,
    url: str,
    proxy: Proxy,
    open_later: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, name in ((journal, "ASK"), (workstream, "RETRY")):
        monkeypatch.setattr(module, name, PATIENCE)
    async with AsyncExitStack() as first:
        host = await node(first, tmp_path / "one", echo, through(proxy, url))
        ws_id = (await host.create(CreateWorkstream())).id
        proxy.lose(ALL, told=COMMITTED, after=b"turn_ended")
        await host.send(message(ws_id, "c1"))
        await stands_still(host, ws_id)
        proxy.lose(0)

    kinds = [r.type for r in await (await beside(open_later, url)).records(ws_id)]
    assert kinds[-2:] == ["step_finished", "turn_ended"]


async def test_a_turn_is_taken_up_though_the_answer_to_the_taking_over_was_lost(
    tmp_path: Path, url: str, proxy: Proxy, open_later: AsyncExitStack
) -> None:
    store = await beside(open_later, url)
    workspace = str(tmp_path)
    row = WorkstreamRow(ws_id="aaaa0001", session_id="s", created=1.0, owner="one", epoch=1)
    await store.create(row, ev.WsCreated(workspace=workspace))
    accepted = ev.MessageAccepted(message="left", correlation_id="c1")
    await store.append(row.ws_id, 1, [accepted])
    proxy.lose(ALL, told=COMMITTED, after=b"UPDATE workstream SET")
    starting = asyncio.create_task(
        node(open_later, tmp_path / "one", echo, through(proxy, url)), name="start"
    )
    async with asyncio.timeout(PATIENCE):
        while (found := await store.row(row.ws_id)) is None or found.epoch == 1:
            await asyncio.sleep(0.01)
        proxy.lose(0)
        host = await starting

    assert (await ended(host, row.ws_id, "c1")).text == "left"
    await host.send(message(row.ws_id, "c2"))
    assert (await ended(host, row.ws_id, "c2")).text == "do c2"


async def test_a_node_goes_on_where_only_the_epoch_of_its_own_row_has_changed(
    tmp_path: Path, open_later: AsyncExitStack
) -> None:
    host = await node(open_later, tmp_path, echo)
    ws_id = (await host.create(CreateWorkstream())).id
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    open_later.push_async_callback(store.aclose)
    await store.acquire(ws_id, host.node_id)  # what an acquire leaves whose answer is lost

    await host.send(message(ws_id, "c1"))

    assert (await ended(host, ws_id, "c1")).text == "do c1"


async def test_a_workstream_that_another_node_has_taken_over_is_let_go_of(
    tmp_path: Path, open_later: AsyncExitStack
) -> None:
    gate = threading.Event()
    host = await node(open_later, tmp_path, lambda body: hold(text("late"), gate))
    ws_id = (await host.create(CreateWorkstream())).id
    await host.send(message(ws_id, "c1"))
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    open_later.push_async_callback(store.aclose)
    taken = await store.acquire(ws_id, "other")
    with pytest.raises(NotOwner):
        await host.send(message(ws_id, "c2"))
    gate.set()
    async with asyncio.timeout(PATIENCE):
        while (await host.health()).awake:
            await asyncio.sleep(0.01)
            with pytest.raises((NotOwner, UnknownWorkstream)):
                await host.send(message(ws_id, "c3"))

    with pytest.raises(UnknownWorkstream):
        await host.send(message(ws_id, "c4"))
    await store.append(ws_id, taken.epoch, [ev.TurnEnded(correlation_id="c1")])


async def test_what_cannot_be_taken_over_when_a_node_starts_is_taken_over_later(
    tmp_path: Path, open_later: AsyncExitStack
) -> None:
    async with AsyncExitStack() as first:
        await (await node(first, tmp_path, echo)).create(CreateWorkstream(ws_id="aaaa0001"))
    store = await SqliteStore.open(tmp_path / "turnstone.db")
    open_later.push_async_callback(store.aclose)
    accepted = ev.MessageAccepted(message="left", correlation_id="c1")
    await store.append("aaaa0001", 1, [accepted])

    class Locked(UnsteadyStore):
        left = 2

        async def row(self, ws_id: str) -> WorkstreamRow | None:
            if Locked.left:
                Locked.left -= 1
                raise Unsettled("The store is locked.")
            return await super().row(ws_id)

    model = open_later.enter_context(ModelServer(echo))
    host = await start_host(tmp_path, model.base_url, store=Locked, node_id=tmp_path.name)
    open_later.push_async_callback(host.aclose)
    await host.sweep()
    await host.sweep()

    assert (await ended(host, "aaaa0001", "c1")).text == "left"
