"""A correlation id that the node knows already, under another text: refused, and its sender told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from modelserver.plans import echo, last_user_text
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core.host import CreateWorkstream
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.worker import Worker


async def test_another_text_under_a_used_correlation_id_is_refused_to_its_sender(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "the first", "c1")
        await ending(node.host, ws.id, "c1")
        worker = Worker(node.host, MemoryWork(broker, "n1"))
        running = asyncio.create_task(worker.run())
        with broker.subscribe(f"turnstone:events:{ws.id}") as heard:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            broker.send(message("another", "c1", ws_id=ws.id))
            await until(lambda: result_in(broker, "c1") is not None)
        await worker.aclose()
        await running
        asked = [last_user_text(body) for body in node.model.requests]

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.outcome == "refused"
    assert "'c1' was used for another message" in kept.errors[0]
    told = [json.loads(heard.get_nowait()) for _ in range(heard.qsize())]
    acks = [event for event in told if event["type"] == "ack"]
    assert [ack["status"] for ack in acks] == ["error"]
    assert f"in workstream {ws.id}" in acks[0]["detail"]
    assert asked == ["the first"]
