"""Streams as they are written to connections: framing, other requests, readers that pause."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from modelserver import text
from support.servers import READ, Served, serving
from turnstone.core.local_host import LocalHost

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

HEAD = f"Host: localhost\r\nAuthorization: Bearer {READ}\r\n"


async def new(node: Served) -> str:
    async with node.client() as client:
        ws_id: str = (await client.post("/api/workstreams/new", json={})).json()["ws_id"]
        return ws_id


async def post(node: Served, path: str, **body: Any) -> None:
    async with node.client() as client:
        (await client.post(path, json=body)).raise_for_status()


async def asking(node: Served, *requests: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1024)
    writer.write("".join(f"{request}\r\n{HEAD}\r\n" for request in requests).encode())
    return reader, writer


async def until(reader: asyncio.StreamReader, wanted: bytes) -> bytes:
    read = b""
    async with asyncio.timeout(PATIENCE):
        while wanted not in read:
            piece = await reader.read(65_536)
            assert piece, read[-1000:]
            read += piece
    return read


async def test_a_reader_of_http_1_0_gets_frames_and_no_chunks(node: Served) -> None:
    ws_id = await new(node)
    reader, writer = await asking(node, f"GET /api/events?ws={ws_id} HTTP/1.0")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert (await reader.readexactly(6)) == b"data: "
    await post(node, "/api/workstreams/close", ws_id=ws_id)
    async with asyncio.timeout(PATIENCE):
        rest = await reader.read()
        while piece := await reader.read():
            rest += piece
    last = rest.removesuffix(b"\n\n").rpartition(b"data: ")[2]
    assert json.loads(last)["type"] == "ws_closed"
    writer.close()


async def test_a_request_behind_a_stream_is_answered_when_that_has_ended(node: Served) -> None:
    ws_id = await new(node)
    reader, writer = await asking(
        node, f"GET /api/events?ws={ws_id} HTTP/1.1", "GET /health HTTP/1.1"
    )
    begun = await until(reader, b'"connected"')
    assert b'"uptime_seconds"' not in begun
    await post(node, "/api/workstreams/close", ws_id=ws_id)
    read = begun + await until(reader, b'"uptime_seconds"')
    stream, _, health = read.partition(b"\r\n0\r\n\r\n")
    assert b'"ws_closed"' in stream
    assert health.startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_reader_that_pauses_in_a_snapshot_is_not_told_that_it_has_all(
    host: LocalHost, model: Any
) -> None:
    """A keep-alive names the place up to which all was sent: one that comes too early would cost
    a reader that is cut off there the rest of the snapshot."""
    model.plan = lambda body: text("x" * 4_000_000, chunk=100_000)
    async with serving(host, keepalive=0.05) as node:
        ws_id = await new(node)
        await post(node, "/api/send", ws_id=ws_id, message="go")
        other, ends = await asking(node, f"GET /api/events?ws={ws_id}&after=1-0 HTTP/1.1")
        await until(other, b'"turn_ended"')

        paused, writer = await asking(node, f"GET /api/events?ws={ws_id} HTTP/1.1")
        await paused.readuntil(b"\r\n\r\n")
        passed = b""
        while passed.count(b": keepalive") < 5:  # to who reads; to the other one it is due as often
            passed += await until(other, b": keepalive")
        snapshot = await until(paused, b": keepalive")

    before, _, _ = snapshot.partition(b": keepalive")
    assert b'"type":"history"' in before
    assert b'"type":"turn_ended"' in before
    for one in (ends, writer):
        one.close()
