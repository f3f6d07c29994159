"""However a server packs the bytes of its answer, the same answer is read."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx2
import pytest

from modelserver import raw
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.openai import OpenAITransport

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
PARTS = [f"word {number} " for number in range(200)]
EVENTS = raw(*({"choices": [{"delta": {"content": part}}]} for part in PARTS), "[DONE]").raw or ()
BODY = b"".join(EVENTS)


async def read(**response: object) -> list[StreamItem]:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, **response)  # type: ignore[arg-type]  # handed on as given

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        transport = OpenAITransport("http://model.test/v1", client=client)
        return [item async for item in transport.stream(REQUEST)]


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
async def test_an_answer_that_is_compressed_although_nobody_asked_is_read(size: int) -> None:
    headers = {"content-encoding": "gzip"}
    items = await read(headers=headers, content=pieces(gzip.compress(BODY), size))
    assert items == [*map(TextDelta, PARTS), Finished()]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
async def test_an_answer_is_read_in_pieces_of_any_size(size: int) -> None:
    assert await read(content=pieces(BODY, size)) == [*map(TextDelta, PARTS), Finished()]


async def test_an_answer_that_the_client_has_read_already_is_understood() -> None:
    assert await read(content=BODY) == [*map(TextDelta, PARTS), Finished()]


@pytest.mark.parametrize("blanks", [" ", "\t ", "   "])
async def test_blanks_around_the_object_of_an_event_say_nothing(blanks: str) -> None:
    event = f'data:{blanks}{{"choices": [{{"delta": {{"content": "hi"}}}}]}}{blanks}\n\n'
    body = event.encode() + b"data: [DONE]\n\n"
    assert await read(content=pieces(body, 9)) == [TextDelta("hi"), Finished()]


async def test_something_behind_the_object_of_an_event_is_a_failure() -> None:
    (item,) = await read(content=b'data: {"choices": []} {}\n\ndata: [DONE]\n\n')
    assert isinstance(item, Failed)
    assert "no chat-completions stream" in item.error.message
