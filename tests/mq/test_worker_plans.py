"""Questions of sub-agents and plans, over the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from modelserver.plans import tool_results
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import Node, local_node
from support.teams import Touch, team
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.tool import Tool
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.worker import Worker
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task

WS = "0badc0de"
CONFINED = Confinement(Level.L3, "L3 (for a test)")


@asynccontextmanager
async def node_on(
    broker: MemoryBroker, folder: Path, *tools: Tool, **options: Any
) -> AsyncIterator[Node]:
    """A node that works from the twin in memory."""
    named = {tool.spec.name: tool for tool in (*tools, Plan(), Task())}
    async with local_node(folder, team, tools=named, confinement=CONFINED) as node:
        worker = Worker(node.host, MemoryWork(broker, "n1"), **options)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            yield node
        finally:
            await worker.aclose()
            await running


def asked_for(line: str, **fields: Any) -> bytes:
    """A message for a new workstream in which sub-agents may be started."""
    return message(line, "c1", ws_id=WS, create=True, auto_approve_tools=["task", "plan"], **fields)


def answer(kind: str, request_id: str, **fields: Any) -> bytes:
    """As a client of 0.2 writes it."""
    return json.dumps({"type": kind, "request_id": request_id, "ws_id": WS} | fields).encode()


class Heard:
    """What is published of the workstream, kept for good."""

    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue
        self._all: list[dict[str, Any]] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        while not self._queue.empty():
            self._all.append(json.loads(self._queue.get_nowait()))
        return [event for event in self._all if event["type"] == kind]


async def test_a_plan_is_reviewed_by_a_client_of_the_queue(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe(f"turnstone:events:{WS}") as queue:
        heard = Heard(queue)
        async with node_on(broker, tmp_path) as node:
            broker.send(asked_for("plan [say the plan]; say done"))
            await until(lambda: heard.of("plan_review"))
            [review] = heard.of("plan_review")
            broker.send(answer("plan_feedback", review["correlation_id"], feedback="be brief"))
            await until(lambda: result_in(broker, "c1") is not None)
            read = tool_results(node.model.requests[-1])[-1][1]

    assert review["content"] == "the plan"
    assert "be brief" in read


async def test_a_plan_that_no_client_reviews_in_time_is_not_accepted(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with node_on(broker, tmp_path, approval_timeout=0.3) as node:
        broker.send(asked_for("plan [say the plan]; say done"))
        await until(lambda: result_in(broker, "c1") is not None)
        read = tool_results(node.model.requests[-1])[-1][1]

    assert "Nobody reviewed this plan in time" in read


async def test_a_sender_that_permits_everything_accepts_plans_too(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with node_on(broker, tmp_path, approval_timeout=0) as node:
        broker.send(asked_for("plan [say the plan]; say done", auto_approve=True))
        await until(lambda: result_in(broker, "c1") is not None)
        read = tool_results(node.model.requests[-1])[-1][1]

    assert "Nobody reviewed this plan: it was taken as accepted" in read


async def test_questions_of_two_sub_agents_are_answered_over_the_queue(tmp_path: Path) -> None:
    broker, touch = MemoryBroker(), Touch()
    with broker.subscribe(f"turnstone:events:{WS}") as queue:
        heard = Heard(queue)
        async with node_on(broker, tmp_path, touch) as node:
            broker.send(asked_for("sub [ask one; say 1] & sub [ask two; say 2]; say done"))
            await until(lambda: len(heard.of("approval_request")) == 2)
            for request in reversed(heard.of("approval_request")):
                broker.send(answer("approve", request["correlation_id"], approved=True))
            await touch.runs("one", "two")
            touch.let_go("one")
            touch.let_go("two")
            await until(lambda: result_in(broker, "c1") is not None)
            read = [text for _, text in tool_results(node.model.requests[-1])]

    kept = result_in(broker, "c1")
    assert kept is not None
    assert (kept.outcome, kept.content[-1]) == ("done", "done")
    assert read == ["1", "2"]
