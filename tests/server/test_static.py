"""The files of the pages: what is served, how it is cached, and that nothing else is."""

from __future__ import annotations

import pytest

from support.servers import Served
from turnstone.server.static import FILES, ROOT, TYPES

SCRIPT = "vendor/highlight.js"
CONTENT = (ROOT / SCRIPT).read_bytes()
URL = f"/static/{SCRIPT}"


def test_every_file_of_the_package_has_a_type_and_is_served() -> None:
    there = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert there == FILES.keys()
    assert {path.rpartition(".")[2] for path in there} <= {kind[1:] for kind in TYPES}


async def test_a_script_has_its_type_and_its_bytes(node: Served) -> None:
    async with node.client(None) as browser:
        answer = await browser.get(URL, headers={"accept-encoding": "identity"})
        page = await browser.get("/")
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-length"] == str(len(CONTENT))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert page.headers["permissions-policy"]
    assert page.headers["cross-origin-opener-policy"] == "same-origin"


async def test_text_is_packed_for_who_takes_it_and_caches_are_told(node: Served) -> None:
    async with node.client(None) as browser:
        packed = await browser.get(URL, headers={"accept-encoding": "br, gzip;q=0.5"})
        refused = await browser.get(URL, headers={"accept-encoding": "gzip;q=0, *"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(CONTENT) / 2
    assert packed.content == refused.content == CONTENT
    assert "content-encoding" not in refused.headers
    assert packed.headers["vary"] == refused.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != refused.headers["etag"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_what_has_not_changed_is_not_sent_again(node: Served, encoding: str) -> None:
    headers = {"accept-encoding": encoding}
    async with node.client(None) as browser:
        first = await browser.get(URL, headers=headers)
        for named in (
            {"if-none-match": first.headers["etag"]},
            {"if-none-match": f'"x", W/{first.headers["etag"]}'},
            {"if-none-match": "*"},
            {"if-modified-since": first.headers["last-modified"]},
        ):
            again = await browser.get(URL, headers=headers | named)
            assert (again.status_code, again.content) == (304, b""), named
        for named in (
            {"if-none-match": '"x"', "if-modified-since": first.headers["last-modified"]},
            {"if-modified-since": "Mon, 01 Jan 1990 00:00:00 GMT"},
            {"if-modified-since": "yesterday"},
        ):
            changed = await browser.get(URL, headers=headers | named)
            assert (changed.status_code, changed.content) == (200, CONTENT), named


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-10", slice(-10, None)),
        (f"bytes=5-{10**12}", slice(5, None)),
    ],
)
async def test_a_part_is_sent_as_such(node: Served, asked: str, part: slice) -> None:
    async with node.client(None) as browser:
        answer = await browser.get(URL, headers={"range": asked})
        head = await browser.head(URL, headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[part])
    first = range(len(CONTENT))[part][0]
    last = range(len(CONTENT))[part][-1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert (head.status_code, head.content) == (206, b"")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes=-", "bytes"])
async def test_a_range_that_is_none_is_passed_over(node: Served, asked: str) -> None:
    async with node.client(None) as browser:
        answer = await browser.get(URL, headers={"range": asked})
        other = await browser.get(URL, headers={"range": "bytes=0-9", "if-range": '"another"'})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert other.status_code == 200


@pytest.mark.parametrize("asked", [f"bytes={10**9}-", "bytes=-0"])
async def test_a_part_that_is_not_there_is_refused_with_the_size(node: Served, asked: str) -> None:
    async with node.client(None) as browser:
        answer = await browser.get(URL, headers={"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


OUTSIDE = [
    "../server/app.py",
    "..%2fserver%2fapp.py",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5cetc%5cpasswd",
    "%252e%252e/server/app.py",
    "....//....//etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "shared/../../server/app.py",
    "shared/html.js%00.css",
    "%c0%ae%c0%ae/etc/passwd",
    "__init__.py",
    "",
    ".",
    "shared",
    "shared/",
    "shared/html.js/",
    "Shared/html.js",
]


@pytest.mark.parametrize("path", OUTSIDE)
async def test_no_path_leads_out_of_the_list(node: Served, path: str) -> None:
    from support.raw import exchange

    head, body = await exchange(
        node.port, f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert head.startswith("HTTP/1.1 404 "), head
    assert b"unknown_path" in body


async def test_the_page_is_that_of_who_asks(node: Served) -> None:
    home = (ROOT / "node/index.html").read_bytes()
    login = (ROOT / "node/login.html").read_bytes()
    async with node.client() as known, node.client(None) as stranger:
        assert (await known.get("/")).content == home
        signed_out = await stranger.get("/")
        assert (signed_out.content, signed_out.status_code) == (login, 200)
        assert "Cookie" in signed_out.headers["vary"]
        assert (await stranger.get("/login")).content == login


async def test_long_json_is_packed_and_streams_are_not(node: Served) -> None:
    gzipped = {"accept-encoding": "gzip"}
    async with node.client() as client:
        long = await client.get("/openapi.json", headers=gzipped)
        commands = await client.get("/api/commands", headers=gzipped)
        plain = await client.get("/api/commands", headers={"accept-encoding": "identity"})
        short = await client.get("/api/workstreams", headers=gzipped)
        async with client.stream("GET", "/api/events/global", headers=gzipped) as stream:
            assert "content-encoding" not in stream.headers
    assert long.headers["content-encoding"] == commands.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in short.headers
    assert commands.json() == plain.json()
    assert plain.headers["vary"] == "Accept-Encoding"
    assert int(commands.headers["content-length"]) < int(plain.headers["content-length"])
