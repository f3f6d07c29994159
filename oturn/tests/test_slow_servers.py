"""Servers that are slow to end, that only say they are alive, or that never stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from modelserver import raw
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.chat_completions import MAX_STREAM_BYTES, ChatDecoder
from oturn.transport.endpoint import COMMENTS_FACTOR
from oturn.transport.openai import OpenAITransport

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
WORD = {"choices": [{"delta": {"content": "word"}}]}
(WORD_EVENT,) = raw(WORD).raw or ()
(END,) = raw("[DONE]").raw or ()
PING = b": ping\n\n"
#: Seconds that a test waits for what must come.
PATIENCE = 5.0


def client_for(body: AsyncIterator[bytes]) -> httpx2.AsyncClient:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


async def test_an_answer_is_handed_on_before_its_connection_ends() -> None:
    seen = asyncio.Event()
    handed_on_first: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        yield WORD_EVENT + END
        handed_on_first.append(seen.is_set())

    items: list[StreamItem] = []
    async with client_for(body()) as client, asyncio.timeout(PATIENCE):
        async for item in OpenAITransport("http://model.test/v1", client=client).stream(REQUEST):
            items.append(item)
            if isinstance(item, Finished):
                seen.set()
    assert items == [TextDelta("word"), Finished()]
    assert handed_on_first == [True]


class Clock:
    """A clock that goes on by a second with each comment that is sent."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def pings(self, number: int = 1_000) -> AsyncIterator[bytes]:
        for _ in range(number):
            self.now += 1
            yield PING


@pytest.mark.parametrize("started", [True, False])
async def test_comments_keep_an_answer_alive_ten_times_as_long_as_silence(started: bool) -> None:
    clock = Clock()

    async def body() -> AsyncIterator[bytes]:
        if started:
            yield WORD_EVENT
        async for ping in clock.pings():
            yield ping

    async with client_for(body()) as client, asyncio.timeout(PATIENCE):
        transport = OpenAITransport("http://model.test/v1", timeout=3, client=client, clock=clock)
        items = [item async for item in transport.stream(REQUEST)]
    assert items[:-1] == ([TextDelta("word")] if started else [])
    assert isinstance(items[-1], Failed)
    assert items[-1].error.kind == "timeout"
    assert "http://model.test/v1/chat/completions kept the connection alive for 30 s" in (
        items[-1].error.message
    )
    assert 3 * COMMENTS_FACTOR < clock.now <= 3 * COMMENTS_FACTOR + 3


@pytest.mark.parametrize("timeout", [3.0, None])
async def test_an_answer_between_comments_is_read_however_long_it_takes(
    timeout: float | None,
) -> None:
    clock = Clock()
    rounds = 40

    async def body() -> AsyncIterator[bytes]:
        for _ in range(rounds):
            async for ping in clock.pings(29 if timeout else 100):
                yield ping
            yield WORD_EVENT
        yield END

    async with client_for(body()) as client, asyncio.timeout(PATIENCE):
        transport = OpenAITransport(
            "http://model.test/v1", timeout=timeout, client=client, clock=clock
        )
        items = [item async for item in transport.stream(REQUEST)]
    assert items == [*[TextDelta("word")] * rounds, Finished()]


def test_a_stream_of_unlimited_size_is_a_clear_failure() -> None:
    decoder = ChatDecoder()
    piece = b": " + b"x" * (8 * 1024 * 1024) + b"\n"
    items = [
        item for _ in range(MAX_STREAM_BYTES // len(piece) + 1) for item in decoder.feed(piece)
    ]
    (item,) = items
    assert isinstance(item, Failed)
    assert "more than 512 MiB" in item.error.message
    assert decoder.ended
