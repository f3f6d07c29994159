"""What the model and the journal are told of who has answered a question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, text
from support.nodes import local_node
from support.servers import APPROVE, FULL, serving
from support.watching import ending, until
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.server.auth import Auth, Token


@pytest.mark.parametrize(
    ("name", "who"), [("local", "the user"), ("configured", "the user"), ("ann", "ann")]
)
async def test_who_refuses_is_named_as_a_person_would(tmp_path: Path, name: str, who: str) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if "refused it" in str(body["messages"]):
            return text("so be it")
        return calls(call("write_file", path="a.txt", content="x"))

    auth = Auth([Token(FULL, "full", name)])
    async with local_node(tmp_path, plan) as node, serving(node.host, auth=auth) as served:
        ws = await node.host.create(CreateWorkstream())
        await node.host.send(SendMessage(ws_id=ws.id, message="write", correlation_id="c1"))
        await until(node.host, ws.id, ev.ApprovalAsked)
        async with served.client() as client:
            await client.post("/api/approve", json={"ws_id": ws.id, "approved": False})
        finished, _ = await until(node.host, ws.id, ev.ToolFinished)
        assert (await ending(node.host, ws.id, "c1")).text == "so be it"

    assert finished.output.startswith(f"Not run: {who} refused it.")


async def test_to_change_a_call_is_for_those_who_may_say_what_is_done(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return text(str(last["content"]))
        return calls(call("bash", command="echo first"))

    async with local_node(tmp_path, plan) as node, serving(node.host) as served:
        ws = await node.host.create(CreateWorkstream())
        await node.host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="c1"))
        asked, _ = await until(node.host, ws.id, ev.ApprovalAsked)
        edited = {asked.items[0].call_id: {"command": "echo second"}}
        body: dict[str, Any] = {
            "ws_id": ws.id,
            "request_id": asked.request_id,
            "edited": edited,
        }
        async with served.client(APPROVE) as client:
            refused = await client.post("/api/approve", json=body)
            assert refused.status_code == 403 and "changes no call" in refused.text
        host = HttpHost(served.url, FULL)
        await host.approve(Answer(ws_id=ws.id, request_id=asked.request_id, edited=edited))
        again = asked
        async for event in host.follow(ws.id):
            if isinstance(event, ev.ApprovalAsked) and event.request_id != asked.request_id:
                again = event
                break
        assert again.items[0].preview == "echo second"
        async with served.client(APPROVE) as client:
            body = {"ws_id": ws.id, "request_id": again.request_id, "approved": True}
            assert (await client.post("/api/approve", json=body)).status_code == 200
        assert "second" in (await ending(node.host, ws.id, "c1")).text
        await host.aclose()
