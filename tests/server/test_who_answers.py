"""What the model and the journal are told of who has answered a question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, text
from support.nodes import local_node
from support.servers import FULL, serving
from support.watching import ending, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
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
