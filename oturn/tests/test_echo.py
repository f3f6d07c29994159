"""The transport that answers with what the user said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_session import Session, config
from oturn import Oturn
from oturn.transport.base import Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.echo import NOTHING_SAID, EchoTransport


async def answer(*messages: dict[str, Any], **settings: Any) -> list[StreamItem]:
    stream = EchoTransport(**settings).stream(ModelRequest("m", messages))
    return [item async for item in stream]


def words(items: list[StreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


@given(text=st.text(min_size=1), chunk=st.integers(1, 9))
async def test_any_text_comes_back_in_pieces(text: str, chunk: int) -> None:
    items = await answer({"role": "user", "content": text}, chunk=chunk)
    assert items[-1] == Finished("stop", "m")
    assert all(len(i.text) <= chunk for i in items if isinstance(i, TextDelta))
    assert text.endswith(words(items))


async def test_the_header_of_a_user_message_is_left_out() -> None:
    said = {"role": "user", "content": "From: Ann\nDate: today\n\nhello\n\nyou"}
    assert words(await answer(said, {"role": "assistant", "content": "x"})) == "hello\n\nyou"


async def test_the_texts_of_content_parts_are_joined() -> None:
    parts: list[Any] = [{"type": "text", "text": "a"}, {"type": "image_url"}, "?", {"text": "b"}]
    assert words(await answer({"role": "user", "content": parts})) == "ab"


async def test_nobody_who_said_anything_is_told_so() -> None:
    assert words(await answer()) == NOTHING_SAID
    assert words(await answer({"role": "user", "content": None})) == NOTHING_SAID


async def test_each_piece_waits_for_the_delay() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    await answer({"role": "user", "content": "abcd"}, chunk=2, delay=0.5, sleep=sleep)
    assert waited == [0.5, 0.5]


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EchoTransport(chunk=0)


async def test_an_agent_without_a_model_repeats_what_it_is_told() -> None:
    agent = Oturn(Path.cwd(), config(), transport=EchoTransport())
    async with Session(agent) as session:
        assert (await session.ask("Is anybody there?"))[-1]["text"] == "Is anybody there?"
