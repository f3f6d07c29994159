"""The argument text of a call: yes or no, and a summary that shows both its ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.tool_runtime_utils import (
    JsonObject,
    ToolArgsSummary,
    parse_tool_arguments,
    parse_tool_arguments_with_status,
    summarize_tool_arguments,
)


@pytest.mark.parametrize(
    ("text", "parsed", "ok"),
    [
        ("", {}, True),
        (" \n", {}, True),
        (None, {}, True),
        ("{}", {}, True),
        ('{"a": [1]}', {"a": [1]}, True),
        ("[1]", {}, False),
        ("null", {}, False),
        ('"x"', {}, False),
        ('{"a": ', {}, False),
        ('{"a": NaN}', {}, False),
    ],
)
def test_an_object_or_nothing_is_read(text: str | None, parsed: JsonObject, ok: bool) -> None:
    assert parse_tool_arguments_with_status(text) == (parsed, ok)
    assert parse_tool_arguments(text) == parsed


def test_a_summary_shows_both_ends_of_a_long_text() -> None:
    text = "a" * 120 + "b" * 120
    summary: ToolArgsSummary = summarize_tool_arguments(text)
    assert summary == {"length": 240, "parse_ok": False, "head": "a" * 120, "tail": "b" * 120}
    assert list(summary) == ["length", "parse_ok", "head", "tail"]
    assert summarize_tool_arguments("{}") == {
        "length": 2,
        "parse_ok": True,
        "head": "{}",
        "tail": "",
    }
    assert summarize_tool_arguments(None)["length"] == 0
    assert summarize_tool_arguments("abc", preview_chars=2)["tail"] == "bc"


@given(st.text(), st.integers(0, 5))
def test_a_summary_never_shows_more_than_it_was_asked_for(text: str, limit: int) -> None:
    summary = summarize_tool_arguments(text, preview_chars=limit)
    assert (len(summary["head"]), summary["length"]) == (min(limit, len(text)), len(text))
    assert text.startswith(summary["head"])
    assert text.endswith(summary["tail"])
    assert len(summary["tail"]) == (limit if len(text) > limit else 0)
