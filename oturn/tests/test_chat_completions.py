"""The wire codec: every stream is read whole, byte by byte, and with rubbish after its end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from oturn.transport.chat_completions import ChatDecoder, EventStreamDecoder, request_body

RUBBISH = b'data: {"choices": [{"delta": {"content": "late"}}]}\n\n\xff\xfe{"error": 1}\n\n'


def items_of(stream: bytes) -> list[StreamItem]:
    """The items of a stream, after checking that no cut changes them."""
    whole = decoded([stream])
    assert decoded([bytes([byte]) for byte in stream]) == whole
    if stream.endswith(DONE):
        assert decoded([stream, RUBBISH]) == whole
    endings = [item for item in whole if isinstance(item, Finished | Failed)]
    assert len(endings) == 1
    assert whole[-1] is endings[0]
    return whole


def decoded(chunks: list[bytes]) -> list[StreamItem]:
    decoder = ChatDecoder()
    items = [item for chunk in chunks for item in decoder.feed(chunk)]
    items += decoder.close()
    assert decoder.ended
    return items


def data(payload: object) -> bytes:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n".encode()


def delta(finish: str | None = None, **fields: Any) -> bytes:
    return data({"model": "m", "choices": [{"delta": fields, "finish_reason": finish}]})


DONE = b"data: [DONE]\n\n"


def test_a_plain_answer() -> None:
    stream = delta(role="assistant", content="") + delta(content="Hi ") + delta(content="you")
    stream += delta(finish="stop") + DONE
    assert items_of(stream) == [TextDelta("Hi "), TextDelta("you"), Finished("stop", "m")]


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_under_either_name(key: str) -> None:
    stream = delta(**{key: "hm"}) + delta(content="ok") + DONE
    assert items_of(stream)[:2] == [ReasoningDelta("hm"), TextDelta("ok")]


def test_tool_calls_with_and_without_index_and_id() -> None:
    stream = delta(tool_calls=[{"index": 0, "id": "x", "function": {"name": "f"}}])
    stream += delta(tool_calls=[{"function": {"arguments": "{}"}}, {"id": "y", "function": None}])
    stream += delta(finish="tool_calls") + DONE
    assert items_of(stream)[:-1] == [
        ToolCallDelta(0, "x", "f"),
        ToolCallDelta(arguments="{}"),
        ToolCallDelta(id="y"),
    ]


def test_arguments_sent_as_an_object_are_taken_as_their_text() -> None:
    stream = delta(tool_calls=[{"function": {"name": "f", "arguments": {"a": "ü"}}}]) + DONE
    assert items_of(stream)[0] == ToolCallDelta(name="f", arguments='{"a": "ü"}')


def test_usage_in_any_chunk_and_with_empty_choices() -> None:
    stream = data({"choices": [{"delta": {"content": "a"}}], "usage": {"n": 1}})
    stream += delta(finish="stop") + data({"choices": [], "usage": {"n": 2}}) + DONE
    assert items_of(stream) == [
        TextDelta("a"),
        UsageReport({"n": 1}),
        UsageReport({"n": 2}),
        Finished("stop", "m"),
    ]


def test_done_without_a_finish_reason_ends_the_answer() -> None:
    assert items_of(delta(content="a") + DONE)[-1] == Finished(None, "m")


def test_a_finish_reason_without_done_ends_the_answer() -> None:
    assert items_of(delta(content="a") + delta(finish="length"))[-1] == Finished("length", "m")


def test_the_last_event_counts_also_without_its_empty_line() -> None:
    assert items_of(delta(content="a") + b"data: [DONE]")[-1] == Finished(None, "m")


@pytest.mark.parametrize("stream", [b"", b"\n\n", b": only comments\n\n", delta(content="half")])
def test_an_answer_that_ends_early_is_broken(stream: bytes) -> None:
    last = items_of(stream)[-1]
    assert isinstance(last, Failed)
    assert last.error.kind == "broken"


@pytest.mark.parametrize(
    "rubbish", [b"data: {nonsense\n\n", b"data: [1, 2]\n\n", b"data: 7\n\n", b"data: \xff\n\n"]
)
def test_data_that_is_no_chunk_is_broken_and_what_came_before_is_kept(rubbish: bytes) -> None:
    first, last = items_of(delta(content="a") + rubbish + delta(content="b"))
    assert first == TextDelta("a")
    assert isinstance(last, Failed)
    assert "no chat-completions stream" in last.error.message


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ({"message": "out of memory", "code": 500}, "server"),
        ({"message": "slow down", "code": 429}, "rate_limited"),
        ({"message": "no", "code": "context_length_exceeded"}, "too_long"),
        ("something", "server"),
        ({}, None),
    ],
)
def test_an_error_object_in_the_stream_ends_it(problem: object, kind: str | None) -> None:
    last = items_of(delta(content="a") + data({"error": problem}) + DONE)[-1]
    if kind is None:
        assert isinstance(last, Finished)
    else:
        assert isinstance(last, Failed)
        assert last.error.kind == kind


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way_and_comments_are_passed_over(newline: bytes) -> None:
    stream = b": hello\n\nevent: x\nid: 1\n" + delta(content="a") + b": ping\n" + DONE
    assert items_of(stream.replace(b"\n", newline)) == [TextDelta("a"), Finished(None, "m")]


def test_a_byte_order_mark_and_a_missing_space_are_allowed() -> None:
    stream = b"\xef\xbb\xbf" + delta(content="a").replace(b"data: ", b"data:") + DONE
    assert items_of(stream)[0] == TextDelta("a")


def test_data_on_several_lines_is_one_payload() -> None:
    stream = b'data: {"choices":\ndata: [{"delta": {"content": "a"}}]}\n\n' + DONE
    assert items_of(stream)[0] == TextDelta("a")


def test_characters_of_several_bytes_survive_any_cut() -> None:
    text = "naïve 日本語 🦜 \u2028"
    assert items_of(delta(content=text) + DONE)[0] == TextDelta(text)


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None},
        {"choices": "no"},
        {"choices": [None, 3, {"delta": "no"}, {"delta": None}]},
        {"choices": [{"delta": {"content": 3, "tool_calls": "no"}, "finish_reason": 4}]},
        {"choices": [{"delta": {"tool_calls": [None, {"index": True, "id": 3}]}}]},
        {"usage": "no", "model": 3},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "part"}, 3]}}]},
        {},
    ],
)
def test_odd_shapes_raise_nothing(chunk: dict[str, Any]) -> None:
    items_of(data(chunk) + DONE)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_raise(chunks: list[bytes]) -> None:
    decoded(chunks)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "tool_calls", "function", "error", "usage", "index"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5))
def test_no_json_raises(payloads: list[object]) -> None:
    items_of(b"".join(data(payload) for payload in payloads))


def test_a_plain_json_answer_is_read_like_a_stream() -> None:
    decoder = ChatDecoder()
    message = {"content": "hi", "tool_calls": [{"id": "x", "function": {"name": "f"}}]}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"n": 1}}
    assert [*decoder.feed_whole(json.dumps(body)), *decoder.close()] == [
        TextDelta("hi"),
        ToolCallDelta(id="x", name="f"),
        UsageReport({"n": 1}),
        Finished("stop"),
    ]


def test_a_line_in_many_pieces_is_joined_once() -> None:
    decoder = EventStreamDecoder()
    for piece in [b"data: ", *[b"x"] * 1_000]:
        assert decoder.feed(piece) == []
    assert decoder.feed(b"\n\n") == ["x" * 1_000]


def test_a_request_asks_for_a_stream_with_usage_and_params_go_to_the_top() -> None:
    request = ModelRequest(
        "m", [{"role": "user", "content": "hi"}], params={"temperature": 0.5, "stream": False}
    )
    assert request_body(request) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
