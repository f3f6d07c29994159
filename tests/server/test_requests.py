"""Requests of every shape: each gets its status and one sentence, and none breaks the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from modelserver import hold
from modelserver.plans import echo
from support.servers import FULL, Served
from turnstone.api import endpoints as api
from turnstone.core.host import Answer, SendMessage
from turnstone.server.requests import MAX_BODY


async def new(node: Served) -> str:
    async with node.client() as client:
        ws_id: str = (await client.post("/api/workstreams/new", json={})).json()["ws_id"]
        return ws_id


WRONG = [
    ("/api/send", {"message": 5}, "message: "),
    ("/api/send", {"message": None}, "message: "),
    ("/api/send", {"message": "hello", "ws_id": ["x"]}, "ws_id: "),
    ("/api/send", {"message": "hello", "busy": "maybe"}, "busy: "),
    ("/api/approve", {"approved": "yes"}, "approved: "),
    ("/api/approve", {"always": 1}, "always: "),
    ("/api/workstreams/new", {"auto_approve_tools": "bash"}, "auto_approve_tools: "),
    ("/api/workstreams/new", {"auto_approve_tools": [1]}, "auto_approve_tools[0]: "),
    ("/api/auth/login", {"token": 1}, "token: "),
    ("/api/send", [], "body: "),
    ("/api/send", "text", "body: "),
    ("/api/send", 1.5, "body: "),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
async def test_a_wrong_type_is_refused_with_the_fields_name(
    node: Served, path: str, body: Any, field: str
) -> None:
    async with node.client() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["error"].startswith(field)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/api/budget",
            {"token": 5},
            "token: there is no such field; the fields there are ws_id, ",
        ),
        ("/api/workstreams/new", {"budget": {"tokenz": 4}}, "budget.tokenz: there is no such "),
    ],
)
async def test_a_misspelt_kind_of_budget_is_refused_and_sets_nothing(
    node: Served, path: str, body: dict[str, Any], told: str
) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        good = await client.post("/api/budget", json={"ws_id": ws_id, "tokens": 7})
        answer = await client.post(path, json=body | {"ws_id": ws_id})
        now = (await client.get("/api/usage", params={"ws_id": ws_id})).json()["budget"]
        made = await client.post("/api/workstreams/new", json={"budget": {"tokens": 4}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["error"].startswith(told)
    assert answer.json()["error"].endswith("tokens, seconds, tool_calls, money.")
    assert (good.status_code, now["tokens"]) == (200, 7)
    assert made.json()["workstream"]["budget"]["tokens"] == 4


@pytest.mark.parametrize(
    ("method", "path", "given", "told"),
    [
        (
            "POST",
            "/api/budget",
            {"tokens": "5"},
            "tokens: a whole number is expected, not text.",
        ),
        (
            "POST",
            "/api/send",
            {"message": 5},
            "message: text is expected, not a whole number.",
        ),
        ("POST", "/api/cancel", {}, "ws_id is missing."),
        ("GET", "/api/policy", {}, "ws_id is missing."),
        ("GET", "/api/usage", {}, "ws_id is missing."),
        ("GET", "/api/sessions", {"limit": "-1"}, "limit: -1 is too small; it must be 1 or more."),
    ],
)
async def test_what_is_wrong_is_told_in_plain_words(
    node: Served, method: str, path: str, given: dict[str, Any], told: str
) -> None:
    async with node.client() as client:
        if method == "POST":
            answer = await client.post(path, json=given)
        else:
            answer = await client.get(path, params=given)
    assert answer.json()["error"] == told


@pytest.mark.parametrize("limit", ["", "x", "1.5", "0", "-3"])
async def test_a_limit_that_is_no_number_of_workstreams_is_refused(
    node: Served, limit: str
) -> None:
    async with node.client() as client:
        answer = await client.get("/api/workstreams", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("limit: ")


MALFORMED = [
    b"",
    b"{",
    b"\xff\xfe",
    b"{}{}",
    b'{"x":' + b"[" * 100_000,
    b'{"x":' * 100_000,
    b'{"message": "\\ud800"}',
    b"\0",
]


@pytest.mark.parametrize("content", MALFORMED, ids=lambda content: repr(content[:12]))
async def test_a_body_that_is_no_json_is_empty_for_programs_and_refused_for_browsers(
    node: Served, content: bytes
) -> None:
    as_json = {"content-type": "application/json"}
    async with node.client() as program, node.client(None) as browser:
        lax = await program.post("/api/send", content=content)
        await browser.post("/api/auth/login", json={"token": FULL})
        strict = await browser.post("/api/send", content=content, headers=as_json)
    assert (lax.status_code, lax.json()["code"]) == (400, "empty_message")
    assert (strict.status_code, strict.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("content", [b'{"message":"\xed\xa0\x80"}', b"hello", b'{"message":'])
async def test_a_program_is_told_that_its_body_could_not_be_read(
    node: Served, content: bytes
) -> None:
    async with node.client() as client:
        answer = await client.post("/api/send", content=content)
        empty = await client.post("/api/send", json={"message": ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_message")
    assert "was not JSON" in answer.json()["error"]
    assert "JSON" not in empty.json()["error"]


async def test_a_word_that_is_none_of_a_fields_words_is_refused_with_those(node: Served) -> None:
    async with node.client() as client:
        answer = await client.post("/api/send", json={"message": "hello", "busy": "foo"})
    assert answer.json()["error"] == "busy: 'foo' is none of 'queue', 'reject', 'steer'."


@pytest.mark.parametrize("missing", ["ws_id", "correlation_id"])
async def test_an_ending_is_asked_for_by_both_ids(node: Served, missing: str) -> None:
    query = {"ws_id": await new(node), "correlation_id": "c1"} | {missing: ""}
    async with node.client() as client:
        answer = await client.get("/api/ending", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["error"].startswith(f"{missing}: ")


async def test_an_ending_of_a_message_that_was_never_accepted_is_told_from_one_to_come(
    node: Served,
) -> None:
    query = {"ws_id": await new(node), "correlation_id": "c1"}
    async with node.client() as client:
        never = (await client.get("/api/ending", params=query)).json()
        await client.post("/api/send", json={"message": "hello", **query})
        accepted = (await client.get("/api/ending", params=query)).json()
    assert never == {"ending": None, "known": False, "steps": []}
    assert accepted["known"] is True


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
async def test_a_form_of_another_page_cannot_send(node: Served, media_type: str | None) -> None:
    ws_id = await new(node)
    content = f'{{"ws_id": "{ws_id}", "message": "hello"}}'.encode()
    headers = {"content-type": media_type} if media_type else {}
    async with node.client() as program, node.client(None) as browser:
        await browser.post("/api/auth/login", json={"token": FULL})
        strict = await browser.post("/api/send", content=content, headers=headers)
        lax = await program.post("/api/send", content=content, headers=headers)
    assert (strict.status_code, strict.json()["code"]) == (415, "wrong_media_type")
    assert lax.json()["status"] == "ok"


async def test_a_body_that_is_too_long_is_refused_declared_or_not(node: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 1024 + 1):
            yield b" " * 1024

    async with node.client() as client:
        declared = await client.post("/api/command", content=b" " * (MAX_BODY + 1))
    async with node.client() as client:
        chunked = await client.post("/api/command", content=endless())
    assert [a.status_code for a in (declared, chunked)] == [413, 413]
    assert declared.json()["code"] == "body_too_large"


async def test_a_longer_body_is_for_attachments_alone(node: Served) -> None:
    ws_id = await new(node)
    long = [{"name": f"{n}.txt", "text": "x" * 190_000} for n in range(2)]
    async with node.client() as client:
        text = await client.post("/api/send", json={"ws_id": ws_id, "message": "x" * MAX_BODY})
        escaped = {"message": "go", "attachments": long, "unknown": "x" * MAX_BODY}
        files = await client.post("/api/send", json={"ws_id": ws_id, **escaped})
        wrong = {"message": "go", "attachments": [{"data": "no base64!"}]}
        broken = await client.post("/api/send", json={"ws_id": ws_id, **wrong})
    assert (text.status_code, text.json()["code"]) == (413, "body_too_large")
    assert files.json()["status"] == "ok"
    assert broken.status_code == 422
    assert broken.json()["error"].startswith("attachments[0].data: ")


async def test_an_unknown_path_and_a_wrong_method_are_told_in_json(node: Served) -> None:
    async with node.client() as client:
        for path in ("/nowhere", "/api/plans", "/api/send/", "/static/../api", "/api/send%00"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path"), path
        get = await client.get("/api/send")
        put = await client.put("/api/workstreams")
        options = await client.options("/api/send", headers={"origin": "http://evil.example"})
    assert (get.status_code, get.json()["code"]) == (405, "wrong_method")
    assert get.headers["allow"] == "POST"
    assert put.status_code == 405
    assert (options.status_code, options.headers["allow"]) == (204, "POST")
    assert "access-control-allow-origin" not in options.headers


async def test_a_head_is_answered_like_a_get_without_its_body(node: Served) -> None:
    async with node.client() as client:
        for path in (
            "/",
            "/health",
            "/api/workstreams",
            "/api/dashboard",
            "/static/shared/html.js",
        ):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == get.headers["content-type"]


async def test_a_message_is_trimmed_and_an_empty_one_refused_first(node: Served) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        empty = await client.post("/api/send", json={"ws_id": "ffffffff", "message": " \n"})
        unknown = await client.post("/api/send", json={"ws_id": "ffffffff", "message": "hello"})
        sent = await client.post("/api/send", json={"ws_id": ws_id, "message": " hello \n"})
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_message")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_workstream")
    assert "ffffffff" in unknown.json()["error"]
    assert sent.json()["status"] == "ok"
    assert len(sent.json()["correlation_id"]) == 12


async def test_a_command_is_ok_as_on_0_2_whatever_comes_of_it(node: Served) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        empty = await client.post("/api/command", json={"ws_id": "ffffffff", "command": " "})
        unknown = await client.post("/api/command", json={"ws_id": "ffffffff", "command": "/help"})
        good = await client.post("/api/command", json={"ws_id": ws_id, "command": " /help\n"})
        bad = await client.post("/api/command", json={"ws_id": ws_id, "command": "/dance"})
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_message")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_workstream")
    assert (good.status_code, good.json()["status"], good.json()["error"]) == (200, "ok", "")
    assert (bad.status_code, bad.json()["status"]) == (200, "ok")
    assert (bad.json()["error"], "/dance" in bad.json()["text"]) == ("invalid_request", True)


async def test_answers_to_nothing_are_ok_as_on_0_2_unless_they_name_a_question(
    node: Served,
) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        nothing = await client.post("/api/approve", json={"ws_id": ws_id, "feedback": None})
        named = await client.post(
            "/api/approve", json={"ws_id": ws_id, "request_id": "0123456789ab"}
        )
        unknown = await client.post("/api/approve", json={"approved": True})
    assert (nothing.status_code, nothing.json()) == (200, {"status": "ok", "answered": False})
    assert (named.status_code, named.json()["code"]) == (409, "unknown_request")
    assert unknown.status_code == 404


async def test_closing_what_is_not_there_is_a_400_and_the_last_one_may_be_closed(
    node: Served,
) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        unknown = await client.post("/api/workstreams/close", json={"ws_id": "ffffffff"})
        last = await client.post("/api/workstreams/close", json={"ws_id": ws_id})
        listed = await client.get("/api/workstreams")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_workstream")
    assert last.json() == {"status": "ok"}
    assert listed.json() == {"workstreams": []}


async def test_a_busy_workstream_takes_the_next_message_unless_it_is_told_to_refuse(
    node: Served, model: Any
) -> None:
    gate = threading.Event()
    model.plan = lambda body: hold(echo(body), gate)
    ws_id = await new(node)
    path = f"/api/events?ws_id={ws_id}&after=1-0"
    async with asyncio.timeout(10), node.client() as client:
        await client.post("/api/send", json={"ws_id": ws_id, "message": "one"})
        refused = await client.post(
            "/api/send",
            json={"ws_id": ws_id, "message": "two", "busy": "reject", "correlation_id": "c2"},
        )
        queued = await client.post("/api/send", json={"ws_id": ws_id, "message": "three"})
        async with client.stream("GET", path) as stream:
            async for line in stream.aiter_lines():
                if '"type": "busy_error"' in line:
                    break
        board = (await client.get("/api/dashboard")).json()
        gate.set()
    assert (refused.status_code, refused.json()["status"]) == (200, "busy")
    assert refused.json()["correlation_id"] == "c2"
    assert queued.json()["status"] == "ok"
    [row] = board["workstreams"]
    assert (row["state"], row["queued"], row["node"]) == ("thinking", 1, "local")
    assert board["aggregate"]["active_count"] == board["aggregate"]["total_count"] == 1
    assert board["aggregate"].keys() == {
        "total_tokens",
        "total_tool_calls",
        "active_count",
        "total_count",
        "uptime_seconds",
        "node",
    }


async def test_cancel_says_whether_there_was_a_turn(node: Served) -> None:
    ws_id = await new(node)
    async with node.client() as client:
        idle = await client.post("/api/cancel", json={"ws_id": ws_id})
        unknown = await client.post("/api/cancel", json={})
    assert idle.json() == {"status": "ok", "cancelled": False}
    assert unknown.status_code == 404


def test_what_the_host_takes_can_be_sent_but_for_who_it_is_from() -> None:
    def names(kind: type[msgspec.Struct]) -> set[str]:
        return {field.name for field in msgspec.structs.fields(kind)}

    assert names(api.SendRequest) == names(SendMessage) - {"sender"}
    assert names(api.ApproveRequest) == names(Answer) - {"by"}


async def test_a_sender_is_named_after_its_token_whatever_it_says(
    node: Served,
) -> None:
    ws_id = await new(node)
    async with asyncio.timeout(10), node.client() as client:
        body = {"ws_id": ws_id, "message": "hello", "sender": "the queen"}
        await client.post("/api/send", json=body)
        async with client.stream("GET", f"/api/events?ws_id={ws_id}&after=1-0") as stream:
            async for line in stream.aiter_lines():
                if '"type": "message_accepted"' in line:
                    break
    assert '"sender": "full"' in line
