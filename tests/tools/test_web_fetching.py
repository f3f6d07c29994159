"""How `web_fetch` gets a page: limits, redirects, certificates; against servers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import httpx2
import pytest

from support.web import Answer, WebServer, names, opened, redirect, reply, web_server
from turnstone.core.errors import BlockedDestination
from turnstone.tools.web.addresses import Reach
from turnstone.tools.web.connecting import Unreachable
from turnstone.tools.web.fetching import MAX_BODY, MAX_REDIRECTS, Fetcher, FetchFailed

OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


async def fetched(server: WebServer, path: str = "/", limit: float = 20.0) -> bytes:
    async with asyncio.timeout(limit):
        return (await Fetcher(opened(server)).get(server.url(path))).body


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Answer:
    """An answer that never ends by itself."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


async def test_a_page_comes_with_its_kind_and_charset() -> None:
    body = reply("<p>hi", kind="text/html; charset=latin-1")
    async with web_server({"/a?b=c": body}) as server:
        page = await Fetcher(opened(server)).get(server.url("/a?b=c#part"))

    assert (page.kind, page.charset, page.body, page.whole) == ("html", "latin-1", b"<p>hi", True)
    [request] = server.requests
    assert request.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n" in request
    assert "turnstone/1.0" in request


async def test_the_next_address_of_a_name_is_tried_when_one_takes_no_connection() -> None:
    async with web_server({"/": reply("here")}) as server:
        fetcher = Fetcher(
            Reach(frozenset({server.port}), opened(server).networks, ("two.example",)),
            resolve=names(two_example=["127.0.0.9", server.address]),
        )
        page = await fetcher.get(server.url(host="two.example"))

    assert page.body == b"here"
    assert f"Host: two.example:{server.port}" in server.requests[0]


async def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(Unreachable, match="the name none.example is not known"):
        await Fetcher(resolve=names()).get("http://none.example/")


# Redirects.


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temp", "308 Perm"])
async def test_each_kind_of_redirect_is_followed_with_get(status: str) -> None:
    answers = {"/a": redirect("b?x=1", status), "/b?x=1": reply("there")}
    async with web_server(answers) as server:
        page = await Fetcher(opened(server)).get(server.url("/a"))

    assert page.body == b"there"
    assert page.url == server.url("/b?x=1")
    assert all(request.startswith("GET ") for request in server.requests)


async def test_a_redirect_that_is_not_quoted_is_followed_as_browsers_do() -> None:
    async with web_server({"/a": redirect("/b c"), "/b%20c": reply("there")}) as server:
        assert await fetched(server, "/a") == b"there"


async def test_redirects_end_after_a_few() -> None:
    answers = {f"/{n}": redirect(f"/{n + 1}") for n in range(20)}
    async with web_server({**answers, "/loop": redirect("/loop")}) as server:
        with pytest.raises(FetchFailed, match="redirects more than 5 times"):
            await fetched(server, "/0")
        assert len(server.requests) == MAX_REDIRECTS + 1
        with pytest.raises(FetchFailed, match="redirects more than 5 times"):
            await fetched(server, "/loop")
        server.answers = {**answers, "/5": reply("end")}
        assert await fetched(server, "/0") == b"end"


async def test_a_redirect_to_a_host_that_was_not_decided_about_is_told_and_not_followed() -> None:
    async with web_server(address="127.0.0.2") as other:
        async with web_server({"/": redirect(other.url("/x"))}) as server:
            fetcher = Fetcher(opened(server, other))
            with pytest.raises(FetchFailed, match="redirects to another host: http://127.0.0.2"):
                await fetcher.get(server.url(), hosts=[server.address])

    assert other.connections == 0


async def test_nothing_that_a_server_gives_is_carried_to_the_next_request() -> None:
    async with web_server({"/": reply("end")}, address="127.0.0.2") as other:
        first = reply(status="302 Found", Location=other.url(), Set_Cookie="a=b; Path=/")
        async with web_server({"/": first}) as server:
            await Fetcher(opened(server, other)).get(server.url())

    [request] = other.requests
    assert not {"cookie", "authorization", "referer"} & {
        line.partition(":")[0].lower() for line in request.splitlines()
    }


# Sizes and times.


async def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip_of_zeros(200_000_000)
    assert len(bomb) < 300_000
    async with web_server({"/": reply(bomb, Content_Encoding="gzip")}) as server:
        page = await Fetcher(opened(server)).get(server.url())

    assert len(page.body) == MAX_BODY
    assert not page.whole


async def test_without_our_limit_the_bomb_goes_off() -> None:
    bomb = gzip_of_zeros(50_000_000)
    async with web_server({"/": reply(bomb, Content_Encoding="gzip")}) as server:
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert len((await client.get(server.url())).content) == 50_000_000 > MAX_BODY


async def test_a_bomb_in_a_bomb_is_not_even_opened() -> None:
    bomb = gzip.compress(gzip_of_zeros(100_000_000))
    async with web_server({"/": reply(bomb, Content_Encoding="gzip, gzip")}) as server:
        with pytest.raises(FetchFailed, match="in a way that was not asked for"):
            await fetched(server)


async def test_what_is_compressed_is_read_whole() -> None:
    text = b"".join(b"line %d\n" % n for n in range(100_000))
    halves = gzip.compress(text[:500_000]) + gzip.compress(text[500_000:])
    async with web_server(
        {
            "/one": reply(gzip.compress(text), Content_Encoding="gzip"),
            "/two": reply(halves, Content_Encoding="x-gzip"),
            "/none": reply(b"", Content_Encoding="gzip"),
            "/cut": reply(gzip.compress(text)[:-100], Content_Encoding="gzip"),
            "/not": reply(text, Content_Encoding="gzip"),
        }
    ) as server:
        assert await fetched(server, "/one") == text
        assert await fetched(server, "/two") == text
        assert await fetched(server, "/none") == b""
        for path in ("/cut", "/not"):
            with pytest.raises(FetchFailed, match="the compressed data is broken"):
                await fetched(server, path)


@pytest.mark.parametrize(
    "head",
    [
        OK_HEAD + b"\r\n",
        OK_HEAD + b"Content-Length: 99999999999\r\n\r\n",
    ],
)
async def test_a_body_without_end_is_cut_at_the_limit(head: bytes) -> None:
    async with web_server({"/": endless(head, b"x" * 65_536)}) as server:
        page = await Fetcher(opened(server)).get(server.url())

    assert len(page.body) == MAX_BODY
    assert not page.whole


@pytest.mark.parametrize(
    "answer",
    [
        endless(OK_HEAD + b"\r\n", b"x", 0.05),
        endless(OK_HEAD, b"X-More: y\r\n", 0.05),
        endless(b"", b"H", 0.05),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    ],
    ids=["body", "headers", "first line", "continue"],
)
async def test_a_server_that_drips_is_left_at_the_time_limit(answer: Answer) -> None:
    async with web_server({"/": answer}) as server:
        with pytest.raises(TimeoutError):
            await fetched(server, limit=0.5)

    assert server.connections == 1


async def test_large_headers_are_taken_and_endless_ones_are_not() -> None:
    large = reply("body", X_Large="y" * 64_000)
    async with web_server(
        {"/64": large, "/all": endless(OK_HEAD, b"X-More: y\r\n" * 1_000)}
    ) as server:
        assert await fetched(server, "/64") == b"body"
        with pytest.raises(Unreachable):
            await fetched(server, "/all")


@pytest.mark.parametrize(
    "answer",
    [
        OK_HEAD + b"Content-Length: 100\r\n\r\nshort",
        OK_HEAD + b"Content-Length: -5\r\n\r\nshort",
        OK_HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nshorts",
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n",
        OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nsho",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"-ERR unknown command 'GET'\r\n",
        b"\0\1\2\3",
        b"",
    ],
)
async def test_an_answer_that_is_no_proper_http_is_an_error_in_words(answer: bytes) -> None:
    async with web_server({"/": answer}) as server:
        with pytest.raises(Unreachable, match=r"\w"):
            await fetched(server)


async def test_more_than_the_announced_length_is_not_read() -> None:
    async with web_server({"/": OK_HEAD + b"Content-Length: 4\r\n\r\nbodyHTTP/1.1"}) as server:
        assert await fetched(server) == b"body"


# What may be read.


@pytest.mark.parametrize(
    "kind",
    ["image/png", "application/octet-stream", "video/mp4", "application/zip", "font/woff2", "x"],
)
async def test_what_holds_no_text_is_refused_before_it_is_read(kind: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()
    async with web_server({"/": endless(head, b"x", 0.05)}) as server:
        with pytest.raises(FetchFailed, match="holds no text"):
            await fetched(server)


@pytest.mark.parametrize(
    ("kind", "read_as"),
    [
        ("text/html", "html"),
        ("Text/HTML;charset=utf-8", "html"),
        ("application/xhtml+xml", "html"),
        ("text/plain", "text"),
        ("text/markdown", "text"),
        ("text/csv", "text"),
        ("application/json", "text"),
        ("application/ld+json", "text"),
        ("application/rss+xml", "text"),
        ("image/svg+xml", "text"),
        ("application/pdf", "pdf"),
        ("", "unknown"),
    ],
)
async def test_what_holds_text_is_read_as_what_it_is(kind: str, read_as: str) -> None:
    async with web_server({"/": reply("x", kind=kind)}) as server:
        assert (await Fetcher(opened(server)).get(server.url())).kind == read_as


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Internal Server Error", "204 No Content", "302 Found", "418 I"]
)
async def test_a_status_that_is_no_page_is_told(status: str) -> None:
    async with web_server({"/": reply("x", status=status)}) as server:
        if status.startswith("204"):
            server.answers = {"/": b"HTTP/1.1 204 No Content\r\n\r\n"}
            page = await Fetcher(opened(server)).get(server.url())
            assert page.body == b""
        else:
            with pytest.raises(FetchFailed, match=f"HTTP {status[:3]}"):
                await fetched(server)


# Ports, proxies, open doors.


async def test_a_port_that_is_not_listed_gets_no_byte() -> None:
    """As that of Redis: a request line is a command to it."""
    async with web_server({"/": reply("x")}) as redis, web_server() as server:
        with pytest.raises(BlockedDestination, match="has the port"):
            await Fetcher(opened(server)).get(redis.url())
        assert redis.connections == 0
        await Fetcher(opened(server, redis)).get(redis.url())  # were it listed
        assert redis.connections == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_not_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with web_server() as proxy, web_server({"/": reply("direct")}) as server:
        monkeypatch.setenv(name, proxy.url())
        assert await fetched(server) == b"direct"
        assert proxy.connections == 0
        async with httpx2.AsyncClient() as client:
            await client.get(server.url())
        monkeypatch.delenv(name)

    assert proxy.connections == 1  # another client hands its requests to it


async def test_a_named_host_may_be_private_and_never_a_metadata_service() -> None:
    async with web_server({"/": reply("inner")}) as server:
        reach = Reach(frozenset({server.port}), hosts=(".lan",))
        known = {"wiki_lan": server.address, "meta_lan": "169.254.169.254", "wiki_evil": "::1"}
        fetcher = Fetcher(reach, resolve=names(**known))

        assert (await fetcher.get(server.url(host="wiki.lan"))).body == b"inner"
        for host in ("meta.lan", "wiki.evil", "127.0.0.1"):
            with pytest.raises(BlockedDestination):
                await fetcher.get(server.url(host=host))

    assert len(server.requests) == 1


def gzip_of_zeros(size: int) -> bytes:
    """Compressed in pieces: the test must not hold what the fetcher must not hold."""
    packer = zlib.compressobj(wbits=31)
    piece = bytes(1_000_000)
    packed = b"".join(packer.compress(piece) for _ in range(size // len(piece)))
    return packed + packer.flush()
