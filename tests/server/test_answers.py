"""Who may answer a question over HTTP, and what an answer is bound to there."""

from __future__ import annotations

import asyncio
from typing import Any

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from support.servers import APPROVE, FULL, READ, Served
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost

PATIENCE = 60.0


def touching(body: dict[str, Any]) -> Reply:
    if tool_results(body):
        return text("done")
    return calls(call("bash", command="touch done"))


async def asked(host: LocalHost, ws_id: str) -> ev.ApprovalAsked:
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, ev.EventId(1)):
            if isinstance(event, ev.ApprovalAsked):
                return event
    raise AssertionError("nothing was asked")


async def test_an_answer_of_who_may_only_read_leaves_the_question_open(
    host: LocalHost, node: Served, model: Any
) -> None:
    model.plan = touching
    ws = await host.create(CreateWorkstream())
    sent = await host.send(SendMessage(ws_id=ws.id, message="go"))
    question = await asked(host, ws.id)
    yes = {"ws_id": ws.id, "request_id": question.request_id, "approved": True, "always": True}

    for token, status in ((None, 401), ("wrong", 401), (READ, 403)):
        async with node.client(token) as client:
            assert (await client.post("/api/approve", json=yes)).status_code == status
    assert await host.ending(ws.id, sent.correlation_id) is None
    assert not (host.engine.workspace / "done").exists()
    assert (await host.policy(ws.id)).grants == []

    async with node.client(APPROVE) as client:
        assert (await client.post("/api/approve", json=yes)).status_code == 200
        assert (await client.post("/api/approve", json=yes)).status_code == 409


async def test_a_permission_for_a_command_is_listed_and_revoked_over_http(
    host: LocalHost, node: Served, model: Any
) -> None:
    model.plan = touching
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="go"))
    question = await asked(host, ws.id)
    body = {"ws_id": ws.id, "request_id": question.request_id, "approved": True, "always": True}
    async with node.client(FULL) as client:
        await client.post("/api/approve", json=body)
        [granted] = (await client.get("/api/policy", params={"ws_id": ws.id})).json()["grants"]
        assert granted["command"] == "touch done"

        confined = granted["confined"]
        assert confined.endswith(" without network")
        other = {"ws_id": ws.id, "tool": "bash", "command": "touch  done", "confined": confined}
        revoked = await client.post("/api/policy/revoke", json=other)
        assert revoked.json()["revoked"] is False
        revoked = await client.post("/api/policy/revoke", json={**other, "command": "touch done"})
        assert revoked.json()["revoked"] is True
    assert (await host.policy(ws.id)).grants == []
