"""Nothing that is printed is obeyed by a terminal."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.escapes import HOSTILE, is_obeyed
from turnstone.cli.plain import one_line, plain, plain_json, sendable


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_sequence_is_shown_and_not_obeyed(name: str) -> None:
    shown = plain(f"before {HOSTILE[name]} after")
    assert not any(is_obeyed(char) for char in shown)
    assert shown.startswith("before ") and shown.endswith(" after")
    assert shown != f"before {HOSTILE[name]} after", "something was there, and is to be seen"
    assert len(shown) >= len(f"before {HOSTILE[name]} after"), "a placeholder for each"


@given(st.text(st.characters(codec=None)) | st.text("\x1b\x9b\x07\r\n\t[]0;mHa\u202e\u2066"))
def test_no_text_leaves_a_control_character_but_newline_and_tab(text: str) -> None:
    assert not any(is_obeyed(char) for char in plain(text))


def test_no_character_of_unicode_is_obeyed() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    assert [hex(ord(c)) for c in plain(everything) if is_obeyed(c)] == []


@given(st.text("ab\x1b[\x9b\u202e\n\t"), st.text("ab\x1b[\x9b\u202e\n\t"))
def test_text_split_anywhere_comes_out_the_same(one: str, other: str) -> None:
    assert plain(one) + plain(other) == plain(one + other)


@given(st.text())
def test_what_is_plain_stays_as_it_is(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    "text", ["naïve – “quotes” … ≠", "日本語\tと\n한국어", "עברית العربية", "👩‍👩‍👧 क्‍ष", "▸ ✓ ⊘"]
)
def test_ordinary_text_of_any_script_is_left_alone(text: str) -> None:
    assert plain(text) == text


def test_line_ends_of_windows_become_ours() -> None:
    assert plain("one\r\ntwo\r\n") == "one\ntwo\n"


def test_a_header_stays_on_its_line() -> None:
    assert one_line("bash: ls\n\x1b[2Jrm") == "bash: ls ␛[2Jrm"


@given(st.text(st.characters(codec="utf-8")))
def test_json_keeps_its_value_and_loses_what_a_terminal_obeys(text: str) -> None:
    line = plain_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(line) == {"text": text}
    assert not any(is_obeyed(char) for char in line) and "\n" not in line


@given(st.text(st.characters(codec=None)))
def test_what_is_sent_has_an_encoding_and_only_halves_of_characters_are_replaced(text: str) -> None:
    sent = sendable(text)
    sent.encode()
    assert len(sent) == len(text)
    for before, after in zip(text, sent, strict=True):
        assert after == ("\ufffd" if "\ud800" <= before <= "\udfff" else before)
