"""Workers and labels: work reaches the node that has them; a node that is stuck loses its work."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver.plans import echo
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from support.queues import send
from support.redis import redis_server
from support.workers import working_node
from turnstone.core.config import load_settings
from turnstone.core.errors import ConfigurationError
from turnstone.core.host import CreateWorkstream, Host
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.worker import Worker
from turnstone.mq.worker_start import labels_of


@asynccontextmanager
async def working(host: Host, work: MemoryWork, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(host, work, **options)
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await worker.ready.wait()
        yield worker
    finally:
        await worker.aclose()
        await running


async def test_a_client_reaches_the_node_with_the_labels_that_it_requires(tmp_path: Path) -> None:
    with redis_server() as redis:
        address = redis.address
        async with (
            working_node(tmp_path / "a", echo, address, "a") as plain,
            working_node(tmp_path / "b", echo, address, "b", work={"labels": ("gpu=x",)}) as big,
            AsyncTurnstoneClient(host="127.0.0.1", port=redis.port) as client,
        ):
            sent = [client.send_and_wait(f"m{n}", requires=["gpu"]) for n in range(4)]
            free = client.send_and_wait("free")
            results = await asyncio.gather(*sent, free)
            # Its workstream is open now: what follows asks for nothing any more.
            again = await client.send_and_wait("m9", ws_id=results[0].ws_id, requires=["tpu"])

    assert [one.content for one in results] == ["m0", "m1", "m2", "m3", "free"]
    assert again.content == "m9"
    assert len(big.model.requests) >= 5
    assert len(plain.model.requests) + len(big.model.requests) == 6


async def test_a_message_sent_to_a_node_that_lacks_what_it_requires_is_refused(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with (
        local_node(tmp_path, echo) as node,
        working(node.host, MemoryWork(broker, "n1", labels=("arm",))),
    ):
        broker.send(message("go", "c1", requires=["arm", "gpu"]), "n1")
        broker.send(message("go", "c2", requires=["arm"], target_node="n1"))
        info = await node.host.create(CreateWorkstream())
        await until(lambda: broker.owners.get(info.id) == "n1")
        broker.send(message("go", "c3", requires=["gpu"], ws_id=info.id), "n1")
        await until(lambda: all(result_in(broker, cid) for cid in ("c1", "c2", "c3")))

    refused = result_in(broker, "c1")
    assert refused is not None
    assert refused.outcome == "refused"
    assert refused.errors == ["Node n1 lacks what this message requires: gpu."]
    others = [result_in(broker, cid) for cid in ("c2", "c3")]
    assert [one.outcome for one in others if one] == ["done", "done"]


async def test_the_heartbeat_says_what_the_node_is(tmp_path: Path) -> None:
    broker = MemoryBroker()
    facts: dict[str, object] = {"server_url": "http://n", "models": ["m"], "sandbox": "L3"}
    async with (
        local_node(tmp_path, echo) as node,
        working(
            node.host,
            MemoryWork(broker, "n1", labels=("gpu=x",)),
            metadata=facts,
            state=tmp_path,
            beat_every=0.05,
        ),
    ):

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(broker.heartbeats["n1"][1])
            return found

        broker.send(message("hello", "c1"))
        await until(lambda: result_in(broker, "c1") is not None)
        await until(lambda: shown()["tokens_per_second"] > 0)
        found = shown()

    assert {name: found[name] for name in facts} == facts
    assert found["labels"] == ["gpu=x"]
    assert (found["capacity"], found["slots"], found["free"] <= 8) == (8, 8, True)
    assert found["started"] == found["started_at"]
    assert found["disk_free"] > 0
    assert {"version", "boot", "beats", "cpus"} <= found.keys()
    assert 0 < found.get("memory_available", 1) <= found.get("memory_total", 1)


async def test_a_node_whose_loop_is_stuck_loses_its_lease_and_another_takes_its_work(
    tmp_path: Path,
) -> None:
    stuck, go_on = threading.Event(), threading.Event()
    short = {"lease": 0.6, "grace": 0.2}

    with redis_server() as redis:
        address = redis.address

        async def until_stuck() -> None:
            async with working_node(
                tmp_path / "a", echo, address, "a", work=short, beat_every=0.2, slots=1
            ):
                stuck.set()
                go_on.wait(PATIENCE)  # the loop that works does not move

        thread = threading.Thread(target=lambda: asyncio.run(until_stuck()))
        thread.start()
        try:
            assert await asyncio.to_thread(stuck.wait, PATIENCE)
            with redis.client() as raw:
                raw.rpush("turnstone:x:ps:a|" + boot_of(raw), send("c1", "left behind"))
                async with (
                    working_node(
                        tmp_path / "b", echo, address, "b", work=short, beat_every=0.2
                    ) as b,
                    AsyncTurnstoneClient(host="127.0.0.1", port=redis.port) as client,
                ):
                    async with asyncio.timeout(PATIENCE):
                        while (result := await client.result("c1")) is None:
                            await asyncio.sleep(0.02)
                    requests = len(b.model.requests)
        finally:
            go_on.set()
            await asyncio.to_thread(thread.join)

    assert (result.content, requests) == ("left behind", 1)


def boot_of(raw: Any) -> str:
    (member,) = raw.zrange("turnstone:x:alive", 0, -1)
    return str(member.decode().partition("|")[2])


def test_a_label_that_no_message_could_ask_for_is_refused_at_the_start(tmp_path: Path) -> None:
    def labels(*values: str) -> tuple[str, ...]:
        flags = {"node.labels": list(values)}
        return labels_of(load_settings("turnstone-server", flags=flags, env={}, home=tmp_path))

    assert labels("gpu=a100", "arm", "arm") == ("gpu=a100", "arm")
    with pytest.raises(ConfigurationError, match="'two words' is no label"):
        labels("two words")


@pytest.mark.parametrize(
    ("requires", "error"), [("gpu", TypeError), (["a b"], ValueError), (["x"] * 17, ValueError)]
)
async def test_a_client_is_told_at_once_of_labels_that_are_none(requires: Any, error: Any) -> None:
    async with AsyncTurnstoneClient(host="127.0.0.1", port=1) as client:
        with pytest.raises(error, match="requires"):
            await client.send("go", requires=requires)
