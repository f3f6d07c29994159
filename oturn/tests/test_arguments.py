"""The arguments of a tool call: what is read as it is, repaired, told to the model, sent back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oturn import FunctionInfo, Message, ToolCallInfo
from oturn.agent_stream_state import MessageAssembler, tool_call
from oturn.argument_repair import repair
from oturn.arguments import read_arguments, sendable_arguments
from oturn.history import to_api_messages
from oturn.transport.base import Finished, ToolCallDelta

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.text("\"'{}[],:\\\n `ab1", max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc'\"", max_size=3), inner)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc", max_size=3), values, max_size=4)


@settings(deadline=None)
@given(objects, st.sampled_from([None, 2]), st.sampled_from([None, "stop", "tool_calls"]))
def test_valid_json_keeps_its_value_and_is_never_called_repaired(
    value: dict[str, Any], indent: int | None, finish: str | None
) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    read = read_arguments(text, finish)
    assert (read.parsed, read.problem, read.repaired) == (value, "", ())
    assert repair(text, may_close=True) == (value, ())
    assert sendable_arguments(text, finish) == text


@settings(max_examples=500, deadline=None)
@given(objects, st.data())
def test_a_damaged_text_is_read_as_what_it_was_or_not_at_all(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for damage in data.draw(st.lists(st.sampled_from(DAMAGES), max_size=3, unique=True)):
        text = damage(text, data)
    read = read_arguments(text, "stop")
    if text.strip():
        assert read.parsed in (value, None)


def _without_end(text: str, data: st.DataObject) -> str:
    end = len(text) - data.draw(st.integers(0, 6))
    return text[:end] if not text[end:].strip("}] ") else text


def _with_commas(text: str, _: st.DataObject) -> str:
    return text[:-1] + ",}" if text.endswith(("]}", '"}', "}}", "e}")) else text


def _with_raw_control_characters(text: str, _: st.DataObject) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t") if "\\\\" not in text else text


def _fenced(text: str, _: st.DataObject) -> str:
    return f"```json\n{text}\n```"


def _twice(text: str, _: st.DataObject) -> str:
    return text + text


def _behind_an_empty_one(text: str, _: st.DataObject) -> str:
    return "{}" + text


def _in_a_string(text: str, _: st.DataObject) -> str:
    return json.dumps(text)


def _with_more_brackets(text: str, data: st.DataObject) -> str:
    return text + "}" * data.draw(st.integers(0, 2))


DAMAGES = [
    _without_end,
    _with_commas,
    _with_raw_control_characters,
    _fenced,
    _twice,
    _behind_an_empty_one,
    _in_a_string,
    _with_more_brackets,
]


@settings(max_examples=300, deadline=None)
@given(objects)
def test_a_python_literal_is_read_as_what_it_was_or_not_at_all(value: dict[str, Any]) -> None:
    assert read_arguments(repr(value), "stop").parsed in (value, None)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text("{}[]\"':,\\ntruefalsN01 `", max_size=40), st.text(max_size=20)))
def test_no_text_raises_and_each_is_read_or_explained(text: str) -> None:
    for finish in (None, "stop", "length"):
        read = read_arguments(text, finish)
        assert (read.parsed is None) == bool(read.problem)
        assert isinstance(json.loads(sendable_arguments(text, finish)), dict)


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ('{"a": 1,}', {"a": 1}, "comma"),
        ('{"a": [1, 2,],}', {"a": [1, 2]}, "comma"),
        ('{"a": "one\ntwo\t"}', {"a": "one\ntwo\t"}, "line breaks"),
        ('{"a": True, "b": None}', {"a": True, "b": None}, "None"),
        ("{'a': 'it is', 'b': [False]}", {"a": "it is", "b": [False]}, "single quotes"),
        ('{"a": {"b": "c"}', {"a": {"b": "c"}}, "missing at the end"),
        ('{"a": ["b"', {"a": ["b"]}, "missing at the end"),
        ('{"a": 1, "b": true', {"a": 1, "b": True}, "missing at the end"),
        ('{"a": "b"}}', {"a": "b"}, "left over"),
        ('{}{"a": 1}', {"a": 1}, "empty"),
        ('{"a": 1}{"a": 1}', {"a": 1}, "twice"),
        ('"{\\"a\\": 1}"', {"a": 1}, "string"),
        ('```json\n{"a": 1}\n```', {"a": 1}, "fence"),
    ],
)
def test_what_can_mean_one_thing_only_is_repaired_and_noted(
    text: str, value: dict[str, Any], said: str
) -> None:
    read = read_arguments(text, "tool_calls")
    assert (read.parsed, read.problem) == (value, "")
    assert any(said in note for note in read.repaired)
    assert json.loads(sendable_arguments(text, "tool_calls")) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"b": "x", "c": "y"}',  # the bracket may belong before "c"
        '{"a": 5',  # 5 may be the beginning of 50
        '{"a": "b',
        '{"a": 1,',
        '{"a":',
        "{",
        '{"a": 1}{"a": 2}',
        '{"a": 1}{"a": true}',
        "{'a': 'it's'}",
        "{'a': 'C:\\new'}",
        '{"a": "\\d"}',
        '{"a": b}',
        '{"a": NaN}',
        '{"a": 01}',
        "{a: 1}",
        '{"a": 1} and more',
        'Here: {"a": 1}',
        '"[1]"',
        '{"a": ' * 100 + "1,}" + "}" * 99,
    ],
)
def test_what_may_mean_several_things_is_told_to_the_model(text: str) -> None:
    read = read_arguments(text, "stop")
    assert read.parsed is None
    assert "Call the tool again" in read.problem
    assert sendable_arguments(text, "stop") == "{}"


def test_brackets_are_only_added_when_the_model_ended_by_itself() -> None:
    text = '{"a": "b"'
    assert read_arguments(text, "stop").parsed == {"a": "b"}
    assert read_arguments(text, None).parsed is None
    assert read_arguments(text, "content_filter").parsed is None


@pytest.mark.parametrize("text", ['{"a": "b"', '{"a": 1,}', "", "{'a': 1}"])
def test_a_call_that_was_cut_off_is_never_repaired_and_told_as_such(text: str) -> None:
    read = read_arguments(text, "length")
    assert read.parsed is None
    assert "cut off by the output limit" in read.problem
    assert read.repaired == ()


def test_a_call_that_was_whole_before_the_answer_was_cut_off_stands() -> None:
    assert read_arguments('{"a": 1}', "length").parsed == {"a": 1}


def test_the_problem_shows_the_place_and_what_stands_there() -> None:
    problem = read_arguments('{"city": Tokyo}', "stop").problem
    assert "char 9" in problem
    assert "Tokyo" in problem


def test_a_call_keeps_the_text_as_it_was_sent_beside_what_it_was_read_as() -> None:
    call = tool_call("x", "look", '{"a": 1,}', "tool_calls")
    assert (call.arguments, call.parsed, call.problem) == ('{"a": 1,}', {"a": 1}, "")
    assert call.repaired


def test_the_reason_of_the_ending_decides_about_calls_that_came_before_it() -> None:
    def parsed(finish: str) -> object:
        assembler = MessageAssembler()
        assembler.feed(ToolCallDelta(0, "x", "look", '{"a": "b"'))
        assembler.feed(Finished(finish))
        return assembler.message().tool_calls[0].parsed

    assert (parsed("tool_calls"), parsed("length")) == ({"a": "b"}, None)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (None, {}),
        ({}, {}),
        ({"a": "ü"}, {"a": "ü"}),
        ({"a": [float("inf"), 1]}, {"a": [None, 1]}),
        ("", {}),
        ("[1]", {}),
        ('{"a": NaN}', {}),
        ([1], {}),
    ],
)
def test_what_is_sent_back_is_always_one_json_object(arguments: object, sent: object) -> None:
    text = sendable_arguments(arguments)
    assert json.loads(text, parse_constant=pytest.fail) == sent


def test_a_history_never_sends_a_provider_arguments_that_it_would_refuse() -> None:
    broken = ('{"a": ', '{"a": 1,}', "[1]", '{"a": NaN}', "{'a': 1}")
    calls = [ToolCallInfo(text, "function", FunctionInfo("f", text)) for text in broken]
    (assistant, *_) = to_api_messages([Message(role="assistant", content="", tool_calls=calls)])
    sent = [call["function"]["arguments"] for call in assistant["tool_calls"]]
    assert [json.loads(text) for text in sent] == [{}, {"a": 1}, {}, {}, {"a": 1}]
