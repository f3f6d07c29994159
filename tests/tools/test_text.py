"""What a person is shown before a yes has nothing hidden in it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.tools.text import cut_middle, one_line, visible

HIDDEN = {
    "right to left": "ls \u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "zero width": "r\u200bm",
    "escape": "\x1b[8mrm\x1b[0m",
    "carriage return": "rm -rf x\rls    ",
    "backspace": "rm\b\bls",
    "no-break space": "rm\u00a0-rf",
    "line separator": "ls\u2028rm",
    "tag": "ls\U000e0072",
    "hangul filler": "ls\u3164rm",
    "variation": "a\ufe0f",
    "lone surrogate": "a\ud800",
    "next line": "ls\x85rm",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_cannot_be_seen_is_spelled_out(text: str) -> None:
    assert "\\" in visible(text)
    assert visible(text).isprintable()


@given(st.text())
def test_nothing_but_line_feeds_and_tabs_moves_the_cursor(text: str) -> None:
    rest = visible(text).replace("\n", "").replace("\t", "")
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in rest)


def test_plain_text_of_people_stays_as_it_is() -> None:
    text = "grüße 日本語 русский\n\tcafé — “so”"
    assert visible(text) == text


def test_a_header_is_one_line_and_says_that_there_is_more() -> None:
    assert one_line("ls -la") == "ls -la"
    assert one_line("ls\nrm -rf x") == "ls …"
    assert one_line("x" * 500).endswith(" …")
    assert len(one_line("x" * 500)) <= 160


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_a_cut_keeps_both_ends_and_tells_how_much_is_missing(text: str, limit: int) -> None:
    cut = cut_middle(text, limit)
    if len(text) <= limit:
        assert cut == text
    else:
        assert cut.startswith(text[: limit // 2])
        assert f"[{len(text) - limit:,} characters cut out here" in cut
        assert cut.endswith(text[-(limit - limit // 2) :])
