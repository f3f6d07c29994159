"""Bytes that no HTTP client sends, sent slowly, in one piece, by half, or not at all."""

from __future__ import annotations

import asyncio
import json

import pytest

from support.raw import exchange
from support.servers import FULL, Served, serving
from turnstone.core.local_host import LocalHost
from turnstone.server.connection import MAX_HEAD
from turnstone.server.requests import MAX_BODY

HEAD = f"Host: localhost\r\nAuthorization: Bearer {FULL}\r\n"
LAST = f"{HEAD}Connection: close\r\n\r\n"


async def test_requests_in_one_piece_are_answered_one_after_the_other(node: Served) -> None:
    head, rest = await exchange(
        node.port,
        f"GET /health HTTP/1.1\r\n{HEAD}\r\n"
        f"POST /api/workstreams/new HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}"
        f"GET /nowhere HTTP/1.1\r\n{HEAD}\r\n"
        f"GET /api/workstreams HTTP/1.1\r\n{LAST}",
    )
    answers = [head, *rest.decode().split("HTTP/1.1 ")[1:]]
    assert [answer.removeprefix("HTTP/1.1 ")[:3] for answer in answers] == [
        "200",
        "200",
        "404",
        "200",
    ]


async def test_who_has_sent_all_and_sends_no_more_gets_its_answer(node: Served) -> None:
    body = json.dumps({"name": "half"})
    head, rest = await exchange(
        node.port,
        f"POST /api/workstreams/new HTTP/1.1\r\n{HEAD}Content-Length: {len(body)}\r\n\r\n{body}",
        half_close=True,
    )
    assert head.startswith("HTTP/1.1 200 ")
    assert json.loads(rest)["name"] == "half"


async def test_a_body_that_is_cut_off_changes_nothing(node: Served) -> None:
    async with node.client() as client:
        before = (await client.get("/api/workstreams")).json()
        await exchange(
            node.port,
            f"POST /api/workstreams/new HTTP/1.1\r\n{HEAD}Content-Length: 20\r\n\r\n{{",
            half_close=True,
        )
        assert (await client.get("/api/workstreams")).json() == before


NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"hello\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n Folded: x\r\nBad Name: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
    + b"x" * (MAX_HEAD + 100)
    + b"\r\nConnection: close\r\n\r\n",
    b"GET /"
    + b"x" * (MAX_HEAD + 100)
    + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("sent", NOT_HTTP, ids=lambda sent: repr(sent[:24]))
async def test_what_is_no_http_is_refused_in_the_one_shape(node: Served, sent: bytes) -> None:
    head, rest = await exchange(node.port, sent)
    assert head.startswith("HTTP/1.1 400 "), head
    told = json.loads(rest)
    assert told["code"] == "bad_request"
    assert told["error"].endswith(".")
    async with node.client() as client:
        assert (await client.get("/health")).status_code == 200


async def test_rubbish_behind_a_request_does_not_spoil_its_answer(node: Served) -> None:
    head, _ = await exchange(node.port, f"GET /health HTTP/1.1\r\n{HEAD}\r\n", b"\0\0\0\r\n\r\n")
    assert head.startswith("HTTP/1.1 ")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "BREW", "get"])
async def test_a_method_that_no_path_takes_is_told_so(node: Served, method: str) -> None:
    head, rest = await exchange(node.port, f"{method} /api/send HTTP/1.1\r\n{LAST}")
    assert head.startswith("HTTP/1.1 405 ")
    assert "allow: POST" in head
    assert json.loads(rest)["code"] == "wrong_method"


@pytest.mark.parametrize(
    "target",
    ["*", "http://evil.example/health", "//evil.example/", "/%ff%fe", "/%00", "/api/../health"],
)
async def test_a_strange_target_is_answered_and_leads_nowhere(node: Served, target: str) -> None:
    head, rest = await exchange(node.port, f"GET {target} HTTP/1.1\r\n{LAST}")
    assert head.split()[1] in ("404", "400", "421"), head
    assert json.loads(rest)["code"]


async def test_a_length_and_chunks_at_once_smuggle_nothing(node: Served) -> None:
    inner = f"GET /api/dashboard HTTP/1.1\r\n{HEAD}\r\n"
    head, rest = await exchange(
        node.port,
        f"POST /api/cancel HTTP/1.1\r\n{HEAD}Content-Length: 4\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        half_close=True,
    )
    assert b"aggregate" not in rest or head.startswith("HTTP/1.1 4")


async def test_a_head_that_never_ends_is_hung_up_on_and_others_are_served(
    host: LocalHost,
) -> None:
    async with serving(host, head_time=0.3) as node, node.client() as client:
        slow = [
            asyncio.create_task(exchange(node.port, "GET / HTTP/1.1\r\nHost: loc"))
            for _ in range(100)
        ]
        silent = [asyncio.create_task(exchange(node.port)) for _ in range(20)]
        second = asyncio.create_task(
            exchange(node.port, f"GET /health HTTP/1.1\r\n{HEAD}\r\nGET /hea")
        )
        assert (await client.get("/health")).status_code == 200
        assert {head for head, _ in await asyncio.gather(*slow, *silent)} == {""}
        assert (await second)[0].startswith("HTTP/1.1 200 ")


async def test_a_body_that_nobody_reads_is_not_read_for_ever(node: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"GET /health HTTP/1.1\r\n{HEAD}Content-Length: {1 << 40}\r\n\r\n".encode())
    hung_up = False
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        while not hung_up:
            try:
                writer.write(b"x" * 65536)
                await writer.drain()
                hung_up = reader.at_eof() or writer.is_closing()
                await asyncio.sleep(0.01)
            except ConnectionError:
                hung_up = True
    writer.close()
    assert hung_up


async def test_a_body_that_is_too_long_is_refused_before_it_is_sent(node: Served) -> None:
    head, rest = await exchange(
        node.port,
        f"POST /api/command HTTP/1.1\r\n{HEAD}Content-Length: {MAX_BODY + 1}\r\n"
        "Expect: 100-continue\r\n\r\n",
    )
    assert head.startswith("HTTP/1.1 413 ")
    assert json.loads(rest)["code"] == "body_too_large"


async def test_one_connection_too_many_is_told_so_and_the_others_stay(host: LocalHost) -> None:
    async with serving(host, max_connections=2) as node:
        held = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(f"GET /health HTTP/1.1\r\n{HEAD}\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        head, rest = await exchange(node.port)
        assert head.startswith("HTTP/1.1 503 ")
        assert "retry-after: 2" in head
        assert json.loads(rest)["code"] == "node_unavailable"
        for _, writer in held:
            writer.close()


async def test_a_request_that_comes_while_the_node_stops_is_refused_for_the_moment(
    host: LocalHost,
) -> None:
    async with serving(host) as node, node.client() as client:
        node.app.drain()
        answer = await client.get("/api/workstreams")
    assert (answer.status_code, answer.json()["code"]) == (503, "node_unavailable")
    assert int(answer.headers["retry-after"]) > 0
