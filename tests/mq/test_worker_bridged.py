"""A worker before a server over HTTP whose replies are lost: a second try finds the first."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from modelserver.plans import echo, last_user_text
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from support.proxy import proxy_to
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.worker import Worker

#: Replies to be lost of one call: the client of the server sends it once more by itself, and only
#: when that is in vain does its worker learn that the node did not answer.
BOTH = 2


@pytest.mark.parametrize("proposed", [{}, {"new_ws_id": "0123abcd"}], ids=["derived", "proposed"])
@pytest.mark.parametrize("call", ["workstreams/new", "send"])
async def test_a_message_whose_node_did_it_and_did_not_answer_has_one_workstream_and_one_result(
    tmp_path: Path, call: str, proposed: dict[str, str]
) -> None:
    broker = MemoryBroker()
    async with (
        local_node(tmp_path, echo) as node,
        serving(node.host) as served,
        proxy_to("127.0.0.1", served.port) as proxy,
    ):
        host = HttpHost(f"http://127.0.0.1:{proxy.port}", FULL)
        worker = Worker(host, MemoryWork(broker, "n1"), in_process=False)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        proxy.lose(BOTH, to=f"POST /api/{call} ".encode())
        broker.send(message("go", "c1", **proposed))
        await until(lambda: result_in(broker, "c1") is not None)
        made = [info.id for info in await node.host.list()]
        asked = [last_user_text(body) for body in node.model.requests]
        await worker.aclose()
        await running
        await host.aclose()

    found = result_in(broker, "c1")
    assert found is not None
    assert proxy.lost == BOTH
    assert (found.outcome, found.content) == ("done", ["go"])
    assert made == [found.ws_id]
    assert asked == ["go"]
    assert broker.inflight.get("n1", {}) == {}


async def test_a_server_that_stands_still_is_as_one_that_is_gone_and_others_do_its_shared_work(
    tmp_path: Path,
) -> None:
    broker, names = MemoryBroker(), [f"c{n}" for n in range(12)]
    async with (
        local_node(tmp_path / "one", echo) as behind,
        local_node(tmp_path / "two", echo) as other,
        serving(behind.host) as served,
        proxy_to("127.0.0.1", served.port) as proxy,
    ):
        host = HttpHost(f"http://127.0.0.1:{proxy.port}", FULL)
        works = [MemoryWork(broker, name, lease=1.5) for name in ("n1", "n2")]
        bridge = Worker(host, works[0], in_process=False, beat_every=0.5)
        beside = Worker(other.host, works[1], beat_every=0.5)
        running = [asyncio.create_task(bridge.run())]
        async with asyncio.timeout(PATIENCE):
            await bridge.ready.wait()
        proxy.stand_still()
        for name in names:  # the bridge takes some, and is alone
            broker.send(message(name, name))
        await until(lambda: broker.alive(works[0].incarnation) is None)
        running.append(asyncio.create_task(beside.run()))
        await until(lambda: all(result_in(broker, name) for name in names))
        proxy.move()
        await until(lambda: broker.alive(works[0].incarnation) is not None)
        broker.send(message("for the bridge", "c12"), "n1")
        await until(lambda: result_in(broker, "c12") is not None)
        for worker in (bridge, beside):
            await worker.aclose()
        await asyncio.gather(*running)
        await host.aclose()

    asked = [last_user_text(body) for body in other.model.requests]
    assert sorted(asked) == sorted(names)
    assert [last_user_text(body) for body in behind.model.requests] == ["for the bridge"]


async def test_a_server_that_is_away_is_told_once_and_so_is_that_it_answers_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.close()
        await writer.wait_closed()

    away = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = away.sockets[0].getsockname()[1]
    host = HttpHost(f"http://127.0.0.1:{port}", FULL)
    worker = Worker(host, MemoryWork(MemoryBroker(), "n1"))
    with caplog.at_level(logging.WARNING, "turnstone.mq"):
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            while asked < 5:  # the client asks twice before it says so
                await asyncio.sleep(0.05)  # how often it was asked is the state
        away.close()
        await away.wait_closed()
        async with local_node(tmp_path, echo) as node, serving(node.host, port=port):
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            await worker.aclose()
            await running
        await host.aclose()

    told = [record.getMessage() for record in caplog.records]
    assert sum("waits for its node" in line for line in told) == 1, told
    assert told.count("the node answers its worker again") == 1, told
