"""Every row of the endpoint table against every kind of caller, and how browsers sign in."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from support.servers import APPROVE, FULL, READ, Served, serving, three_roles
from turnstone.api.endpoints import ENDPOINTS, Endpoint, covers
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.server.app import HANDLERS
from turnstone.server.auth import LINK_LIFETIME, Auth, Known, Token
from turnstone.server.limits import Attempts
from turnstone.server.static import ROOT

#: How each row is called so that it would be carried out, where it needs more than its path.
BODIES: dict[str, dict[str, Any]] = {
    "send": {"message": "hello", "ws_id": "WS"},
    "approve": {"ws_id": "WS", "approved": True},
    "cancel": {"ws_id": "WS"},
    "revoke": {"ws_id": "WS", "tool": "bash"},
    "close": {"ws_id": "ffffffff"},
    "plan": {"ws_id": "WS"},
    "budget": {"ws_id": "WS", "tokens": 1000},
    "rewind": {"ws_id": "WS", "to": "no such point"},
    "fork": {"ws_id": "WS"},
    "rename": {"ws_id": "WS", "name": "mine"},
    "resume": {"session": "WS"},
    "remember": {"key": "colour", "value": "green"},
    "command": {"ws_id": "WS", "command": "/help"},
    "login": {"token": READ},
    "set_timer": {"message": "hello", "ws_id": "WS", "every": "0 9 * * *"},
    "pause_timer": {"timer_id": "no such timer"},
}
QUERIES = {
    "login_link": {"code": "no such code"},
    "events": {"ws": "WS"},
    "ending": {"ws_id": "WS", "correlation_id": "c"},
    "policy": {"ws_id": "WS"},
    "decisions": {"ws_id": "WS"},
    "usage": {"ws_id": "WS"},
    "export": {"session": "WS"},
    "search": {"query": "hello"},
    "forget": {"key": "colour"},
    "cancel_timer": {"timer_id": "no such timer"},
}

#: What a caller who may gets. Whatever is not here: 200.
CARRIED_OUT = {
    "close": 400,
    "login_link": 401,
    "rewind": 422,
    "export": 422,
    "image": 404,
    "import": 422,
    "pause_timer": 404,
    "cancel_timer": 404,
}

FOREIGN = {
    "another site": {"origin": "http://evil.example"},
    "no site": {"origin": "null"},
    "a part of this name": {"origin": "http://127.0.0.1.evil.example"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "a page that says so": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site"},
}
HOSTS = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]", "a b"]


async def status(client: httpx2.AsyncClient, row: Endpoint, ws_id: str, **headers: str) -> int:
    """The status of one call, its answer left unread: it may be a stream."""
    body = {k: ws_id if v == "WS" else v for k, v in BODIES.get(row.name, {}).items()}
    query = {k: ws_id if v == "WS" else v for k, v in QUERIES.get(row.name, {}).items()}
    async with client.stream(
        row.method,
        row.path.replace("{ws_id}", ws_id).replace("{path}", "shared/html.js"),
        params=query,
        json=body if row.method == "POST" else None,
        headers=headers,
    ) as response:
        if response.status_code >= 400 and row.path != "/login":
            told = (await response.aread(), response.json())[1]
            assert told["error"].endswith(".")
            assert told["code"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in response.headers
        return response.status_code


async def statuses(node: Served, token: str | None, **headers: str) -> dict[str, int]:
    """Of every row, each called on a workstream of its own."""
    found = {}
    async with node.client(FULL) as owner, node.client(token) as client:
        for row in ENDPOINTS:
            created = await owner.post("/api/workstreams/new", json={})
            found[row.name] = await status(client, row, created.json()["ws_id"], **headers)
    return found


def test_every_row_of_the_table_has_a_handler_and_every_handler_a_row() -> None:
    assert {row.name for row in ENDPOINTS} == HANDLERS.keys()
    places = [(row.method, row.path) for row in ENDPOINTS]
    assert len(set(places)) == len(places)


def test_nothing_but_the_pages_the_logins_and_health_is_public() -> None:
    assert {row.name for row in ENDPOINTS if row.role == "public"} == {
        "page",
        "static",
        "login_link",
        "login",
        "logout",
        "health",
    }


@pytest.mark.parametrize("token", [None, "a-wrong-token", ""])
async def test_without_a_good_token_only_what_is_public_answers(
    node: Served, token: str | None
) -> None:
    found = await statuses(node, None, **({} if token is None else bearer(token)))
    assert found == {
        row.name: CARRIED_OUT.get(row.name, 200) if row.role == "public" else 401
        for row in ENDPOINTS
    }


@pytest.mark.parametrize(("token", "role"), [(READ, "read"), (APPROVE, "approve"), (FULL, "full")])
async def test_a_token_reaches_what_its_role_covers(node: Served, token: str, role: Any) -> None:
    found = await statuses(node, token)
    assert found == {
        row.name: CARRIED_OUT.get(row.name, 200) if covers(role, row.role) else 403
        for row in ENDPOINTS
    }


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
async def test_a_page_of_somebody_else_changes_nothing_and_reads_no_stream(
    node: Served, headers: dict[str, str]
) -> None:
    found = await statuses(node, FULL, **headers)
    assert found == {
        row.name: CARRIED_OUT.get(row.name, 200)
        if row.role == "public" and row.method == "GET"
        else 403
        for row in ENDPOINTS
    }


async def test_our_own_page_is_served(node: Served) -> None:
    headers = {"origin": node.url, "sec-fetch-site": "same-origin"}
    found = await statuses(node, FULL, **headers)
    assert found == {row.name: CARRIED_OUT.get(row.name, 200) for row in ENDPOINTS}


@pytest.mark.parametrize("name", HOSTS)
async def test_a_name_that_is_not_ours_reaches_nothing(node: Served, name: str) -> None:
    found = await statuses(node, FULL, host=name)
    assert set(found.values()) <= {400, 421}
    assert found.keys() == HANDLERS.keys()


async def test_names_of_ours_and_those_that_the_settings_add_are_served(host: LocalHost) -> None:
    async with (
        serving(host, allowed_hosts=["Node.Example"]) as node,
        node.client(READ) as client,
    ):
        for name in ("localhost", "127.0.0.1:1", "[::1]:8080", "NODE.example:8080"):
            answer = await client.get("/api/workstreams", headers={"host": name})
            assert answer.status_code == 200, name
        other = await client.get("/api/workstreams", headers={"host": "other.example"})
        assert other.status_code == 421


async def test_a_wrong_bearer_is_not_rescued_by_a_good_cookie(node: Served) -> None:
    cookie = f"turnstone_auth={FULL}"
    async with node.client(None) as client:
        good = await client.get("/api/workstreams", headers={"cookie": cookie})
        wrong = await client.get("/api/workstreams", headers={"cookie": cookie} | bearer("x"))
        other = await client.get(
            "/api/workstreams", headers={"cookie": cookie, "authorization": "Basic eDp5"}
        )
        lower = await client.get("/api/workstreams", headers={"authorization": f"bearer {FULL}"})
    assert [a.status_code for a in (good, wrong, other, lower)] == [200, 401, 200, 200]
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_tokens_of_other_alphabets_are_compared_and_not_stumbled_over(
    host: LocalHost,
) -> None:
    async with (
        serving(host, auth=Auth([Token("schlüssel")])) as node,
        node.client(None) as peer,
    ):
        for sent, status_code in ((b"\xff\xe9", 401), ("schlüssel".encode(), 200)):
            answer = await peer.get(
                "/api/workstreams", headers=[(b"authorization", b"Bearer " + sent)]
            )
            assert answer.status_code == status_code


async def test_health_says_no_more_than_ok_to_a_stranger(node: Served) -> None:
    async with node.client(None) as stranger, node.client(READ) as known:
        assert (await stranger.get("/health")).json() == {"status": "ok"}
        wrong = await stranger.get("/health", headers=bearer("x"))
        assert wrong.json() == {"status": "ok"}
        told = (await known.get("/health")).json()
    assert told.keys() >= {"status", "version", "uptime_seconds", "model", "workstreams"}
    assert told["role"] == "read"


async def test_a_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    node: Served,
) -> None:
    async with node.client(None) as browser:
        answer = await browser.post("/api/auth/login", json={"token": READ})
        assert answer.json() == {"status": "ok", "role": "read"}
        cookie = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/", "max-age=2592000"} <= {
            part.strip() for part in cookie.split(";")
        }
        assert (await browser.get("/api/workstreams")).status_code == 200
        assert (await browser.post("/api/send", json={})).status_code == 403

        await browser.post("/api/auth/logout")
        assert (await browser.get("/api/workstreams")).status_code == 401


async def test_a_token_of_any_characters_survives_the_cookie(host: LocalHost) -> None:
    value = 'sp ace;semi,"quote"=é%41'
    async with (
        serving(host, auth=Auth([Token(value, "full")])) as node,
        node.client(None) as browser,
    ):
        assert (await browser.post("/api/auth/login", json={"token": value})).status_code == 200
        assert (await browser.get("/api/workstreams")).status_code == 200


async def test_a_wrong_token_is_refused_and_ten_of_them_are_enough(node: Served) -> None:
    async with node.client(None) as browser:
        tried = [
            (await browser.post("/api/auth/login", json={"token": f"guess {n}"})).status_code
            for n in range(11)
        ]
        right = await browser.post("/api/auth/login", json={"token": FULL})
        link = await browser.get(node.app.login_link(""))
    assert tried == [401] * 10 + [429]
    assert right.status_code == 429
    assert link.status_code == 429


async def test_a_login_link_signs_one_browser_in_once(node: Served) -> None:
    link = node.app.login_link(node.url)
    async with node.client(None) as browser, node.client(None) as thief:
        assert (await browser.head(link)).status_code == 200
        first = await browser.get(link)
        again = await browser.get(link)
        other = await thief.get(link)
        page = await browser.get("/")
        sent = await browser.post("/api/workstreams/new", json={})

    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert again.status_code == 303  # who is signed in already has no need of the code
    assert other.status_code == 401
    assert other.headers["content-type"].startswith("text/html")
    assert "set-cookie" not in other.headers
    assert page.content == (ROOT / "node/index.html").read_bytes()
    assert sent.status_code == 200


def test_a_login_link_is_good_for_a_day() -> None:
    now = [0.0]
    auth = Auth([Token(READ, "read"), Token(FULL, "full")], clock=lambda: now[0])
    early, late = auth.login_code(), auth.login_code()
    assert early
    assert late
    now[0] = LINK_LIFETIME - 1
    assert auth.redeem(early) == Known(Token(FULL).digest, "full", "")
    now[0] = LINK_LIFETIME
    assert auth.redeem(late) is None
    assert auth.redeem("") is None


def test_a_token_is_not_shown_where_it_is_printed() -> None:
    assert FULL not in repr(Token(FULL, "full"))


def test_failures_are_forgotten_after_the_window_and_clients_are_told_apart() -> None:
    now = [0.0]
    attempts = Attempts(2, 60.0, lambda: now[0])
    for _ in range(2):
        assert attempts.may("one")
        attempts.failed("one")
    assert not attempts.may("one")
    assert attempts.may("two")
    now[0] = 60.0
    assert attempts.may("one")


async def test_a_stream_that_is_refused_again_is_refused_slowly(host: LocalHost) -> None:
    async with serving(host, refusal_delay=3600.0) as node, node.client("wrong") as peer:
        for path in ("/api/workstreams", "/api/events?ws_id=x"):
            assert (await peer.get(path)).status_code == 401
        with pytest.raises(httpx2.ReadTimeout):
            await peer.get("/api/events/global", timeout=0.3)
        assert (await peer.get("/api/workstreams")).status_code == 401


async def test_with_tokens_switched_off_programs_may_and_foreign_pages_may_not(
    host: LocalHost,
) -> None:
    async with serving(host, auth=Auth(enabled=False)) as node, node.client(None) as peer:
        found = {
            row.name: await status(peer, row, (await host.create(CreateWorkstream())).id)
            for row in ENDPOINTS
            if not row.stream
        }
        foreign = await peer.post(
            "/api/workstreams/new", json={}, headers={"origin": "http://evil.example"}
        )
        assert node.app.login_link(node.url) == f"{node.url}/"
    assert found == {
        row.name: (CARRIED_OUT | {"login": 401}).get(row.name, 200)
        for row in ENDPOINTS
        if not row.stream
    }
    assert foreign.status_code == 403


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}".strip()}


def test_the_roles_include_each_other() -> None:
    auth = three_roles()
    assert auth.has_tokens
    assert covers("full", "approve")
    assert covers("approve", "read")
    assert not covers("read", "approve")
    assert not covers("approve", "full")
