"""The HTTP transport: what is sent, and one sentence for everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from modelserver import ModelServer, Reply, error, hold, raw, text
from oturn.errors import ConfigError, ModelError, ModelServerError
from oturn.transport.base import (
    Failed,
    Finished,
    ModelInfo,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
)
from oturn.transport.endpoint import SHARE
from oturn.transport.openai import OpenAITransport, list_models
from oturn.transport.retry import ONE_REQUEST, RetryNotice

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
#: Seconds that a test waits for what must come.
PATIENCE = 5.0


async def items_of(transport: OpenAITransport, request: ModelRequest = REQUEST) -> list[StreamItem]:
    try:
        async with asyncio.timeout(PATIENCE):
            return [item async for item in transport.stream(request)]
    finally:
        await transport.aclose()


async def failure(reply: Reply, **settings: object) -> ModelError:
    with ModelServer(lambda _: reply) as server:
        transport = OpenAITransport(server.base_url, retry=ONE_REQUEST, **settings)  # type: ignore[arg-type]
        items = await items_of(transport)
    assert isinstance(items[-1], Failed)
    assert "\n" not in items[-1].error.message
    return items[-1].error


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


async def test_key_headers_query_and_body_are_sent() -> None:
    with ModelServer(lambda _: text("hi"), api_key="secret") as server:
        transport = OpenAITransport(
            server.base_url + "/", " secret ", extra_headers={"x-one": "1"}, query={"v": "2"}
        )
        items = await items_of(transport, ModelRequest("m", [], params={"top_p": 1}))
        assert isinstance(items[-1], Finished)
        assert server.headers[0]["x-one"] == "1"
        assert server.requests == [
            {
                "model": "m",
                "messages": [],
                "top_p": 1,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ]


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1"
    (item,) = await items_of(OpenAITransport(url, retry=ONE_REQUEST))
    assert isinstance(item, Failed)
    assert item.error.kind == "unreachable"
    assert f"{url}/chat/completions" in item.error.message
    assert "start the model server" in item.error.message


async def test_a_refused_key_is_told_without_the_key() -> None:
    with ModelServer(lambda _: text("hi"), api_key="secret") as server:
        (item,) = await items_of(OpenAITransport(server.base_url, "wrong-key"))
    assert isinstance(item, Failed)
    assert (item.error.kind, item.error.status) == ("auth", 401)
    assert "wrong-key" not in item.error.message


async def test_a_wrong_path_points_to_the_base_url() -> None:
    with ModelServer(lambda _: text("hi")) as server:
        (item,) = await items_of(OpenAITransport(server.base_url.removesuffix("/v1")))
    assert isinstance(item, Failed)
    assert item.error.kind == "not_found"
    assert "usually ends in /v1" in item.error.message


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (error(404, "The model `m` does not exist"), "not_found", "no model 'm'"),
        (error(400, "maximum context length is 4096 tokens"), "too_long", "shorten it"),
        (error(413, "big"), "too_long", "shorten it"),
        (error(400, "temperature must be below 2"), "refused", "temperature must be below 2"),
        (error(500, "out of memory"), "server", "out of memory"),
        (error(503, "loading"), "server", "try again"),
        (error(403, "no"), "auth", "API key"),
        (raw({"error": {"message": "GPU lost"}}), "server", "GPU lost"),
        (raw("nonsense"), "broken", "no chat-completions stream"),
        (raw(b": wait\n\n"), "broken", "before it was whole"),
        (raw({"choices": [{"delta": {"content": "hi"}}]}), "broken", "before it was whole"),
        (raw(), "broken", "chat/completions sent an empty answer"),
        (raw(b"<!doctype html>\n<p>log in"), "broken", "chat/completions sent a web page"),
        (raw(b"It works!"), "broken", "no chat-completions stream ('It works!')"),
    ],
)
async def test_each_failure_has_its_kind_and_sentence(reply: Reply, kind: str, said: str) -> None:
    problem = await failure(reply)
    assert problem.kind == kind
    assert said in problem.message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("1.5", 1.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None)],
)
async def test_retry_after_is_read_as_seconds_or_a_date(header: str, seconds: float | None) -> None:
    problem = await failure(error(429, "slow down", {"retry-after": header}))
    assert (problem.kind, problem.retry_after) == ("rate_limited", seconds)


async def test_a_server_that_falls_silent_is_a_timeout() -> None:
    gate = threading.Event()
    try:
        problem = await failure(hold(text("Hello, you there."), gate, before=2), timeout=0.3)
    finally:
        gate.set()
    assert problem.kind == "timeout"
    assert "0.3 s" in problem.message


async def test_an_answer_whose_connection_breaks_behind_its_finish_reason_is_whole() -> None:
    last = {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}
    reply = Reply(raw=raw(last).raw, die_after=1)
    with ModelServer(lambda _: reply) as server:
        items = await items_of(OpenAITransport(server.base_url))
    assert items == [TextDelta("hi"), Finished("stop")]


async def test_a_server_that_answers_without_a_stream_is_understood() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
        return httpx2.Response(200, json={"choices": [choice]})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        items = await items_of(OpenAITransport("http://model.test/v1", client=client))
        assert items == [TextDelta("hi"), Finished("stop")]
        assert not client.is_closed


async def test_a_redirect_names_the_address_to_use() -> None:
    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(301, headers={"location": "https://model.test/v1"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(elsewhere)) as client:
        (item,) = await items_of(OpenAITransport("http://model.test/v1", client=client))
    assert isinstance(item, Failed)
    assert "https://model.test/v1" in item.error.message


async def test_a_request_that_is_no_json_is_a_failure_and_nothing_is_sent() -> None:
    with ModelServer(lambda _: text("hi")) as server:
        request = ModelRequest("m", [{"role": "user", "content": object()}])
        (item,) = await items_of(OpenAITransport(server.base_url), request)
        assert server.requests == []
    assert isinstance(item, Failed)
    assert "cannot be written as JSON" in item.error.message


async def test_lone_surrogates_in_a_request_do_no_harm() -> None:
    with ModelServer(lambda _: text("hi")) as server:
        request = ModelRequest("m", [{"role": "user", "content": "a\ud800b"}])
        items = await items_of(OpenAITransport(server.base_url), request)
        assert server.requests[0]["messages"][0]["content"] == "a?b"
    assert isinstance(items[-1], Finished)


async def test_a_reader_that_leaves_closes_the_connection() -> None:
    gate = threading.Event()
    with ModelServer(lambda _: hold(text("Hello, you there."), gate, before=3)) as server:
        transport = OpenAITransport(server.base_url)
        stream = transport.stream(REQUEST)
        assert isinstance(await anext(stream), TextDelta)
        await stream.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE):
            while not server.abandoned:
                await asyncio.sleep(0.01)
        await transport.aclose()


ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 85\r\n\r\n"
    b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


async def test_streams_in_turn_share_a_connection_and_none_of_many_at_once_is_left_open() -> None:
    many = 3 * SHARE
    opened = asked = 0
    all_asked = asyncio.Event()
    still_open: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened, asked
        opened += 1
        still_open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                asked += 1
                if asked > 3:
                    if asked == 3 + many:
                        all_asked.set()
                    await all_asked.wait()
                writer.write(ANSWER)
        writer.close()
        still_open.discard(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    transport = OpenAITransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")

    async def ask() -> list[StreamItem]:
        return [item async for item in transport.stream(REQUEST)]

    async with server, asyncio.timeout(PATIENCE):
        for _ in range(3):
            assert await ask() == [TextDelta("hi"), Finished("stop")]
        assert opened == 1
        answers = await asyncio.gather(*(ask() for _ in range(many)))
        assert answers == [[TextDelta("hi"), Finished("stop")]] * many
        assert opened == many
        await transport.aclose()
        while still_open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("base_url", ["", "localhost:8000/v1", "ftp://x/v1", "http://", "/v1"])
def test_a_base_url_that_is_none_is_refused_with_an_example(base_url: str) -> None:
    with pytest.raises(ConfigError, match="http"):
        OpenAITransport(base_url)


@pytest.mark.parametrize("key", ["naïve", "one\ntwo"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as told:
        OpenAITransport("http://model.test/v1", key)
    assert key not in str(told.value)


def test_a_password_in_the_base_url_is_not_shown() -> None:
    assert "pass" not in OpenAITransport("http://user:pass@model.test/v1?key=pass").url


async def test_models_are_listed_with_their_context_window() -> None:
    with ModelServer(lambda _: text("hi"), model="tiny", context_window=4096) as server:
        assert await list_models(server.base_url) == [ModelInfo("tiny", 4096)]


async def test_listing_models_where_nothing_listens_raises_one_sentence() -> None:
    with pytest.raises(ModelServerError, match="Nothing answers at") as told:
        await list_models(f"http://127.0.0.1:{unused_port()}/v1")
    assert told.value.error.kind == "unreachable"


async def test_listing_models_at_a_wrong_path_or_with_a_wrong_key_raises() -> None:
    with ModelServer(lambda _: text("hi"), api_key="secret") as server:
        with pytest.raises(ModelServerError) as told:
            await list_models(server.base_url + "/nowhere", "secret")
        assert told.value.error.kind == "not_found"
        with pytest.raises(ModelServerError) as told:
            await list_models(server.base_url)
        assert told.value.error.kind == "auth"


async def test_a_key_that_a_server_quotes_is_never_shown() -> None:
    with ModelServer(lambda body: error(401, "bad key sk-verysecret")) as server:
        transport = OpenAITransport(server.base_url, "sk-verysecret")
        items = [item async for item in transport.stream(ModelRequest("m", []))]
        await transport.aclose()

    [failed] = items
    assert isinstance(failed, Failed)
    assert "sk-verysecret" not in str(failed.error)
    assert "[the API key]" in str(failed.error)


@pytest.mark.parametrize("key", ["local", "http", "a", "none", "completions"])
async def test_a_key_that_is_a_common_word_does_not_spoil_our_own_words(key: str) -> None:
    with ModelServer(lambda _: error(401, f"bad key {key}, local-ai")) as server:
        (item,) = await items_of(OpenAITransport(server.base_url, key))
        url = f"{server.base_url}/chat/completions"
    assert isinstance(item, Failed)
    assert item.error.message.startswith(f"{url} refused the API key (HTTP 401)")
    assert item.error.message.endswith("The server says: bad key [the API key], local-ai")


async def test_a_key_in_a_stream_or_in_an_address_that_a_server_names_is_not_shown() -> None:
    key = "sk-very+secret/key"
    quoted = json.dumps({"error": {"message": f"no {key}!"}}).replace("+", "\\u002b")
    for reply in (raw(f"data: {quoted}\n\n".encode()), raw(key.encode()), raw(f"is {key}")):
        problem = await failure(reply, api_key=key)
        assert "secret" not in problem.message
        assert "[the API key]" in problem.message

    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"location": "https://x.test/?k=" + "sk-secret"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(elsewhere)) as client:
        (item,) = await items_of(
            OpenAITransport("http://model.test/v1", "sk-secret", client=client)
        )
    assert isinstance(item, Failed)
    assert item.error.message.startswith("http://model.test/v1/chat/completions points to")
    assert "sk-secret" not in item.error.message


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "sent an empty answer"),
        (b" \n<HTML>Please log in", "sent a web page"),
        (b'{"status": "ok"}', "no chat-completions stream"),
    ],
)
async def test_a_page_that_is_no_api_is_told_with_its_address(
    kind: str, body: bytes, said: str
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        transport = OpenAITransport("http://model.test/v1", client=client)
        (item,) = await items_of(transport)
        assert isinstance(item, Failed)
        assert item.error.message.startswith("http://model.test/v1/chat/completions sent ")
        assert said in item.error.message
        assert "check" in item.error.message
        if not body.startswith(b"{"):
            with pytest.raises(ModelServerError, match=said):
                await transport.complete(REQUEST)


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ConfigError, match=f"port {port}, and ports go from 1 to 65535"):
        OpenAITransport(f"http://localhost:{port}/v1")


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "." * 3])
def test_a_host_that_cannot_be_one_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="names no host|is no URL"):
        OpenAITransport(f"http://{host}/v1")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "abc"])
async def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigError, match="give seconds above 0"):
        OpenAITransport("http://model.test/v1", timeout=timeout)
    with pytest.raises(ConfigError, match="give seconds above 0"):
        await list_models("http://model.test/v1", timeout=timeout)


async def test_a_server_without_tls_is_told_to_be_asked_without_and_asked_once() -> None:
    asked: list[RetryNotice] = []
    with ModelServer(lambda _: text("hi")) as server:
        url = server.base_url.replace("http:", "https:")
        transport = OpenAITransport(url, on_retry=asked.append)
        (item,) = await items_of(transport)
        with pytest.raises(ModelServerError, match="not with TLS"):
            await list_models(url)
    assert isinstance(item, Failed)
    assert item.error.kind == "unreachable"
    assert "answers, but not with TLS" in item.error.message
    assert "try http://" in item.error.message
    assert asked == []


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 64 * 1024


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_a_refusal_of_unlimited_size_is_read_in_part(status: int) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=endless())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)) as client:
        transport = OpenAITransport("http://model.test/v1", client=client, retry=ONE_REQUEST)
        (item,) = await items_of(transport)
    assert isinstance(item, Failed)
    assert item.error.status == status
    assert len(item.error.message) < 1_000


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_an_answer_of_unlimited_size_is_a_clear_failure(kind: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=endless())

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        transport = OpenAITransport("http://model.test/v1", client=client)
        (item,) = await items_of(transport)
        with pytest.raises(ModelServerError, match="64 MiB"):
            await transport.complete(REQUEST)
    assert isinstance(item, Failed)
    assert "MiB" in item.error.message


async def test_a_list_of_models_of_unlimited_size_is_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 64 * 1024)
                await writer.drain()
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ModelServerError, match="not with a list of models"):
            await list_models(f"http://127.0.0.1:{port}/v1")


async def test_one_whole_answer_without_a_stream() -> None:
    with ModelServer(lambda _: text("hi")) as server:
        transport = OpenAITransport(server.base_url)
        answer = await transport.complete(ModelRequest("m", [], params={"max_tokens": 9}))
        await transport.aclose()
        assert answer["choices"][0]["message"]["content"] == "hi"
        assert answer["usage"]["total_tokens"] > 0
        assert server.requests == [{"model": "m", "messages": [], "max_tokens": 9, "stream": False}]


async def test_a_whole_answer_takes_the_same_ways_round_a_failure() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def plan(body: dict[str, Any]) -> Reply:
        if "temperature" in body:
            return error(400, "Unsupported parameter: 'temperature'")
        return error(503, "loading") if not waits else text("hi")

    with ModelServer(plan) as server:
        transport = OpenAITransport(server.base_url, sleep=sleep, chance=lambda: 0.0)
        request = ModelRequest("m", [], params={"temperature": 1})
        answer = await transport.complete(request)
        await transport.aclose()
        assert len(server.requests) == 3
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert waits == [0.5]


async def test_a_whole_answer_that_does_not_come_raises_one_sentence_without_the_key() -> None:
    with ModelServer(lambda _: error(401, "bad key sk-verysecret")) as server:
        transport = OpenAITransport(server.base_url, "sk-verysecret")
        with pytest.raises(ModelServerError, match="bad key") as told:
            await transport.complete(REQUEST)
        with pytest.raises(ModelServerError, match="cannot be written as JSON"):
            await transport.complete(ModelRequest("m", [{"content": object()}]))
        await transport.aclose()
    assert told.value.error.kind == "auth"
    assert "sk-verysecret" not in str(told.value)


async def test_think_tags_are_told_apart_unless_switched_off() -> None:
    with ModelServer(lambda _: text("<think>hm</think>yes")) as server:
        items = await items_of(OpenAITransport(server.base_url))
        assert "".join(i.text for i in items if isinstance(i, ReasoningDelta)) == "hm"
        assert "".join(i.text for i in items if isinstance(i, TextDelta)) == "yes"
        items = await items_of(OpenAITransport(server.base_url, think_tags="off"))
        assert "".join(i.text for i in items if isinstance(i, TextDelta)).startswith("<think>")


async def test_debugging_prints_requests_and_chunks_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ModelServer(lambda _: text("the key is sk-secret \u009b31m")) as server:
        transport = OpenAITransport(
            server.base_url,
            "sk-secret",
            extra_headers={"api-key": "azure-secret", "x-team": "red"},
            query={"api-version": "1", "key": "google-secret"},
            debug_request=True,
            debug_sse=True,
        )
        said = {"role": "user", "content": "grüß dich, sk-secret"}
        await items_of(transport, ModelRequest("m", [said]))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"POST {server.base_url}/chat/completions" in printed.err
    assert "grüß dich, [the API key]" in printed.err
    assert "x-team: red" in printed.err
    assert "api-version: 1" in printed.err
    assert "[DONE]" in printed.err
    assert "finish_reason" in printed.err
    assert "\u009b" not in printed.err
    for secret in ("sk-secret", "azure-secret", "google-secret"):
        assert secret not in printed.err


async def test_nothing_is_printed_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with ModelServer(lambda _: text("hi")) as server:
        await items_of(OpenAITransport(server.base_url))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "request_",
    [
        ModelRequest("m", None),  # type: ignore[arg-type]
        ModelRequest(["m"], []),  # type: ignore[arg-type]
        ModelRequest("m", [], params={"messages": object()}),
        ModelRequest("m", [], params=7),  # type: ignore[arg-type]
    ],
)
async def test_a_request_of_the_wrong_shape_is_a_failure_in_the_stream(
    request_: ModelRequest,
) -> None:
    (item,) = await items_of(OpenAITransport("http://model.test/v1"), request_)
    assert isinstance(item, Failed)
    assert item.error.kind == "refused"
