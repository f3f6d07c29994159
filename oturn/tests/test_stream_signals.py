"""The per-response reducer of 0.1, row by row: events to signals, signals to transitions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.agent_stream_state import (
    AssistantDeltaTransition,
    AssistantDoneSignal,
    AssistantDoneTransition,
    AssistantReasoningDeltaSignal,
    AssistantReasoningDeltaTransition,
    NoopTransition,
    StreamSignal,
    ToolCallAccumulator,
    ToolCallDeltaDroppedTransition,
    ToolCallDeltaSignal,
    ToolCallDeltaTransition,
    ToolCallsDoneSignal,
    ToolCallsDoneTransition,
    TurnStreamState,
    build_assembled_debug,
    build_tool_records,
    ingest_stream_event,
    reduce_stream_signal,
)

Event = dict[str, Any]

ABSENT = dict.fromkeys(("model", "output_index", "tool_call_id", "name", "arguments"))


def tool(**given: Any) -> Event:
    return {"type": "tool_call_delta", **given}


def feed(state: TurnStreamState, *events: Event) -> list[Any]:
    return [
        reduce_stream_signal(state, signal)
        for event in events
        for signal in ingest_stream_event(event)
    ]


def test_a_new_state_is_empty() -> None:
    state = TurnStreamState()
    assert (state.final, state.reasoning, state.reasoning_details) == ("", "", [])
    assert (state.tool_phase, state.usage_data, state.model_name) == (False, None, None)
    assert (state.tool_calls_by_idx, state.tool_calls_by_id, state.next_tool_idx) == ({}, {}, 0)
    assert TurnStreamState("f", "r", [], True, {}, "m", {}, {}, 1).next_tool_idx == 1
    assert ToolCallAccumulator(0, "a") == ToolCallAccumulator(
        index=0, id="a", name="", arguments=""
    )


@pytest.mark.parametrize(
    ("event", "signal"),
    [
        ({"type": "assistant_delta"}, StreamSignal("assistant_delta", {"text": "", "model": None})),
        (
            {"type": "assistant_delta", "text": "a", "model": "m", "other": 1},
            StreamSignal("assistant_delta", {"text": "a", "model": "m"}),
        ),
        (
            {"type": "assistant_delta", "text": None},
            StreamSignal("assistant_delta", {"text": "", "model": None}),
        ),
        (
            {"type": "assistant_reasoning_delta", "text": "a", "extra": "no object"},
            AssistantReasoningDeltaSignal(
                "assistant_reasoning_delta", {"text": "a", "model": None, "extra": None}
            ),
        ),
        (
            {"type": "assistant_reasoning_delta", "model": "m", "extra": {"reasoning_details": []}},
            AssistantReasoningDeltaSignal(
                "assistant_reasoning_delta",
                {"text": "", "model": "m", "extra": {"reasoning_details": []}},
            ),
        ),
        (
            {"type": "assistant_done", "usage": {"total_tokens": 3}, "model": "m", "id": "x"},
            AssistantDoneSignal("assistant_done", {"usage": {"total_tokens": 3}, "model": "m"}),
        ),
        (
            {"type": "assistant_done"},
            AssistantDoneSignal("assistant_done", {"usage": None, "model": None}),
        ),
        (tool(), ToolCallDeltaSignal("tool_call_delta", {**ABSENT})),  # type: ignore[typeddict-item] # all None
        (
            tool(model="m", output_index=1, tool_call_id="c", name="f", arguments="{}"),
            ToolCallDeltaSignal(
                "tool_call_delta",
                {
                    "model": "m",
                    "output_index": 1,
                    "tool_call_id": "c",
                    "name": "f",
                    "arguments": "{}",
                },
            ),
        ),
        ({"type": "tool_calls_done", "x": 1}, ToolCallsDoneSignal("tool_calls_done", {})),
    ],
)
def test_an_event_gives_exactly_one_signal(event: Event, signal: object) -> None:
    assert ingest_stream_event(event) == [signal]


@pytest.mark.parametrize("event", [None, "assistant_delta", [], {}, {"type": "x"}, {"type": ["y"]}])
def test_what_is_no_such_event_gives_no_signal(event: object) -> None:
    assert ingest_stream_event(event) == []


def test_text_is_appended_and_told_with_the_newest_model() -> None:
    state = TurnStreamState()
    told = feed(
        state,
        {"type": "assistant_delta", "text": "It ", "model": "m"},
        {"type": "assistant_delta", "text": "is."},
        {"type": "assistant_delta", "text": ""},
    )
    assert told == [
        AssistantDeltaTransition("assistant_delta", {"text": text, "model": "m"})
        for text in ("It ", "is.", "")
    ]
    assert (state.final, state.model_name, state.tool_phase) == ("It is.", "m", False)


def test_text_that_is_null_adds_nothing() -> None:
    state = TurnStreamState()
    by_hand: Any = StreamSignal("assistant_delta", {"text": None, "model": None})  # type: ignore[typeddict-item] # as servers send
    told: Any = reduce_stream_signal(state, by_hand)
    assert told.payload == {"text": "", "model": None}
    assert state.final == ""


def test_reasoning_keeps_the_first_detail_and_appends_to_its_text() -> None:
    state = TurnStreamState()

    def detail(*details: Any) -> Event:
        return {
            "type": "assistant_reasoning_delta",
            "text": "h",
            "extra": {"reasoning_details": list(details)},
        }

    first = {"text": "a", "format": "x"}
    told = feed(
        state,
        detail(),
        detail("no object"),
        detail(first, {"text": "ignored"}),
        detail({"text": "b", "format": "ignored"}),
        detail({"text": None}),
        detail({}),
    )
    assert told[0] == AssistantReasoningDeltaTransition(
        "assistant_reasoning_delta", {"text": "h", "model": None}
    )
    assert state.reasoning == "hhhhhh"
    assert state.reasoning_details == [{"text": "ab", "format": "x"}]
    assert first == {"text": "a", "format": "x"}, "what the provider sent is not written to"


def test_the_last_usage_wins_and_none_is_no_usage() -> None:
    state = TurnStreamState()
    told = feed(
        state,
        {"type": "assistant_done", "usage": {"total_tokens": 1}},
        {"type": "assistant_done", "usage": {"total_tokens": 2, "other": 3}, "model": "m"},
        {"type": "assistant_done"},
    )
    assert [transition.payload for transition in told] == [
        {"usage": {"total_tokens": 1}},
        {"usage": {"total_tokens": 2, "other": 3}},
        {},
    ]
    assert isinstance(told[0], AssistantDoneTransition)
    assert (state.usage_data, state.model_name) == ({"total_tokens": 2, "other": 3}, "m")


def test_a_new_index_opens_a_call() -> None:
    state = TurnStreamState()
    (told,) = feed(state, tool(output_index=2, tool_call_id=7, name="f", arguments="{", model="m"))
    assert told == ToolCallDeltaTransition(
        "tool_call_delta", {"index": 2, "id": "7", "name": "f", "arguments": "{"}
    )
    call = ToolCallAccumulator(2, "7", "f", "{")
    assert (state.tool_calls_by_idx, state.tool_calls_by_id) == ({2: call}, {"7": call})
    assert (state.tool_phase, state.next_tool_idx, state.model_name) == (True, 3, "m")


def test_a_known_index_goes_on_and_gets_an_id_only_once() -> None:
    state = TurnStreamState()
    told = feed(
        state,
        tool(output_index=0, name="old", arguments="{"),
        tool(output_index=0, tool_call_id="a", name="new"),
        tool(output_index=0, tool_call_id="b", name="", arguments="}"),
    )
    assert told[-1].payload == {"index": 0, "id": "a", "name": "new", "arguments": "{}"}
    assert state.next_tool_idx == 1


def test_without_an_index_the_id_finds_the_call_or_opens_one() -> None:
    state = TurnStreamState()
    feed(
        state,
        tool(output_index=4, tool_call_id="a", name="f"),
        tool(tool_call_id="a", arguments="1"),
        tool(tool_call_id="b", name="g"),
        tool(tool_call_id="c", output_index="0", name="h"),
    )
    assert [(record["index"], record["id"]) for record in build_tool_records(state)] == [
        (4, "a"),
        (5, "b"),
        (6, "c"),
    ]
    assert state.tool_calls_by_idx[4].arguments == "1"


def test_a_fragment_with_neither_is_dropped_and_told() -> None:
    state = TurnStreamState()
    (told,) = feed(state, tool(arguments="x", model="m", output_index="0", tool_call_id=""))
    assert told == ToolCallDeltaDroppedTransition("tool_call_delta_dropped", {})
    assert (state.tool_phase, state.model_name, state.tool_calls_by_idx) == (True, "m", {})


def test_a_bool_counts_as_an_index() -> None:
    state = TurnStreamState()
    feed(state, tool(output_index=True, name="f"))
    assert list(state.tool_calls_by_idx) == [1]


def test_the_end_of_the_calls_begins_the_tool_phase_too() -> None:
    state = TurnStreamState()
    (told,) = feed(state, {"type": "tool_calls_done"})
    assert told == ToolCallsDoneTransition("tool_calls_done", {})
    assert state.tool_phase


def test_an_unknown_signal_changes_nothing() -> None:
    state = TurnStreamState()
    for signal in (StreamSignal("other", {"text": "a", "model": "m"}), object()):  # type: ignore[arg-type] # on purpose
        told = reduce_stream_signal(state, signal)  # type: ignore[arg-type] # on purpose
        assert told == NoopTransition("noop", {})
    assert state == TurnStreamState()


def test_records_are_sorted_by_the_index_they_are_kept_under() -> None:
    state = TurnStreamState()
    state.tool_calls_by_idx = {
        1: ToolCallAccumulator(9, "b", "g", "{}"),
        0: ToolCallAccumulator(5, "a", "f", ""),
    }
    assert build_tool_records(state) == [
        {"index": 5, "id": "a", "function": {"name": "f", "arguments": ""}},
        {"index": 9, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert [record["index"] for record in build_assembled_debug(state)] == [0, 1]


@given(st.lists(st.text(max_size=4), max_size=8), st.lists(st.text(max_size=4), max_size=8))
def test_any_splitting_of_an_answer_gives_the_same_answer(
    words: list[str], arguments: list[str]
) -> None:
    state = TurnStreamState()
    feed(state, *({"type": "assistant_delta", "text": word} for word in words))
    feed(state, tool(output_index=0, tool_call_id="a", name="f"))
    feed(state, *(tool(output_index=0, arguments=part) for part in arguments))
    assert state.final == "".join(words)
    (record,) = build_tool_records(state)
    assert record["function"] == {"name": "f", "arguments": "".join(arguments)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
KINDS = ["assistant_delta", "assistant_reasoning_delta", "assistant_done", "tool_call_delta"]
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([*KINDS, "tool_calls_done"]) | JSON},
    optional=dict.fromkeys(
        ("text", "model", "usage", "output_index", "tool_call_id", "name", "arguments"), JSON
    )
    | {"extra": JSON | st.fixed_dictionaries({"reasoning_details": JSON})},
)


@given(st.lists(EVENTS, max_size=6))
def test_nothing_that_a_server_sends_can_raise(events: list[Event]) -> None:
    state = TurnStreamState()
    feed(state, *events)
    json.dumps(build_tool_records(state))
