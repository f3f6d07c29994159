"""A node as its programs see it: started as a process, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, logs, tool_results
from support.logs import FIRST_CAUSE, FIRST_SERVICE, write_logs
from support.processes import Server, run, server

#: Seconds for a turn of these tests.
PATIENCE = 60.0


def caller(node: Server) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {node.token}"}
    return httpx2.AsyncClient(base_url=node.url, headers=headers, timeout=PATIENCE)


async def post(client: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def frames(
    client: httpx2.AsyncClient, ws_id: str, last_event_id: str = ""
) -> AsyncIterator[dict[str, Any]]:
    """The events of the 0.2 stream, read as a peer of that wire reads them, with their ids."""
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    path = f"/api/events?ws_id={ws_id}"
    async with client.stream("GET", path, headers=headers, timeout=None) as response:
        assert response.status_code == 200, await response.aread()
        event_id = ""
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                yield json.loads(line[6:]) | {"frame_id": event_id}


async def one_turn(client: httpx2.AsyncClient, ws_id: str, message: str) -> list[dict[str, Any]]:
    """Send, allow what is asked, and return the frames until the turn has ended."""
    sent = await post(client, "/api/send", ws_id=ws_id, message=message)
    seen = []
    async with asyncio.timeout(PATIENCE):
        async for frame in frames(client, ws_id, "1-0"):
            if frame["correlation_id"] != sent["correlation_id"]:
                continue
            seen.append(frame)
            if frame["type"] == "approve_request":
                await post(client, "/api/approve", ws_id=ws_id, approved=True)
            if frame["type"] == "turn_ended":
                return seen
    raise AssertionError("the stream ended before the turn")


def streamed(seen: list[dict[str, Any]]) -> str:
    return "".join(f["text"] for f in seen if f["type"] == "content")


async def test_the_real_task_has_the_same_answer_over_http_and_in_the_terminal(
    tmp_path: Path,
) -> None:
    folder = write_logs(tmp_path / "logs")
    question = "which service failed first, and why?"
    with ModelServer(logs) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(folder)]
        async with server(tmp_path / "home", *asking) as node, caller(node) as client:
            ws = await post(client, "/api/workstreams/new", name="logs")
            seen = await one_turn(client, ws["ws_id"], question)
        code, out, err = await run(tmp_path / "home2", "turnstone", *asking, "-p", question)

    answer = seen[-1]["text"]
    assert code == 0, err
    assert out.strip() == answer
    assert streamed(seen).endswith(answer)
    assert FIRST_SERVICE in answer
    assert FIRST_CAUSE in answer


async def test_a_person_with_curl_creates_asks_approves_and_reads(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(results[-1][1]) if results else calls(call("bash", command="echo $((6*7))"))

    with ModelServer(plan) as model:
        async with (
            server(tmp_path / "home", "--base-url", model.base_url) as node,
            caller(node) as client,
        ):
            ws = await post(client, "/api/workstreams/new")
            seen = await one_turn(client, ws["ws_id"], "what is six times seven?")

    asked = next(f for f in seen if f["type"] == "approve_request")
    assert asked["items"][0]["func_name"] == "bash"
    assert asked["items"][0]["preview"] == "echo $((6*7))"
    assert "42" in streamed(seen)


async def test_two_readers_one_of_them_late_get_the_same_ids_and_text(tmp_path: Path) -> None:
    gate = threading.Event()
    answer = "a long answer, in many pieces, " * 20
    with ModelServer(lambda body: hold(text(answer), gate, before=20)) as model:
        async with (
            server(tmp_path / "home", "--base-url", model.base_url) as node,
            caller(node) as client,
        ):
            ws = await post(client, "/api/workstreams/new")
            await post(client, "/api/send", ws_id=ws["ws_id"], message="go")
            early: list[dict[str, Any]] = []
            late: list[dict[str, Any]] = []

            async def read(into: list[dict[str, Any]], last_event_id: str) -> None:
                async for frame in frames(client, ws["ws_id"], last_event_id):
                    into.append(frame)
                    if frame["type"] == "content" and not gate.is_set():
                        return
                    if frame["type"] == "turn_ended":
                        return

            async with asyncio.timeout(PATIENCE):
                await read(early, "1-0")
                gate.set()
                await asyncio.gather(
                    read(early, early[-1]["frame_id"]), read(late, early[1]["frame_id"])
                )

    assert told(early[2:]) == told(late)
    assert streamed(early) == answer
    ids = [tuple(map(int, f["frame_id"].split("-"))) for f in told(early)]
    assert ids == sorted(set(ids))


def told(read: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the spelling of 0.2 adds for one connection, under the id of what it precedes."""
    return [frame for frame in read if frame["type"] != "thinking_stop"]


async def test_a_message_sent_twice_under_one_id_is_answered_once(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        async with (
            server(tmp_path / "home", "--base-url", model.base_url) as node,
            caller(node) as client,
        ):
            ws = await post(client, "/api/workstreams/new")
            body = {"ws_id": ws["ws_id"], "message": "once", "correlation_id": "abc"}
            told = [await post(client, "/api/send", **body) for _ in range(3)]
            async with asyncio.timeout(PATIENCE):
                async for frame in frames(client, ws["ws_id"], "1-0"):
                    if frame["type"] == "turn_ended":
                        break
            asked = [last_user_text(body) for body in model.requests].count("once")

    assert [t["duplicate"] for t in told] == [False, True, True]
    assert asked == 1


async def test_the_practice_model_answers_where_there_is_none_and_says_that_it_does(
    tmp_path: Path,
) -> None:
    (tmp_path / "notes.txt").write_text("remember the milk\n")
    chosen = ["--model", "practice", "--workspace", str(tmp_path)]
    async with (
        server(tmp_path / "home", *chosen, program="turnstone up") as node,
        caller(node) as client,
    ):
        ws = await post(client, "/api/workstreams/new")
        seen = await one_turn(client, ws["ws_id"], "read notes.txt")

    assert "practice" in node.printed
    assert streamed(seen).startswith("[practice model]")
    assert "remember the milk" in seen[-1]["text"]
