"""A correlation id that the node knows already: another text is refused, and its sender told; the
same text gets the whole result, also of what never came to the queue."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from modelserver import Reply, call, calls, text
from modelserver.plans import echo, last_user_text, tool_results
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


async def test_a_result_is_made_whole_from_the_journal_where_its_events_never_came_to_the_queue(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("the answer")
        return calls(call("read_file", path="there"), text="first a look")

    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/there").write_text("what is in it")
    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        # As a worker did whose process was killed just then: nobody has carried its events.
        await send(node.host, ws.id, "go", "c1")
        await ending(node.host, ws.id, "c1")
        worker = Worker(node.host, MemoryWork(broker, "n1"))
        running = asyncio.create_task(worker.run())
        broker.send(message("go", "c1", ws_id=ws.id))
        await until(lambda: result_in(broker, "c1") is not None)
        await worker.aclose()
        await running

    kept = result_in(broker, "c1")
    assert kept is not None
    assert kept.content == ["first a look", "the answer"]
    [(name, output)] = kept.tool_results
    assert (name, "what is in it" in output) == ("read_file", True)
