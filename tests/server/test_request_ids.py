"""The id of a request: taken where it can be one, given back, and in every line it causes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from support.held_tools import HeldTool
from support.nodes import local_node
from support.servers import Served, serving
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.logs import JsonLines
from turnstone.server.audit import Audit
from turnstone.server.audit_file import AuditFile

PATIENCE = 60.0
OURS = re.compile("[0-9a-f]{16}")


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What a program would write to its log, as JSON lines."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_an_id_that_can_be_one_is_given_back(node: Served) -> None:
    async with node.client() as client:
        for path in ("/health", "/no/such/path", "/static/nothing"):
            answer = await client.get(path, headers={"x-request-id": "order-66.b_1"})
            assert answer.headers["x-request-id"] == "order-66.b_1", path


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "a\tb", '"', "<script>"])
async def test_one_that_cannot_is_replaced(node: Served, given: str) -> None:
    async with node.client() as client:
        answer = await client.get("/health", headers=[(b"x-request-id", given.encode("latin-1"))])
        assert OURS.fullmatch(answer.headers["x-request-id"])


async def test_two_ids_are_none_and_no_two_of_ours_are_alike(node: Served) -> None:
    async with node.client() as client:
        twice = [("x-request-id", "a"), ("x-request-id", "b")]
        found = {(await client.get("/health", headers=twice)).headers["x-request-id"]}
        found |= {(await client.get("/health")).headers["x-request-id"] for _ in range(5)}
    assert len(found) == 6
    assert all(OURS.fullmatch(one) for one in found)


async def test_what_a_request_logs_has_its_id(
    host: LocalHost, tmp_path: Path, log: StringIO
) -> None:
    blocked = tmp_path / "audit.jsonl"
    blocked.mkdir()
    ws = await host.create(CreateWorkstream())
    async with serving(host, audit=Audit(AuditFile(blocked))) as served, served.client() as client:
        await client.post(
            "/api/cancel",
            json={"ws_id": ws.id, "correlation_id": "c9"},
            headers={"x-request-id": "r7"},
        )
    [line] = [one for one in lines(log) if one["logger"] == "turnstone.server.audit"]
    assert (line["request_id"], line["ws_id"], line["correlation_id"]) == ("r7", ws.id, "c9")


def waiting(body: dict[str, Any]) -> Reply:
    return text("done") if tool_results(body) else calls(call("wait", key="k"))


async def test_what_a_turn_logs_has_its_message_and_not_the_request_that_woke_it(
    tmp_path: Path, log: StringIO
) -> None:
    tool = HeldTool()
    async with local_node(tmp_path, waiting, tools={"wait": tool}) as one:
        ws = await one.host.create(CreateWorkstream())
        async with serving(one.host) as served, served.client() as client:
            for cid in ("c1", "c2"):
                said = {"ws_id": ws.id, "message": "go", "correlation_id": cid}
                await client.post("/api/send", json=said, headers={"x-request-id": f"r-{cid}"})
                await tool.runs("k")
                tool.break_down("k")
                async with asyncio.timeout(PATIENCE):
                    while await one.host.ending(ws.id, cid) is None:
                        await asyncio.sleep(0.01)
    broke = [line for line in lines(log) if "exception" in line]
    assert [line["correlation_id"] for line in broke] == ["c1", "c2"]
    assert {(line["ws_id"], line.get("request_id")) for line in broke} == {(ws.id, None)}
