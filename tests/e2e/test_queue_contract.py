"""Every type of message, as a client sends it that was written from the contract alone (0.5, 3
and 4): with redis-py and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserver.plans import shell
from support.redis import RedisServer, redis_server
from support.teams import team
from support.workers import working_node
from turnstone.core.sandbox import Confinement, Level
from turnstone.tools.plan import Plan
from turnstone.tools.task import Task

#: Seconds for an event, on a machine that is busy with other tests.
PATIENCE = 40.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Peer:
    """A client of 0.2. It hears everything that is published, from its first moment on."""

    def __init__(self, redis: RedisServer) -> None:
        self._connection = redis.client()
        self._channel = self._connection.pubsub()
        self._channel.psubscribe("turnstone:events:*")
        self._heard: list[tuple[str, dict[str, Any]]] = []
        self._sent = 0

    def close(self) -> None:
        self._channel.close()
        self._connection.close()

    def push(self, kind: str, **fields: Any) -> str:
        """Into the shared list; its correlation id."""
        self._sent += 1
        cid = f"{self._sent:012x}"
        message = {"type": kind, "correlation_id": cid, "timestamp": time.time()} | fields
        self._connection.rpush("turnstone:inbound", json.dumps(message))
        return cid

    def answer(self, kind: str, request_id: str, **fields: Any) -> None:
        message = {"type": kind, "correlation_id": "", "timestamp": time.time()}
        message |= {"request_id": request_id} | fields
        self._connection.rpush(f"turnstone:resp:{request_id}", json.dumps(message))

    def event(self, kind: str, cid: str = "", channel: str = "") -> dict[str, Any]:
        """The first event of this kind for this message, on this channel."""
        deadline = time.monotonic() + PATIENCE
        looked = 0
        while True:
            for there, event in self._heard[looked:]:
                on = not channel or there == f"turnstone:events:{channel}"
                if on and event["type"] == kind and cid in {"", event["correlation_id"]}:
                    return event
            looked = len(self._heard)
            assert time.monotonic() < deadline, f"no {kind} came; there were {self._heard}"
            got = self._channel.get_message(timeout=1.0)
            if got is not None and got["type"] == "pmessage":
                self._heard.append((got["channel"].decode(), json.loads(got["data"])))


def talk(redis: RedisServer) -> dict[str, Any]:
    peer = Peer(redis)
    told: dict[str, Any] = {}
    try:
        made = peer.event("ws_created", peer.push("create_workstream", name="logs"), "global")
        ws_id, told["name"] = made["ws_id"], made["name"]
        cid = peer.push("send", ws_id=ws_id, message="run: echo effect", auto_approve=False)
        told["sent"] = peer.event("ack", cid, ws_id)["status"]
        question = peer.event("approval_request", channel=ws_id)
        peer.answer("approve", question["correlation_id"], ws_id=ws_id, approved=True)
        told["gave"] = peer.event("tool_result", channel=ws_id)["output"]
        peer.event("turn_complete", cid, ws_id)

        told["command"] = peer.event(
            "ack", peer.push("command", ws_id=ws_id, command="/help"), ws_id
        )
        listed = peer.event("ws_list", peer.push("list_workstreams"), "global")
        told["listed"] = [one["id"] == ws_id for one in listed["workstreams"]]
        told["health"] = peer.event("health_response", peer.push("health"), "global")["data"]
        nodes = peer.event("node_list", peer.push("list_nodes"), "global")["nodes"]
        told["nodes"] = [node["node_id"] for node in nodes]
        told["closed"] = peer.event("ack", peer.push("close_workstream", ws_id=ws_id), ws_id)
        peer.event("ws_closed", channel="global")
    finally:
        peer.close()
    return told


async def test_each_message_of_the_contract_gets_the_events_of_the_contract(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with working_node(tmp_path, shell, redis.address, "n1"):
        told = await asyncio.to_thread(talk, redis)

    assert (told["name"], told["sent"]) == ("logs", "ok")
    assert "effect" in told["gave"]
    assert told["command"]["status"] == told["closed"]["status"] == "ok"
    assert "/help" in told["command"]["detail"]
    assert told["listed"] == [True]
    assert told["health"]["status"] == "ok"
    assert told["nodes"] == ["n1"]


def review(redis: RedisServer) -> tuple[str, str]:
    """What a plan says, and what the turn ends with once somebody has remarked on it."""
    peer = Peer(redis)
    try:
        cid = peer.push(
            "send",
            message="plan [say the plan]; say done",
            auto_approve=False,
            auto_approve_tools=["plan"],
        )
        plan = peer.event("plan_review")
        peer.answer("plan_feedback", plan["correlation_id"], ws_id=plan["ws_id"], feedback="")
        ended = peer.event("turn_complete", cid, plan["ws_id"])
        return plan["content"], ended["outcome"]
    finally:
        peer.close()


async def test_a_plan_is_reviewed_by_a_client_of_the_contract(
    tmp_path: Path, redis: RedisServer
) -> None:
    engine = {
        "tools": {tool.spec.name: tool for tool in (Plan(), Task())},
        "confinement": Confinement(Level.L3, "L3 (for a test)"),
    }
    async with working_node(tmp_path, team, redis.address, "n1", engine=engine):
        content, outcome = await asyncio.to_thread(review, redis)

    assert content == "the plan"
    assert outcome == "done"
