"""Streams in the shapes of real servers, and the items that each must give, however it is cut."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.agent_stream_state import MessageAssembler
from oturn.transport.base import Failed, Finished, StreamItem
from oturn.transport.base import ReasoningDelta as Reasoning
from oturn.transport.base import TextDelta as Text
from oturn.transport.base import ToolCallDelta as Tool
from oturn.transport.base import UsageReport as Usage
from oturn.transport.chat_completions import ChatDecoder

STREAMS = Path(__file__).parent / "data" / "streams"
NAMES = sorted(path.stem for path in STREAMS.glob("*.sse"))


def spelled(item: StreamItem) -> dict[str, Any]:
    """An item as it stands in the files of expected items."""
    match item:
        case Text():
            return {"text": item.text}
        case Reasoning():
            return {"reasoning": item.text}
        case Tool():
            fields = {
                "index": item.index,
                "id": item.id,
                "name": item.name,
                "arguments": item.arguments,
            }
            return {"tool_call": {key: value for key, value in fields.items() if value is not None}}
        case Usage():
            return {"usage": item.usage}
        case Finished():
            return {"finished": item.reason, "model": item.model}
        case Failed():
            error = item.error
            return {"failed": error.kind, "status": error.status, "message": error.message}


def recorded(name: str) -> bytes:
    return (STREAMS / f"{name}.sse").read_bytes()


def expected(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((STREAMS / f"{name}.json").read_text())
    return items


def items_of(*chunks: bytes) -> list[StreamItem]:
    decoder = ChatDecoder()
    items = [item for chunk in chunks for item in decoder.feed(chunk)]
    return items + decoder.close()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in itertools.pairwise(ends)]


def test_every_stream_has_its_expected_items_beside_it() -> None:
    assert len(NAMES) >= 25
    assert sorted(path.stem for path in STREAMS.glob("*.json")) == NAMES


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_gives_its_items_whole_and_byte_by_byte(name: str, newline: bytes) -> None:
    stream = recorded(name).replace(b"\n", newline)
    assert [spelled(item) for item in items_of(stream)] == expected(name)
    assert [spelled(item) for item in items_of(*cut(stream, list(range(len(stream)))))] == expected(
        name
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_gives_its_items_without_done_too(name: str) -> None:
    stream = recorded(name).replace(b"data: [DONE]\n\n", b"")
    assert [spelled(item) for item in items_of(stream)] == expected(name)


@given(st.sampled_from(NAMES), st.lists(st.integers(min_value=0, max_value=10_000), max_size=30))
def test_any_split_of_a_stream_gives_the_same_items(name: str, places: list[int]) -> None:
    assert [spelled(i) for i in items_of(*cut(recorded(name), places))] == expected(name)


@given(st.sampled_from(NAMES), st.integers(min_value=0, max_value=2**32))
def test_a_damaged_stream_raises_nothing_and_ends_once(name: str, seed: int) -> None:
    chance = random.Random(seed)
    stream = bytearray(recorded(name))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(stream))
        match chance.randrange(4):
            case 0:
                stream[at] = chance.randrange(256)
            case 1:
                del stream[at : at + chance.randint(1, 40)]
            case 2:
                stream[at:at] = chance.choice(
                    [b"null", b"{", b'"', b"\n\n", b"\xf0\x9f", b"[", b"1"]
                )
            case _:
                stream[at:at] = stream[at : at + chance.randint(1, 200)]
        if not stream:
            break
    items = items_of(bytes(stream))
    assert [type(item) in (Finished, Failed) for item in items] == [False] * (len(items) - 1) + [
        True
    ]
    assert items_of(*cut(bytes(stream), [chance.randrange(10_000) for _ in range(10)])) == items
    assembler = MessageAssembler()
    for item in items:
        assembler.feed(item)
    assembler.message()


CALLS = {
    "anthropic-tools": [("toolu_01A09q90qw90lq917835lq9", "get_weather", {"city": "Rome"})],
    "gateway-shuffled-tools": [
        ("c-zero", "get_weather", {"city": "Rome"}),
        ("c-two", "get_time", {"zone": "UTC"}),
    ],
    "gemini-tools": [
        ("jm4owj31", "search", {"query": "Rome"}),
        ("k9xw2p07", "search", {"query": "Oslo"}),
    ],
    "llamacpp-tools": [("bV3xq2", "read_file", {"path": "a.txt"})],
    "lmstudio-tools-repeated-ids": [("447363", "list_files", {"path": "."})],
    "mistral-tools": [
        ("D681PevKs", "get_weather", {"city": "Paris"}),
        ("x9QpL2mRt", "get_time", {}),
    ],
    "ollama-tools": [
        ("call_9v1x", "get_weather", {"city": "Rome"}),
        ("call_k2m8", "get_weather", {"city": "Oslo"}),
    ],
    "openai-tools": [
        ("call_vJ1", "get_weather", {"city": "Rome"}),
        ("call_wK2", "get_time", {}),
    ],
    "sglang-tools": [("call_0d", "search", {"q": "a b"})],
}


def test_every_stream_with_tool_calls_says_which_calls_it_makes() -> None:
    assert {name for name in NAMES if any("tool_call" in item for item in expected(name))} == set(
        CALLS
    )


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_of_a_stream_are_put_together(name: str) -> None:
    assembler = MessageAssembler()
    for item in items_of(recorded(name)):
        assembler.feed(item)
    made = assembler.message().tool_calls
    assert [(call.id, call.name, call.parsed) for call in made] == CALLS[name]
