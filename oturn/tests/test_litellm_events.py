"""LiteLLM's chunks, as recorded from it, become the events of `acreate`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oturn.transport.litellm_events import ChunkReader, Event, without_none


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk in the layout that LiteLLM 1.106 dumps, Nones left out."""
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if finish:
        choice["finish_reason"] = finish
    head = {"id": "chatcmpl-1", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    return {**head, "choices": [choice], **more}


def called(index: int, **function: str) -> dict[str, Any]:
    return {"function": function, "type": "function", "index": index}


def read(chunks: list[dict[str, Any]], *, tool_stream: bool = True) -> list[Event]:
    reader = ChunkReader(tool_stream=tool_stream)
    return [event for one in chunks for event in reader.feed(one)] + reader.done()


#: Recorded from LiteLLM 1.106.2 and an OpenAI-compatible server.
WORDS = [
    chunk({"content": "", "role": "assistant"}),
    chunk({"reasoning_content": "a greeting"}),
    chunk({"content": "Hello, "}),
    chunk({"content": "you."}),
    chunk({}, "stop"),
    chunk({}, usage={"completion_tokens": 4, "prompt_tokens": 3, "total_tokens": 7}),
]
CALLS = [
    chunk({"content": "", "role": "assistant"}),
    chunk({"tool_calls": [{"id": "call_1", **called(0, arguments="", name="clock")}]}),
    chunk({"tool_calls": [called(0, arguments='{"zone":')]}),
    chunk({"tool_calls": [called(0, arguments=' "UTC"}')]}),
    chunk({}, "tool_calls"),
]
USAGE = {"completion_tokens": 4, "prompt_tokens": 3, "total_tokens": 7}
DONE = {"type": "assistant_done", "usage": None, "id": "chatcmpl-1", "model": "m"}


def test_words_and_reasoning_become_deltas_and_an_ending_with_usage() -> None:
    assert read(WORDS) == [
        {"type": "assistant_reasoning_delta", "text": "a greeting", "model": "m"},
        {"type": "assistant_delta", "text": "Hello, ", "model": "m"},
        {"type": "assistant_delta", "text": "you.", "model": "m"},
        DONE | {"usage": USAGE},
    ]


def test_fragments_of_tool_calls_carry_only_what_the_chunk_had() -> None:
    base = {"type": "tool_call_delta", "output_index": 0, "model": "m"}
    assert read(CALLS) == [
        base | {"tool_call_id": "call_1", "name": "clock"},
        base | {"arguments": '{"zone":'},
        base | {"arguments": ' "UTC"}'},
        {"type": "tool_calls_done"},
        DONE,
    ]


def test_without_tool_stream_the_fragments_are_left_out() -> None:
    assert read(CALLS, tool_stream=False) == [{"type": "tool_calls_done"}, DONE]


def test_words_beside_a_tool_call_are_not_lost_and_a_missing_index_is_the_position() -> None:
    two = [{"id": "a", "function": {"name": "f"}}, {"id": "b", "function": {"arguments": {"x": 1}}}]
    events = read([chunk({"content": "Hm.", "tool_calls": two}, "tool_calls")])
    assert [(e["type"], e.get("output_index")) for e in events[:-1]] == [
        ("assistant_delta", None),
        ("tool_call_delta", 0),
        ("tool_call_delta", 1),
        ("tool_calls_done", None),
    ]
    assert events[2]["arguments"] == '{"x": 1}'


def test_the_last_usage_counts_and_nones_in_it_are_left_out() -> None:
    first = chunk({}, usage={"total_tokens": 1})
    last = chunk({}, usage={"total_tokens": 2, "details": {"a": None, "b": 1}, "cost": None})
    assert read([first, last])[-1]["usage"] == {"total_tokens": 2, "details": {"b": 1}}


def test_an_answer_that_told_nothing_has_no_ending() -> None:
    assert read([{"choices": []}, {}]) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_CHUNKS = st.dictionaries(st.sampled_from(["id", "model", "usage", "choices"]), _JSON)
_DELTAS = st.dictionaries(
    st.sampled_from(["content", "reasoning", "reasoning_content", "tool_calls"]),
    _JSON | st.lists(st.dictionaries(st.sampled_from(["index", "id", "function"]), _JSON)),
)


@given(st.lists(_CHUNKS | _DELTAS.map(lambda delta: chunk(delta, "tool_calls"))))
def test_no_shape_of_chunks_can_raise(chunks: list[dict[str, Any]]) -> None:
    for event in read(chunks):
        assert isinstance(event["type"], str)


@given(st.dictionaries(st.text(max_size=3), _JSON))
def test_leaving_out_nones_keeps_all_else(value: dict[str, Any]) -> None:
    kept = without_none(value)
    assert set(kept) == {key for key, inner in value.items() if inner is not None}
