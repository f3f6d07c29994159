"""`kill -9` around an answer to a question: it counts once, and nothing of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, text
from support.queue_node import queue_node as started
from support.redis import RedisServer, redis_server
from support.redis_gate import Trap, When, gate_to, load_scripts
from turnstone.mq import AsyncTurnstoneClient

#: Seconds for a state that must come, on a machine that is busy with other tests.
PATIENCE = 45.0

queue_node = partial(started, lease=1.5, grace=0.5)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        load_scripts(running.port)
        yield running


def plan(body: dict[str, Any]) -> Reply:
    # A turn that was resumed has a note behind its results, so all are looked through.
    results = [said["content"] for said in body["messages"] if said["role"] == "tool"]
    if results:
        return text(f"heard: {results[-1]}")
    return calls(call("bash", command="echo effect >> effects; echo ran"))


#: Where it dies: it has read the answer, and not written it down; that is written, and the answer
#: still there; the answer is gone, and it does not know.
DEATHS: list[tuple[str, When]] = [("lindex", "after"), ("lrem", "before"), ("lrem", "after")]


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize(("command", "when"), DEATHS)
async def test_an_answer_counts_once_wherever_its_reader_dies(
    tmp_path: Path, redis: RedisServer, command: str, when: When, approved: bool
) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()

    def on_event(event: Any) -> None:
        if event.type == "approval_request":
            asked.put_nowait(event.correlation_id)

    with ModelServer(plan) as model:
        async with AsyncTurnstoneClient(port=redis.port) as client, gate_to(redis.port) as gate:
            waiting = asyncio.create_task(
                client.send_and_wait("go", auto_approve=False, timeout=PATIENCE, on_event=on_event)
            )
            async with queue_node(tmp_path, model.base_url, gate.port) as node:
                async with asyncio.timeout(PATIENCE):
                    question = await asked.get()
                about = f"resp:{question}".encode()
                told = b'"approve"' if command == "lindex" else b""
                trap = gate.set(Trap(command, when, about=about, told=told, act=node.process.kill))
                await client.approve(question, approved=approved, feedback="rather not")
                await gate.sprung(trap)
                await node.kill()
            async with queue_node(tmp_path, model.base_url, redis.port):
                result = await waiting
                await nobody_waits(redis, question)

    effects = tmp_path / "workspace" / "effects"
    assert result.ok, result
    assert ("ran" in result.content, "rather not" in result.content) == (approved, not approved)
    assert (effects.read_text() if effects.exists() else "") == ("effect\n" if approved else "")


async def nobody_waits(redis: RedisServer, question: str) -> None:
    with redis.client() as connection:
        async with asyncio.timeout(PATIENCE):
            while connection.exists(f"turnstone:resp:{question}"):
                await asyncio.sleep(0.02)  # Redis is the state that is waited for
