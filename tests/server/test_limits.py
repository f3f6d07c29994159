"""Tokens of others, browsers that are signed in, proxies, and how much one may ask."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from support.servers import FULL, READ, Served, serving
from turnstone.api.token_file import TokenFile, digest_of
from turnstone.core.errors import ConfigurationError
from turnstone.core.local_host import LocalHost
from turnstone.server.auth import Auth, Token
from turnstone.server.limits import Rates
from turnstone.server.login_sessions import LIFETIME, MOST, Sessions
from turnstone.server.proxies import Proxies


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_a_token_of_the_file_works_at_once_and_until_it_is_revoked(
    host: LocalHost, tmp_path: Path
) -> None:
    file = TokenFile(tmp_path)
    async with serving(host, auth=Auth([Token(FULL)], file=file)) as node, node.client(None) as c:
        token = TokenFile(tmp_path).add("ann", "read")
        assert token not in file.path.read_text()
        assert file.path.stat().st_mode & 0o777 == 0o600
        assert (await c.get("/api/workstreams", headers=bearer(token))).status_code == 200
        assert (await c.post("/api/send", json={}, headers=bearer(token))).status_code == 403
        await c.post("/api/auth/login", json={"token": token})
        assert (await c.get("/api/workstreams")).status_code == 200
        TokenFile(tmp_path).revoke("ann")
        assert (await c.get("/api/workstreams", headers=bearer(token))).status_code == 401
        assert (await c.get("/api/workstreams")).status_code == 401


def test_a_token_is_listed_by_its_name_and_no_name_is_given_twice(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    assert file.known() == []
    one, other = file.add("ann", "approve"), file.add("bob@host", "full")
    assert [(t.name, t.role, t.digest) for t in TokenFile(tmp_path).known()] == [
        ("ann", "approve", digest_of(one)),
        ("bob@host", "full", digest_of(other)),
    ]
    for name in ("ann", "local", "configured", "", "a b", "x" * 65, "a\nb"):
        with pytest.raises(ConfigurationError):
            file.add(name, "read")
    with pytest.raises(ConfigurationError, match="no token 'eve'"):
        file.revoke("eve")


@pytest.mark.parametrize("damage", ["open to others", "a line that is none", "a link"])
async def test_a_file_of_tokens_that_cannot_be_trusted_lets_nobody_in(
    host: LocalHost, tmp_path: Path, damage: str
) -> None:
    file = TokenFile(tmp_path)
    token = file.add("ann", "full")
    async with serving(host, auth=Auth([Token(FULL)], file=file)) as node, node.client(None) as c:
        assert (await c.get("/api/workstreams", headers=bearer(token))).status_code == 200
        if damage == "open to others":
            content = file.path.read_text()
            file.path.unlink()
            file.path.write_text(content + "\n")
            file.path.chmod(0o644)
        elif damage == "a link":
            file.path.rename(tmp_path / "elsewhere")
            file.path.symlink_to(tmp_path / "elsewhere")
        else:
            with open(file.path, "a") as opened:
                opened.write("sha256:xyz full eve 1\n")
        assert (await c.get("/api/workstreams", headers=bearer(token))).status_code == 401
        assert (await c.get("/api/workstreams", headers=bearer(FULL))).status_code == 200
    with pytest.raises(ConfigurationError):
        Auth([], file=TokenFile(tmp_path))


def test_a_token_may_be_given_as_its_digest() -> None:
    auth = Auth([Token(f"sha256:{digest_of('secret')}", "read", "ann")])
    found = auth.token("secret")
    assert found is not None
    assert (found.role, found.name) == ("read", "ann")
    assert auth.token(f"sha256:{digest_of('secret')}") is None


async def test_the_cookie_holds_no_token_and_is_good_in_a_cookie_alone(node: Served) -> None:
    async with node.client(None) as browser, node.client(None) as thief:
        answer = await browser.post("/api/auth/login", json={"token": READ})
        cookie = browser.cookies["turnstone_auth"]
        assert READ not in answer.headers["set-cookie"]
        as_bearer = await thief.get("/api/workstreams", headers=bearer(cookie))
        again = await thief.post("/api/auth/login", json={"token": cookie})
        await browser.post("/api/auth/logout")
        stolen = await thief.get("/api/workstreams", headers={"cookie": f"turnstone_auth={cookie}"})
    assert [a.status_code for a in (as_bearer, again, stolen)] == [401, 401, 401]


async def test_signing_out_everywhere_ends_every_browser_of_that_token_only(
    node: Served,
) -> None:
    async with node.client(None) as one, node.client(None) as two, node.client(None) as other:
        for browser, token in ((one, FULL), (two, FULL), (other, READ)):
            await browser.post("/api/auth/login", json={"token": token})
        out = await one.post("/api/auth/logout-everywhere")
        assert out.json() == {"status": "ok", "ended": 2}
        found = [(await b.get("/api/workstreams")).status_code for b in (one, two, other)]
        assert (await other.get("/api/workstreams", headers=bearer(FULL))).status_code == 200
    assert found == [401, 401, 200]


def test_a_browser_stays_signed_in_over_a_restart_for_thirty_days(tmp_path: Path) -> None:
    now = [1000.0]
    path = tmp_path / "sessions.json"
    begun = Sessions(path, lambda: now[0]).begin("digest")
    assert begun not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    now[0] += LIFETIME - 1
    assert Sessions(path, lambda: now[0]).token_of(begun) == "digest"
    now[0] += 1
    assert Sessions(path, lambda: now[0]).token_of(begun) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_a_file_of_sessions_that_is_damaged_signs_out_and_stops_nothing(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "sessions.json"
    path.write_text(content)
    path.chmod(0o600)
    sessions = Sessions(path)
    assert "sign in again" in caplog.text
    assert sessions.token_of("x") is None
    assert Sessions(path).token_of(sessions.begin("digest")) is None
    assert sessions.token_of(sessions.begin("digest")) == "digest"


def test_of_too_many_browsers_the_first_is_signed_out() -> None:
    sessions = Sessions()
    first, *others = [sessions.begin("digest") for _ in range(MOST + 1)]
    assert sessions.token_of(first) is None
    assert all(sessions.token_of(one) for one in others)


async def test_a_token_that_asks_too_often_is_told_when_to_ask_again(host: LocalHost) -> None:
    async with serving(host, rate_limit=5) as node, node.client() as c:
        found = [await c.get("/api/workstreams") for _ in range(6)]
        other = await c.get("/api/workstreams", headers=bearer(READ))
        health = await c.get("/health", headers={"authorization": ""})
    assert [a.status_code for a in found] == [200] * 5 + [429]
    assert found[-1].json()["code"] == "too_many_requests"
    assert 1 <= int(found[-1].headers["retry-after"]) <= 12
    assert (other.status_code, health.status_code) == (200, 200)


async def test_an_address_without_a_token_that_asks_too_often_does_not_hold_up_others(
    host: LocalHost,
) -> None:
    async with serving(host, anonymous_rate_limit=6) as node, node.client(None) as c:
        found = [await c.get("/api/workstreams") for _ in range(4)]
        found += [await c.get("/api/workstreams", headers=bearer("wrong")) for _ in range(2)]
        refused = [await c.get("/api/workstreams"), await c.get("/health"), await c.get("/login")]
        known = await c.get("/api/workstreams", headers=bearer(READ))
    assert [a.status_code for a in found] == [401] * 6
    assert [a.status_code for a in refused] == [429] * 3
    assert refused[0].json()["code"] == "too_many_requests"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert known.status_code == 200


def test_a_caller_may_ask_again_as_time_goes_on() -> None:
    now = [0.0]
    rates = Rates(60, lambda: now[0])
    assert [rates.wait("a") for _ in range(61)] == [0] * 60 + [1]
    assert rates.wait("b") == 0
    now[0] += 2
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 1]


SEEN = [
    ("10.0.0.1", {}, ("http", "10.0.0.1")),
    ("10.0.0.1", {"x-forwarded-proto": "https"}, ("https", "10.0.0.1")),
    ("10.0.0.1", {"x-forwarded-for": "192.0.2.9"}, ("http", "192.0.2.9")),
    ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, 192.0.2.9, 10.0.0.7"}, ("http", "192.0.2.9")),
    ("10.0.0.1", {"x-forwarded-for": "6.6.6.6, nonsense"}, ("http", "10.0.0.1")),
    ("10.0.0.1", {"x-forwarded-proto": "gopher"}, ("http", "10.0.0.1")),
    (
        "192.0.2.9",
        {"x-forwarded-proto": "https", "x-forwarded-for": "10.0.0.1"},
        ("http", "192.0.2.9"),
    ),
]


@pytest.mark.parametrize(("client", "headers", "seen"), SEEN)
def test_only_a_proxy_that_is_trusted_says_who_the_client_is(
    client: str, headers: dict[str, str], seen: tuple[str, str]
) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "client": (client, 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    found = Proxies(["10.0.0.0/8"]).seen_through(scope)
    assert (found["scheme"], found["client"][0]) == seen
    assert Proxies().seen_through(scope) == scope


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies: 'proxy.example'"):
        Proxies(["proxy.example"])


@pytest.mark.parametrize(("trusted", "secure"), [(["127.0.0.1"], True), ([], False)])
async def test_a_cookie_behind_tls_is_for_tls_alone(
    host: LocalHost, trusted: list[str], secure: bool
) -> None:
    async with serving(host, trusted_proxies=trusted) as node, node.client(None) as browser:
        answer = await browser.post(
            "/api/auth/login", json={"token": READ}, headers={"x-forwarded-proto": "https"}
        )
    assert ("secure" in answer.headers["set-cookie"].lower()) is secure


KEYED = {"idempotency-key": "0123-abcd"}


async def test_a_workstream_is_made_once_under_a_key_however_often_it_is_asked(
    node: Served,
) -> None:
    async with node.client() as c:
        asked = [
            c.post("/api/workstreams/new", json={"name": "one"}, headers=KEYED) for _ in range(5)
        ]
        answers = await asyncio.gather(*asked)
        other = await c.post("/api/workstreams/new", json={"name": "two"}, headers=KEYED)
        listed = (await c.get("/api/workstreams")).json()["workstreams"]
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["ws_id"] for a in answers}) == 1
    assert len(listed) == 1
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_used")


async def test_a_message_under_a_key_is_accepted_once_and_the_key_is_its_correlation_id(
    node: Served,
) -> None:
    async with node.client() as c:
        ws_id = (await c.post("/api/workstreams/new", json={})).json()["ws_id"]
        body = {"ws_id": ws_id, "message": "hello"}
        first = (await c.post("/api/send", json=body, headers=KEYED)).json()
        again = (await c.post("/api/send", json=body, headers=KEYED)).json()
        both = await c.post("/api/send", json=body | {"correlation_id": "x"}, headers=KEYED)
        long = await c.post("/api/send", json=body, headers={"idempotency-key": "x" * 129})
        done = await c.post(
            "/api/command", json={"ws_id": ws_id, "command": "/help"}, headers=KEYED
        )
    assert (first["correlation_id"], first["duplicate"]) == ("0123-abcd", False)
    assert (again["correlation_id"], again["duplicate"]) == ("0123-abcd", True)
    assert both.status_code == long.status_code == 422
    assert done.json()["command_id"] == "0123-abcd"


async def test_a_failure_is_not_kept_under_its_key(node: Served) -> None:
    async with node.client() as c:
        failed = await c.post("/api/workstreams/fork", json={"ws_id": "f" * 8}, headers=KEYED)
        ws_id = (await c.post("/api/workstreams/new", json={})).json()["ws_id"]
        done = await c.post("/api/workstreams/fork", json={"ws_id": ws_id}, headers=KEYED)
    assert (failed.status_code, done.status_code) == (404, 200)


@pytest.mark.parametrize(
    ("path", "name", "key"),
    [("/api/workstreams", "workstreams", "id"), ("/api/memories", "memories", "key")],
)
async def test_every_list_is_read_page_by_page_by_what_it_calls_next(
    node: Served, path: str, name: str, key: str
) -> None:
    async with node.client() as c:
        for n in range(5):
            await c.post("/api/workstreams/new", json={})
            await c.post("/api/memories", json={"key": f"k{n}", "value": "v"})
        whole = [row[key] for row in (await c.get(path)).json()[name]]
        pages: list[Any] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await c.get(path, params=query)).json()
            pages += [row[key] for row in page[name]]
            if not page.get("next"):
                break
            query["after"] = page["next"]
        wrong = await c.get(path, params={"limit": 2, "after": "9" * 5000})
    assert pages == whole
    assert len(whole) == 5
    assert wrong.status_code in (404, 422)


def test_no_file_is_left_behind_by_writing(tmp_path: Path) -> None:
    TokenFile(tmp_path).add("ann", "read")
    Sessions(tmp_path / "sessions.json").begin("digest")
    assert set(os.listdir(tmp_path)) == {"tokens", "tokens.lock", "sessions.json"}
