"""Sessions, search and memory on the wire: in the shape of 0.2 where it had them."""

from __future__ import annotations

import re

import pytest

from support.servers import READ, Served
from support.watching import ending
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost


async def talked(host: LocalHost) -> str:
    ws = await host.create(CreateWorkstream(name="work"))
    await host.send(SendMessage(ws_id=ws.id, message="a needle", correlation_id="c1"))
    await ending(host, ws.id, "c1")
    return ws.id


async def test_the_list_of_sessions_has_the_shape_of_02(node: Served, host: LocalHost) -> None:
    ws_id = await talked(host)
    async with node.client(READ) as client:
        [session] = (await client.get("/api/sessions")).json()["sessions"]

    assert (session["ws_id"], session["alias"], session["title"]) == (ws_id, None, None)
    assert session["message_count"] == 2
    for time in (session["created"], session["updated"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time)


async def test_the_dashboard_calls_a_session_by_its_alias(node: Served, host: LocalHost) -> None:
    ws_id = await talked(host)
    async with node.client() as client:
        named = await client.post(
            "/api/workstreams/rename", json={"ws_id": ws_id, "alias": "night"}
        )
        [row] = (await client.get("/api/dashboard")).json()["workstreams"]

    assert named.json()["workstream"]["alias"] == "night"
    assert (row["title"], row["name"]) == ("night", "work")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/sessions?limit=x", None, 422, "invalid_request"),
        ("GET", "/api/sessions?limit=501", None, 422, "invalid_request"),
        ("GET", "/api/search?query=x&limit=-1", None, 422, "invalid_request"),
        ("GET", "/api/sessions/export?session=nobody", None, 404, "unknown_session"),
        ("GET", "/api/sessions/export?format=pdf", None, 422, "invalid_request"),
        ("POST", "/api/sessions/resume", {"session": "nobody"}, 404, "unknown_session"),
        ("POST", "/api/workstreams/rename", {"ws_id": "nobody", "name": "x"}, 404, None),
        ("POST", "/api/memories", {"key": "k"}, 422, "invalid_request"),
        ("GET", "/api/memories?scope=all", None, 422, "invalid_request"),
        ("DELETE", "/api/memories?key=nothing", None, 404, "unknown_memory"),
    ],
)
async def test_what_cannot_be_done_is_told_with_its_code(
    node: Served, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    async with node.client() as client:
        answer = await client.request(method, path, json=body)

    assert answer.status_code == status
    assert answer.json()["code"] == (code or "unknown_workstream")
    assert answer.json()["error"]


async def test_a_reader_may_look_and_not_change(node: Served, host: LocalHost) -> None:
    ws_id = await talked(host)
    async with node.client(READ) as client:
        assert (await client.get("/api/search?query=needle")).status_code == 200
        assert (await client.get("/api/memories")).json() == {"memories": []}
        assert (await client.get(f"/api/sessions/export?session={ws_id}")).status_code == 200
        for method, path in (
            ("POST", "/api/memories"),
            ("DELETE", "/api/memories?key=k"),
            ("POST", "/api/workstreams/rename"),
            ("POST", "/api/sessions/resume"),
        ):
            assert (await client.request(method, path)).status_code == 403
