"""Arguments against a tool's schema: one sentence with its path for each thing that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.tools.schema import problems

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "size": {"enum": ["S", "M"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "home": {
            "type": "object",
            "properties": {"street": {"type": ["string", "null"]}},
            "required": ["street"],
        },
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "Ann"}, []),
        ({"name": "Ann", "age": 3.0, "size": "S", "tags": ["a"], "home": {"street": None}}, []),
        ([], ["The value must be an object, not a list."]),
        ({}, ["'name' is missing."]),
        ({"name": 3}, ["'name' must be a string, not 3."]),
        ({"name": None}, ["'name' must be a string, not null."]),
        ({"name": "a", "age": None, "size": None, "tags": None}, []),
        (
            {"name": "a", "home": {"street": None}, "tags": [None]},
            ["'tags[0]' must be a string, not null."],
        ),
        ({"name": ""}, ["'name' must have at least 1 characters, not 0."]),
        ({"name": "a", "age": True}, ["'age' must be a whole number, not true."]),
        ({"name": "a", "age": 1.5}, ["'age' must be a whole number, not 1.5."]),
        ({"name": "a", "age": -1}, ["'age' must be at least 0, not -1."]),
        ({"name": "a", "size": "L"}, ['\'size\' must be one of "S", "M", not "L".']),
        ({"name": "a", "tags": ["x", 2]}, ["'tags[1]' must be a string, not 2."]),
        ({"name": "a", "tags": ["x"] * 3}, ["'tags' must have at most 2 items, not 3."]),
        ({"name": "a", "home": {}}, ["'home.street' is missing."]),
        (
            {"name": "a", "home": {"street": 1}},
            ["'home.street' must be a string or null, not 1."],
        ),
        (
            {"name": "a", "nam": "b"},
            ["'nam' is not known. Known here: name, age, size, tags, home."],
        ),
    ],
)
def test_each_problem_is_one_sentence_with_its_path(value: object, said: list[str]) -> None:
    assert problems(value, PERSON) == said


def test_all_problems_are_told_at_once() -> None:
    assert len(problems({"age": "x", "size": "L"}, PERSON)) == 3


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"const": 1}, 1, True),
        ({"enum": [True]}, True, 1),
        ({"exclusiveMinimum": 1}, 2, 1),
        ({"exclusiveMaximum": 1}, 0, 1),
        ({"pattern": "^a+$"}, "aa", "b"),
        ({"maxLength": 2}, "äö", "abc"),
        ({"minItems": 1}, [1], []),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, 1, []),
        ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4),
        ({"additionalProperties": {"type": "string"}}, {"a": "b"}, {"a": 1}),
        ({"$ref": "#/$defs/word", "$defs": {"word": {"type": "string"}}}, "a", 1),
        ({"properties": {"a": False}}, {}, {"a": 1}),
    ],
)
def test_each_keyword_allows_and_refuses(schema: Any, good: object, bad: object) -> None:
    assert problems(good, schema) == []
    assert len(problems(bad, schema)) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "unheard-of"},
        {"pattern": "("},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"minimum": "one"},
        {"required": None},
    ],
)
def test_what_is_not_understood_allows_everything(schema: Any) -> None:
    assert problems({"a": [1, "b"]}, schema) == []
    assert problems(3, schema) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "age", "tags", "home"]), inner, max_size=3)
        ),
    )
)
def test_no_value_raises(value: object) -> None:
    assert all(problem.endswith(".") for problem in problems(value, PERSON))
