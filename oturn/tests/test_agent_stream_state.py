"""One message from the items of a stream: what is joined, merged, and told as a problem."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oturn.agent_stream_state import MAX_CALLS, MessageAssembler, parse_arguments
from oturn.errors import ModelError
from oturn.signals import AssistantMessage, ToolCall
from oturn.transport.base import (
    Failed,
    Finished,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from oturn.transport.chat_completions import ChatDecoder


def assembled(*items: StreamItem) -> AssistantMessage:
    assembler = MessageAssembler()
    for item in items:
        assembler.feed(item)
    return assembler.message()


def names_and_arguments(message: AssistantMessage) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in message.tool_calls]


def test_text_reasoning_usage_and_ending_become_one_message() -> None:
    message = assembled(
        ReasoningDelta("let "),
        ReasoningDelta("me"),
        TextDelta("It is "),
        UsageReport({"total_tokens": 1}),
        TextDelta("18 C."),
        UsageReport({"total_tokens": 9}),
        Finished("stop", "m"),
    )
    assert message == AssistantMessage(
        text="It is 18 C.",
        reasoning="let me",
        usage={"total_tokens": 9},
        model="m",
        finish="stop",
    )


def test_a_failure_is_kept_beside_what_had_come() -> None:
    assembler = MessageAssembler()
    error = ModelError("broken", "cut")
    for item in (TextDelta("half"), Failed(error)):
        assembler.feed(item)
    assert (assembler.error, assembler.ended, assembler.message().text) == (error, True, "half")


def test_fragments_are_merged_by_index_when_calls_interleave() -> None:
    message = assembled(
        ToolCallDelta(0, "x", "one", ""),
        ToolCallDelta(1, "y", "two", ""),
        ToolCallDelta(0, arguments='{"a"'),
        ToolCallDelta(1, arguments="{}"),
        ToolCallDelta(0, arguments=": 1}"),
    )
    assert message.tool_calls == (
        ToolCall("x", "one", '{"a": 1}', {"a": 1}),
        ToolCall("y", "two", "{}", {}),
    )


def test_fragments_without_an_index_are_merged_by_id() -> None:
    message = assembled(
        ToolCallDelta(None, "x", "one", "{"),
        ToolCallDelta(None, "y", "two", "{"),
        ToolCallDelta(None, "x", None, "}"),
        ToolCallDelta(None, "y", None, "}"),
    )
    assert names_and_arguments(message) == [("x", "one", "{}"), ("y", "two", "{}")]


def test_fragments_with_neither_index_nor_id_continue_the_last_call() -> None:
    message = assembled(
        ToolCallDelta(name="one", arguments="{"),
        ToolCallDelta(arguments="}"),
        ToolCallDelta(name="two", arguments="{}"),
    )
    assert [(n, a) for _, n, a in names_and_arguments(message)] == [("one", "{}"), ("two", "{}")]


def test_calls_that_all_come_under_index_zero_are_told_apart_by_their_ids() -> None:
    message = assembled(
        ToolCallDelta(0, "x", "one", "{}"),
        ToolCallDelta(0, "y", "two", '{"k":'),
        ToolCallDelta(0, None, None, "2}"),
    )
    assert names_and_arguments(message) == [("x", "one", "{}"), ("y", "two", '{"k":2}')]


def test_calls_that_all_have_one_id_are_told_apart_by_their_index_and_get_ids_of_their_own() -> (
    None
):
    message = assembled(ToolCallDelta(0, "x", "one", "{}"), ToolCallDelta(1, "x", "two", "{}"))
    assert [call.name for call in message.tool_calls] == ["one", "two"]
    assert len({call.id for call in message.tool_calls}) == 2


def test_a_server_that_repeats_id_and_name_in_every_fragment_makes_one_call() -> None:
    message = assembled(
        ToolCallDelta(0, "x", "one", "{"),
        ToolCallDelta(0, "x", "one", "}"),
    )
    assert names_and_arguments(message) == [("x", "one", "{}")]


def test_calls_are_ordered_by_their_index() -> None:
    message = assembled(ToolCallDelta(1, "y", "two"), ToolCallDelta(0, "x", "one"))
    assert [call.name for call in message.tool_calls] == ["one", "two"]


def test_each_fragment_tells_the_place_of_its_call() -> None:
    assembler = MessageAssembler()
    fragments = [
        ToolCallDelta(0, "x", "one"),
        ToolCallDelta(None, "y", "two"),
        ToolCallDelta(0, arguments="{}"),
    ]
    assert [assembler.feed(item) for item in fragments] == [0, 1, 0]
    assert assembler.feed(TextDelta("words")) is None
    assert assembler.places() == [0, 1]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_blank_arguments_are_an_empty_object(text: str) -> None:
    assert parse_arguments(text) == ({}, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ', "not valid JSON"),
        ("[1]", "a list"),
        ('"text"', "a string"),
        ("null", "null"),
        ("true", "true or false"),
        ("12", "a number"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "not valid JSON"),
    ],
)
def test_anything_but_an_object_is_a_problem_told_to_the_model(text: str, said: str) -> None:
    parsed, problem = parse_arguments(text)
    assert parsed is None
    assert said in problem
    assert "Call the tool again" in problem


def test_a_call_without_a_name_is_a_problem() -> None:
    (call,) = assembled(ToolCallDelta(0, "x", None, "{}")).tool_calls
    assert call.parsed is None
    assert "names no tool" in call.problem


deltas = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=6),
        "reasoning": st.text(max_size=6),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"function": st.fixed_dictionaries({"arguments": st.text(max_size=4)})},
                optional={
                    "index": st.integers(0, 2),
                    "id": st.sampled_from(["x", "y", ""]),
                },
            ),
            max_size=2,
        ),
    },
)


@settings(deadline=None)
@given(st.lists(deltas, max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_any_splitting_of_the_same_bytes_gives_the_same_message(
    made: list[dict[str, Any]], cuts: list[int]
) -> None:
    stream = b"".join(
        f"data: {json.dumps({'choices': [{'delta': delta}]}, ensure_ascii=False)}\n\n".encode(
            "utf-8", "replace"
        )
        for delta in made
    )
    stream += b"data: [DONE]\n\n"
    assert read(stream, cuts) == read(stream, [len(stream)])


def read(stream: bytes, cuts: list[int]) -> AssistantMessage:
    decoder, assembler = ChatDecoder(), MessageAssembler()
    place = turn = 0
    while place < len(stream):
        size = cuts[turn % len(cuts)]
        for item in decoder.feed(stream[place : place + size]):
            assembler.feed(item)
        place, turn = place + size, turn + 1
    for item in decoder.close():
        assembler.feed(item)
    return assembler.message()


def error_of(answer: MessageAssembler) -> str:
    return "" if answer.error is None else answer.error.message


def test_an_answer_with_more_calls_than_a_model_makes_is_an_error() -> None:
    answer = MessageAssembler()
    for number in range(MAX_CALLS):
        assert answer.feed(ToolCallDelta(number, f"c{number}", "f", "{}")) == number
    assert error_of(answer) == ""
    assert len(answer.message().tool_calls) == MAX_CALLS
    assert answer.feed(ToolCallDelta(MAX_CALLS, "one more", "f", "{}")) is None
    answer.feed(Finished("tool_calls"))
    assert "more than 1,000 tool calls" in error_of(answer)
    assert answer.ended
