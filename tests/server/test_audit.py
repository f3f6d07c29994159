"""The audit record: one line for each change, by whom, and nothing that people wrote."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from support.servers import APPROVE, READ, serving
from turnstone.api.endpoints import BY_NAME, ENDPOINTS
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.masking import Masking
from turnstone.server.audit import LONGEST, Audit
from turnstone.server.audit_file import AuditFile

SAID = "what a person wrote"

#: Of each row that changes something: a request, and what its line says besides who.
DEEDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "login": ({"token": READ}, {"by": "read", "role": "read", "via": "token"}),
    "logout": ({}, {}),
    "logout_everywhere": ({}, {}),
    "new": ({"name": "mine", "auto_approve": True}, {"name": "mine", "auto_approve": True}),
    "close": ({"ws_id": "WS"}, {"ws_id": "WS"}),
    "erase": ({}, {"ws_id": "WS"}),
    "send": ({"ws_id": "WS", "message": SAID, "correlation_id": "c1"}, {"correlation_id": "c1"}),
    "approve": (
        {"ws_id": "WS", "approved": True, "feedback": SAID},
        {"ws_id": "WS", "approved": True, "outcome": "nothing"},
    ),
    "plan": (
        {"ws_id": "WS", "feedback": SAID},
        {"ws_id": "WS", "approved": False, "outcome": "nothing"},
    ),
    "revoke": (
        {"ws_id": "WS", "tool": "bash", "command": "ls"},
        {"tool": "bash", "command": "ls", "outcome": "nothing"},
    ),
    "budget": ({"ws_id": "WS", "tokens": 1000}, {"ws_id": "WS", "tokens": 1000}),
    "cancel": ({"ws_id": "WS"}, {"ws_id": "WS", "outcome": "nothing"}),
    "rewind": ({"ws_id": "WS", "to": "nowhere"}, {"to": "nowhere", "outcome": "invalid_request"}),
    "fork": ({"ws_id": "WS"}, {"ws_id": "WS"}),
    "rename": ({"ws_id": "WS", "alias": "ours"}, {"alias": "ours"}),
    "resume": ({"session": "WS"}, {"session": "WS", "ws_id": "WS"}),
    "import": ({"text": SAID}, {"outcome": "invalid_request"}),
    "remember": ({"key": "colour", "value": SAID}, {"key": "colour"}),
    "forget": ({"key": "colour"}, {"key": "colour"}),
    "set_timer": ({"timer_id": "t1", "message": SAID, "every": "0 9 * * *"}, {"timer_id": "t1"}),
    "pause_timer": ({"timer_id": "t1", "paused": True}, {"timer_id": "t1", "paused": True}),
    "cancel_timer": ({"timer_id": "t1"}, {"timer_id": "t1"}),
    "command": ({"ws_id": "WS", "command": f"/name {SAID}"}, {"command": "/name"}),
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


def test_every_row_that_changes_something_is_recorded() -> None:
    changing = {row.name for row in ENDPOINTS if row.method != "GET"}
    assert changing == DEEDS.keys()
    assert {row.name for row in ENDPOINTS if row.audit} == {*changing, "login_link"}


async def test_each_change_leaves_exactly_one_line(host: LocalHost, record: Path) -> None:
    async with serving(host, audit=Audit(AuditFile(record))) as served, served.client() as client:
        for name, (asked, expected) in DEEDS.items():
            row, ws = BY_NAME[name], await host.create(CreateWorkstream())
            await host.remember("colour", "green")
            before = len(lines(record))
            body = {key: ws.id if value == "WS" else value for key, value in asked.items()}
            given: dict[str, Any] = {"params": body} if row.method == "DELETE" else {"json": body}
            await client.request(row.method, row.path.replace("{ws_id}", ws.id), **given)

            found = lines(record)[before:]
            assert len(found) == 1, name
            who = {"by": "full", "role": "full", "via": "bearer", "address": "127.0.0.1"}
            wanted = {"action": row.audit, "outcome": "done", **who, **expected}
            assert {key: found[0].get(key) for key in wanted} == {
                key: ws.id if value == "WS" else value for key, value in wanted.items()
            }
    assert SAID not in record.read_text()
    assert READ not in record.read_text()


async def test_who_denies_a_call_is_recorded_by_name(host: LocalHost, record: Path) -> None:
    ws = await host.create(CreateWorkstream())
    no = {"ws_id": ws.id, "approved": False, "request_id": "q1"}
    async with serving(host, audit=Audit(AuditFile(record))) as served:
        async with served.client(APPROVE) as client:
            refused = await client.post("/api/approve", json=no)
    [line] = lines(record)
    assert (line["action"], line["by"], line["role"]) == ("deny", "ann", "approve")
    assert (line["request_id"], line["outcome"]) == ("q1", refused.json()["code"])


async def test_nothing_is_recorded_of_reading_nor_of_strangers(
    host: LocalHost, record: Path
) -> None:
    ws = await host.create(CreateWorkstream())
    async with serving(host, audit=Audit(AuditFile(record))) as served:
        async with served.client() as client:
            await client.get("/api/workstreams")
            await client.get("/login")
        async with served.client(None) as stranger:
            await stranger.post("/api/send", json={"ws_id": ws.id, "message": "hi"})
            await stranger.post(
                "/api/auth/logout", json={}, headers={"content-type": "application/json"}
            )
            await stranger.get("/login")
        async with served.client(READ) as reader:
            await reader.post("/api/send", json={"ws_id": ws.id, "message": "hi"})
    assert lines(record) == []


async def test_failed_logins_are_recorded_until_they_are_too_many(
    host: LocalHost, record: Path
) -> None:
    async with serving(host, audit=Audit(AuditFile(record))) as served:
        async with served.client(None) as stranger:
            tried = [
                (await stranger.post("/api/auth/login", json={"token": "wrong"})).status_code
                for _ in range(20)
            ]
    found = lines(record)
    assert len(found) == tried.count(401) < len(tried)
    assert {(one["action"], one["outcome"], one["by"]) for one in found} == {
        ("login", "not_authenticated", "")
    }


async def test_a_login_link_that_is_used_is_recorded_once(host: LocalHost, record: Path) -> None:
    async with serving(host, audit=Audit(AuditFile(record))) as served:
        async with served.client(None) as client:
            link = served.app.login_link(served.url)
            await client.get(link)
            await client.get(link)  # the browser is signed in by now
        async with served.client(None) as another:
            await another.get(link)
    used, again = lines(record)
    assert (used["outcome"], used["by"], used["via"]) == ("done", "full", "link")
    assert (again["outcome"], again["by"]) == ("not_authenticated", "")


async def test_a_message_that_is_sent_again_says_so(host: LocalHost, record: Path) -> None:
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message="hi", correlation_id="c1"))
    async with serving(host, audit=Audit(AuditFile(record))) as served, served.client() as client:
        again = {"ws_id": ws.id, "message": "hi", "correlation_id": "c1"}
        await client.post("/api/send", json=again)
    assert [one["outcome"] for one in lines(record)] == ["duplicate"]


async def test_secrets_are_masked_and_long_names_cut(host: LocalHost, record: Path) -> None:
    audit = Audit(AuditFile(record), Masking(["hunter2hunter2"]))
    async with serving(host, audit=audit) as served, served.client() as client:
        await client.post("/api/memories", json={"key": "is hunter2hunter2", "value": "x"})
        await client.delete("/api/memories", params={"key": "k" * 5000})
    masked, cut = lines(record)
    assert "hunter2" not in record.read_text()
    assert masked["key"].startswith("is ")
    assert len(cut["key"]) == LONGEST + 1


async def test_a_record_that_cannot_be_written_is_told_and_counted(
    host: LocalHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = tmp_path / "audit.jsonl"
    record.mkdir()
    async with serving(host, audit=Audit(AuditFile(record))) as served, served.client() as client:
        with caplog.at_level(logging.ERROR, "turnstone.server.audit"):
            for name in ("one", "two"):
                made = await client.post("/api/workstreams/new", json={"name": name})
                assert made.status_code == 200
        shown = (await client.get("/metrics")).text
    assert len([one for one in caplog.records if "audit record" in one.getMessage()]) == 1
    assert "turnstone_audit_lost_total 2.0" in shown


def test_the_record_is_its_owners_and_never_larger_than_its_bound(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "state" / "audit.jsonl", size=100, files=3)
    for n in range(50):
        file.append(b"%030d" % n)
    kept = sorted(file.path.parent.iterdir())
    assert [one.name for one in kept] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in kept)
    assert all(one.stat().st_size <= 100 for one in kept)
    written = [int(line) for one in reversed(kept) for line in one.read_bytes().splitlines()]
    assert written == list(range(written[0], 50))


def test_a_file_that_others_could_read_is_theirs_no_more(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.path.touch(0o644)
    file.append(b"one")
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_line_after_one_that_was_cut_off_stands_by_itself(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl")
    file.append(b"one")
    file.path.write_bytes(b'one\n{"half')
    file.append(b"two")
    assert file.path.read_bytes().splitlines() == [b"one", b'{"half', b"two"]


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    file = AuditFile(tmp_path / "audit.jsonl")
    file.path.symlink_to(other)
    with pytest.raises(OSError):
        file.append(b"one")
    assert other.read_bytes() == b"mine"


def test_writers_at_once_lose_no_line(tmp_path: Path) -> None:
    path, each = tmp_path / "audit.jsonl", 200

    def write(who: int) -> None:
        file = AuditFile(path, size=2000, files=100)
        for n in range(each):
            file.append(f"{who} {n}".encode())

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [line for one in tmp_path.iterdir() for line in one.read_text().splitlines()]
    assert sorted(found) == sorted(f"{who} {n}" for who in range(4) for n in range(each))
