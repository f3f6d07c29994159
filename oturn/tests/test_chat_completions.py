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
from oturn.transport.chat_completions import (
    MAX_ANSWER_BYTES,
    ChatDecoder,
    request_body,
    whole_answer,
)
from oturn.transport.event_stream import MAX_EVENT_BYTES, EventStreamDecoder

RUBBISH = b'data: {"choices": [{"delta": {"content": "late"}}]}\n\n\xff\xfe{"error": 1}\n\n'


def test_parts_of_a_content_are_sent_as_they_are_an_image_too() -> None:
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    request = ModelRequest(model="m", messages=[{"role": "user", "content": parts}])

    assert request_body(request)["messages"] == [{"role": "user", "content": parts}]
    assert json.loads(json.dumps(request_body(request)))["messages"][0]["content"] == parts


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


def test_halves_of_surrogate_pairs_become_what_can_be_stored() -> None:
    stream = b'data: {"choices": [{"delta": {"content": "a\\ud83d \\uD83D\\uDE00 \\\\ud83d"}}]}\n\n'
    assert items_of(stream + DONE)[0] == TextDelta("a\ufffd \U0001f600 \\ud83d")
    assert whole_answer(b'{"a": "\\uD83D"}') == {"a": "\ufffd"}


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


@pytest.mark.parametrize("opening", ["[", '{"error":', '{"message":'])
@pytest.mark.parametrize(
    "place",
    [
        '{"error": %s}',
        '{"error": {"code": %s, "type": "a"}}',
        '{"object": "error", "message": %s}',
        '{"choices": [{"finish_reason": %s}]}',
        '{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": %s}}]}}]}',
        '{"choices": [{"delta": {"content": %s}}], "usage": %s}',
    ],
)
def test_values_of_any_depth_raise_nothing(place: str, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    # Around a thousand, what can still be read can be too deep for what is done with it.
    for depth in (20, 500, *range(860, 1_000), 5_000, 100_000):
        deep = opening * depth + "1" + closing * depth
        decoded([f"data: {place.replace('%s', deep)}\n\n".encode()])


@pytest.mark.parametrize(
    ("finish", "reason"), [("odd", "odd"), (7, "7"), (True, "True"), ({"a": 1}, "unknown")]
)
def test_a_finish_reason_of_any_kind_ends_the_answer(finish: object, reason: str) -> None:
    stream = data({"choices": [{"delta": {"content": "a"}, "finish_reason": finish}]})
    assert items_of(stream)[-1] == Finished(reason)


def test_an_empty_finish_reason_is_none() -> None:
    assert isinstance(items_of(delta(finish="", content="half"))[-1], Failed)


def test_reasoning_in_tags_is_told_apart_however_it_is_cut() -> None:
    stream = delta(content="<thi") + delta(content="nk>hm</think>\n\nyes") + DONE
    assert items_of(stream) == [ReasoningDelta("hm"), TextDelta("yes"), Finished(None, "m")]


def test_what_a_tag_held_back_comes_before_the_ending() -> None:
    assert items_of(delta(content="<thi") + DONE)[0] == TextDelta("<thi")
    first, last = items_of(delta(content="<thi") + data({"error": "no"}))
    assert first == TextDelta("<thi")
    assert isinstance(last, Failed)


def test_where_a_server_tells_reasoning_apart_tags_are_text() -> None:
    stream = delta(reasoning="hm") + delta(content="<think> is a tag") + DONE
    assert items_of(stream)[1] == TextDelta("<think> is a tag")


def test_tags_are_text_when_switched_off_and_reasoning_without_opening_when_so_told() -> None:
    stream = delta(content="hm</think>yes") + DONE
    for mode, first in (("off", TextDelta("hm</think>yes")), ("opened", ReasoningDelta("hm"))):
        assert ChatDecoder(mode).feed(stream)[0] == first  # type: ignore[arg-type]


def test_an_event_of_unlimited_size_is_a_clear_failure_and_is_not_held() -> None:
    decoder = ChatDecoder()
    items = decoder.feed(delta(content="before") + b"data: ")
    piece = b"x" * 1024 * 1024
    for _ in range(MAX_EVENT_BYTES // len(piece) + 1):
        items += decoder.feed(piece)
    assert decoder.ended
    items += decoder.feed(piece) + decoder.close()
    first, last = items
    assert first == TextDelta("before")
    assert isinstance(last, Failed)
    assert "16 MiB" in last.error.message


def test_an_answer_in_one_piece_of_unlimited_size_is_a_clear_failure() -> None:
    decoder = ChatDecoder()
    piece = b" " * 1024 * 1024
    items = [i for _ in range(MAX_ANSWER_BYTES // len(piece) + 1) for i in decoder.feed_body(piece)]
    (last,) = items + decoder.close()
    assert isinstance(last, Failed)
    assert "64 MiB" in last.error.message


def test_the_data_of_each_event_is_told_to_who_looks_for_a_fault() -> None:
    told: list[str] = []
    decoder = ChatDecoder(told=told.append)
    decoder.feed(b'data: {"a": 1}\n\ndata: [DONE]\n\n')
    assert told == ['{"a": 1}', "[DONE]"]


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
    for byte in json.dumps(body).encode():
        assert decoder.feed_body(bytes([byte])) == []
    assert decoder.close() == [
        TextDelta("hi"),
        ToolCallDelta(id="x", name="f"),
        UsageReport({"n": 1}),
        Finished("stop"),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"nonsense", "no chat-completions stream"),
        (b"[]", "no chat-completions stream"),
        (b'{"error": {"message": "GPU lost"}}', "GPU lost"),
        (b'{"object": "error", "message": "GPU lost"}', "GPU lost"),
    ],
)
def test_a_whole_answer_that_is_none_is_an_error(body: bytes, said: str) -> None:
    problem = whole_answer(body)
    assert not isinstance(problem, dict)
    assert said in problem.message


@given(
    st.lists(st.sampled_from([b"data: abcdef", b"data:x", b": ping", b"\n", b"\r\n"]), max_size=25)
)
def test_the_size_of_an_event_is_bounded_alike_however_it_is_cut(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole, by_byte = EventStreamDecoder(limit=20), EventStreamDecoder(limit=20)
    events = whole.feed(stream) + whole.close()
    assert [e for b in stream for e in by_byte.feed(bytes([b]))] + by_byte.close() == events
    assert by_byte.overflowed == whole.overflowed


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


def test_keys_under_extra_body_come_to_the_top_too() -> None:
    params = {"top_k": 1, "extra_body": {"top_k": 2, "min_p": 0.1, "stream": False}}
    body = request_body(ModelRequest("m", [], params=params))
    assert (body["top_k"], body["min_p"], body["stream"]) == (2, 0.1, True)
    assert "extra_body" not in body
    odd = request_body(ModelRequest("m", [], params={"extra_body": "a field of the server"}))
    assert odd["extra_body"] == "a field of the server"
    assert params["extra_body"] == {"top_k": 2, "min_p": 0.1, "stream": False}


def test_a_request_for_one_whole_answer_asks_for_no_stream() -> None:
    request = ModelRequest("m", [], params={"stream": True, "stream_options": {}})
    assert request_body(request, stream=False) == {"model": "m", "messages": [], "stream": False}
