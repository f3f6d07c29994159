"""The event streams, byte for byte, as a peer of the 0.2 wire and as our own client see them."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelserver import Reply, call, calls, hold, text
from modelserver.plans import echo, tool_results
from support.servers import READ, Served, serving
from turnstone.core import events as ev
from turnstone.core.local_host import LocalHost

#: Seconds for a state that must come; more is a failure.
PATIENCE = 60.0

FRAME = re.compile(
    rb"(?:(?:id: \d+-\d+\n)?(?:data: \{[^\n\r]*\}\n|: keepalive\n)\n)*"
    rb"(?:retry: \d+\n\n)?"
)

#: What 0.2 sent beside the events that have an id of their own.
BESIDE = ("thinking_stop", "ws_activity")


async def new(node: Served, **body: Any) -> str:
    async with node.client() as client:
        ws_id: str = (await client.post("/api/workstreams/new", json=body)).json()["ws_id"]
        return ws_id


async def post(node: Served, path: str, **body: Any) -> dict[str, Any]:
    async with node.client() as client:
        told: dict[str, Any] = (await client.post(path, json=body)).json()
        return told


async def raw(
    node: Served, path: str, enough: Callable[[bytes], bool], **headers: str
) -> tuple[httpx2.Response, bytes]:
    """The answer, and the whole frames of its body up to `enough` of them, or all."""
    read = bytearray()
    async with asyncio.timeout(PATIENCE), node.client() as client:
        async with client.stream("GET", path, headers=headers) as response:
            async for piece in response.aiter_raw():
                read += piece
                if enough(whole(read)):
                    return response, whole(read)
    assert whole(read) == read, "the stream was cut in the middle of a frame"
    return response, bytes(read)


def whole(read: bytearray) -> bytes:
    return bytes(b"".join(read.rpartition(b"\n\n")[:2]))


def seen(read: bytes) -> list[dict[str, Any]]:
    """The events, as a peer of 0.2 reads them: lines that start exactly with `data: `."""
    return [json.loads(line[6:]) for line in read.split(b"\n") if line.startswith(b"data: ")]


def has(kind: str) -> Callable[[bytes], bool]:
    return lambda read: f'"type": "{kind}"'.encode() in read


def has_native(kind: str) -> Callable[[bytes], bool]:
    return lambda read: f'"type":"{kind}"'.encode() in read


def asks_for_bash(body: dict[str, Any]) -> Reply:
    results = tool_results(body)
    return text("It is 42.") if results else calls(call("bash", command="echo 42"))


async def test_the_headers_are_those_of_a_stream_that_nobody_keeps(node: Served) -> None:
    ws_id = await new(node)
    response, _ = await raw(node, f"/api/events?ws_id={ws_id}", has("connected"))
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    assert "content-length" not in response.headers


async def test_every_frame_is_an_id_one_line_of_data_and_an_empty_line(node: Served) -> None:
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="two\nlines, é and \u2028")
    _, read = await raw(node, f"/api/events?ws_id={ws_id}&after=1-0", has("turn_ended"))

    assert FRAME.fullmatch(read), read
    ids = re.findall(rb"id: (\S+)", read)
    assert ids == [f["id"].encode() for f in seen(read) if f["type"] not in BESIDE]
    assert read.isascii()


async def test_an_idle_stream_is_kept_alive_by_comments(node: Served) -> None:
    ws_id = await new(node)
    _, read = await raw(
        node, f"/api/events?ws_id={ws_id}", lambda read: read.count(b": keepalive\n\n") == 2
    )
    assert [frame["type"] for frame in seen(read)] == ["connected"]
    assert FRAME.fullmatch(read)


async def test_a_turn_with_a_question_has_the_events_of_0_2_in_their_order(
    node: Served, model: Any
) -> None:
    model.plan = asks_for_bash
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="go")
    _, first = await raw(node, f"/api/events?ws_id={ws_id}", has("approve_request"))
    assert await post(node, "/api/approve", ws_id=ws_id, approved=True) == {
        "status": "ok",
        "answered": True,
    }
    _, whole = await raw(node, f"/api/events?ws_id={ws_id}&after=1-0", has("turn_ended"))

    snapshot = [frame["type"] for frame in seen(first)]
    assert snapshot[0] == "connected"
    assert "approve_request" in snapshot
    of_0_2 = [
        frame["type"]
        for frame in seen(whole)
        if frame["type"]
        in {"thinking_start", "stream_end", "approve_request", "tool_info", "tool_result", "status"}
    ]
    assert of_0_2 == [
        "thinking_start",
        "stream_end",
        "approve_request",
        "tool_result",
        "thinking_start",
        "stream_end",
        "status",
    ]
    [asked] = [frame for frame in seen(whole) if frame["type"] == "approve_request"]
    [item] = asked["items"]
    assert item["func_name"] == item["name"] == "bash"
    assert item["needs_approval"] is True
    assert asked["request_id"]
    [result] = [frame for frame in seen(whole) if frame["type"] == "tool_result"]
    assert (result["name"], "42" in result["output"]) == ("bash", True)


async def test_a_late_reader_gets_connected_then_history_then_the_question(
    node: Served, model: Any
) -> None:
    model.plan = asks_for_bash
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="go")
    await raw(node, f"/api/events?ws_id={ws_id}", has("approve_request"))

    _, late = await raw(node, f"/api/events?ws_id={ws_id}", has("approve_request"))
    connected, history, asked = seen(late)
    assert (connected["type"], connected["model"]) == ("connected", "scripted-model")
    assert history["messages"][0] | {"role": "user", "content": "go"} == history["messages"][0]
    [called] = history["messages"][1]["tool_calls"]
    assert called["name"] == "bash"
    assert json.loads(called["arguments"]) == {"command": "echo 42"}
    assert asked["type"] == "approve_request"


async def test_a_call_that_needs_no_question_is_told_as_tool_info(
    node: Served, model: Any, tmp_path: Path
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return text("read") if tool_results(body) else calls(call("read_file", path="note"))

    model.plan = plan
    (tmp_path / "workspace" / "note").write_text("remember\n")
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="go")
    _, read = await raw(node, f"/api/events?ws_id={ws_id}&after=1-0", has("turn_ended"))

    [info] = [frame for frame in seen(read) if frame["type"] == "tool_info"]
    assert [item["func_name"] for item in info["items"]] == ["read_file"]
    assert info["event"] == "tool_started"


async def test_the_native_stream_has_the_envelopes_as_they_are(node: Served) -> None:
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="hello")
    _, read = await raw(node, f"/api/events?ws={ws_id}&after=1-0", has_native("turn_ended"))

    assert FRAME.fullmatch(read)
    kinds = [frame["type"] for frame in seen(read)]
    assert kinds[:2] == ["message_accepted", "step_started"]
    for line in read.split(b"\n"):
        if line.startswith(b"data: "):
            assert ev.encode(ev.decode(line[6:])) == line[6:]


async def test_a_stream_goes_on_behind_the_last_id_by_header_or_query(node: Served) -> None:
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="hello")
    path = f"/api/events?ws={ws_id}"
    done = has_native("turn_ended")
    _, read = await raw(node, f"{path}&after=1", done)
    whole = seen(read)
    middle = whole[2]["id"]

    _, by_query = await raw(node, f"{path}&after={middle}", done)
    _, by_header = await raw(node, path, done, **{"last-event-id": middle})
    _, by_both = await raw(node, f"{path}&after=1-0", done, **{"last-event-id": middle})
    assert seen(by_query) == seen(by_header) == seen(by_both) == whole[3:]


async def test_a_reader_that_is_cut_off_inside_a_snapshot_gets_it_whole_the_next_time(
    node: Served,
) -> None:
    ws_id = await new(node)
    await post(node, "/api/send", ws_id=ws_id, message="hello")
    path = f"/api/events?ws={ws_id}"
    await raw(node, f"{path}&after=1", has_native("turn_ended"))

    _, read = await raw(node, path, lambda read: b": keepalive" in read)
    kinds = [json.loads(line[6:])["type"] for line in read.split(b"\n") if line[:6] == b"data: "]
    assert kinds == ["connected", "history", "turn_ended"]
    inside, _, behind = read.partition(b"id: ")
    assert b"turn_ended" in inside  # nothing in it is a place to come back to
    place = behind.partition(b"\n")[0].decode()

    await post(node, "/api/send", ws_id=ws_id, message="again")
    _, more = await raw(node, path, has_native("turn_ended"), **{"last-event-id": place})
    assert [frame["type"] for frame in seen(more)][:2] == ["message_accepted", "step_started"]


@pytest.mark.parametrize("bad", ["x", "1-x", "-1", "1-2-3", "١", "1.5", "9" * 400 + "x"])
async def test_a_bad_id_is_refused_in_a_sentence(node: Served, bad: str) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        for path in (f"/api/events?ws={ws_id}", f"/api/events?ws_id={ws_id}", "/api/events/global"):
            answer = await client.get(path, params={"ws": ws_id, "after": bad})
            assert answer.status_code == 422
            assert answer.json()["code"] == "invalid_request"
            assert "an event id looks like 12-3" in answer.json()["error"]


async def test_an_unknown_workstream_or_none_is_a_404(node: Served) -> None:
    async with node.client(READ) as client:
        for query in ("", "?ws_id=", "?ws_id=ffffffff", "?ws=ffffffff", "?ws=ffffffff&after=3"):
            answer = await client.get(f"/api/events{query}")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_workstream")


async def test_a_head_of_a_stream_is_its_headers(node: Served) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        for path in (f"/api/events?ws_id={ws_id}", "/api/events/global"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")


async def test_a_stream_ends_when_its_workstream_is_closed(node: Served) -> None:
    ws_id = await new(node)
    there: list[asyncio.Event] = [asyncio.Event(), asyncio.Event()]

    def follow(query: str, number: int) -> asyncio.Task[tuple[httpx2.Response, bytes]]:
        def look(read: bytes) -> bool:
            there[number].set()
            return False

        return asyncio.create_task(raw(node, f"/api/events?ws_id={ws_id}{query}", look))

    reading, other = follow("", 0), follow("&after=1-0", 1)
    async with asyncio.timeout(PATIENCE):
        for one in there:  # a keep-alive is enough
            await one.wait()
    assert await post(node, "/api/workstreams/close", ws_id=ws_id) == {"status": "ok"}

    for task in (reading, other):
        _, read = await task
        assert seen(read)[-1]["type"] == "ws_closed"


async def test_the_global_stream_tells_states_and_closings(node: Served, model: Any) -> None:
    gate = threading.Event()
    model.plan = lambda body: hold(echo(body), gate)
    path = "/api/events/global?after=0-0"
    await raw(node, path, has("truncated"))
    ws_id = await new(node, name="watched")
    await post(node, "/api/send", ws_id=ws_id, message="hello")
    _, at_work = await raw(node, path, has("truncated"))
    last = seen(at_work)[0]["id"]
    gate.set()
    _, read = await raw(
        node, f"/api/events/global?after={last}", lambda read: b'"state": "idle"' in read
    )
    told = [frame for frame in seen(read) if frame["type"] == "ws_state"][-1]
    assert (told["type"], told["ws_id"], told["state"]) == ("ws_state", ws_id, "idle")
    assert told.keys() >= {"tokens", "context_ratio", "activity", "activity_state"}


async def test_a_stopping_server_ends_its_streams_cleanly_and_at_once(host: LocalHost) -> None:
    async with serving(host) as node:
        ws_id = await new(node)
        there = asyncio.Event()

        async def follow() -> bytes:
            def look(read: bytes) -> bool:
                there.set()
                return False

            return (await raw(node, f"/api/events?ws_id={ws_id}", look))[1]

        readers = [asyncio.create_task(follow()) for _ in range(5)]
        async with asyncio.timeout(PATIENCE):
            await there.wait()
        await node.stop()
        ended = await asyncio.gather(*readers, return_exceptions=True)

    for read in ended:
        assert isinstance(read, bytes), read  # and no broken connection
        assert FRAME.fullmatch(read)


async def test_a_reader_that_does_not_read_holds_nobody_up(node: Served, model: Any) -> None:
    model.plan = lambda body: text("x" * 2_000_000, chunk=20_000)
    ws_id = await new(node)
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1024)
    writer.write(
        f"GET /api/events?ws_id={ws_id} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {READ}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")

    await post(node, "/api/send", ws_id=ws_id, message="go")
    _, read = await raw(node, f"/api/events?ws_id={ws_id}&after=1-0", has("turn_ended"))
    assert len(seen(read)[-1]["text"]) == 2_000_000
    writer.close()
