"""Nothing that is printed is obeyed by a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.plain import one_line, plain, plain_json, sendable

#: Sequences that terminals obey: what they would do, and the bytes.
HOSTILE = {
    "clear the screen": "\x1b[2J",
    "clear the scrollback": "\x1b[3J",
    "cursor home": "\x1b[H",
    "cursor up": "\x1b[5A",
    "cursor to a place": "\x1b[1;1H",
    "cursor to a column": "\x1b[1G",
    "erase the line": "\x1b[2K",
    "delete lines": "\x1b[9M",
    "insert lines": "\x1b[9L",
    "colour": "\x1b[31m",
    "invisible": "\x1b[8m",
    "black on black": "\x1b[30;40m",
    "true colour": "\x1b[38;2;0;0;0m",
    "reverse": "\x1b[7m",
    "blink": "\x1b[5m",
    "save the cursor": "\x1b7",
    "restore the cursor": "\x1b8",
    "scroll region": "\x1b[1;2r",
    "alternate screen": "\x1b[?1049h",
    "hide the cursor": "\x1b[?25l",
    "mouse reports": "\x1b[?1003h",
    "bracketed paste off": "\x1b[?2004l",
    "report the cursor": "\x1b[6n",
    "report the device": "\x1b[c",
    "answerback": "\x05",
    "window title": "\x1b]0;owned\x07",
    "icon title": "\x1b]1;owned\x1b\\",
    "report the title": "\x1b[21t",
    "resize": "\x1b[8;1;1t",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "hyperlink": "\x1b]8;;file:///etc/passwd\x1b\\text\x1b]8;;\x1b\\",
    "inline image": "\x1b]1337;File=inline=1:AAAA\x07",
    "notification": "\x1b]9;owned\x07",
    "palette": "\x1b]4;1;rgb:00/00/00\x07",
    "working directory": "\x1b]7;file://host/\x07",
    "device control": '\x1bP$q"p\x1b\\',
    "sixel": "\x1bPq#0;2;0;0;0#0~~\x1b\\",
    "privacy message": "\x1b^hidden\x1b\\",
    "application command": "\x1b_Gf=32;AAAA\x1b\\",
    "start of string": "\x1bXhidden\x1b\\",
    "reset": "\x1bc",
    "soft reset": "\x1b[!p",
    "character set": "\x1b(0lqk",
    "shift out": "\x0e",
    "shift in": "\x0f",
    "8-bit CSI": "\x9b2J",
    "8-bit OSC": "\x9d0;owned\x9c",
    "8-bit DCS": "\x90q\x9c",
    "next line": "\x85",
    "index": "\x1bD",
    "reverse index": "\x1bM",
    "bell": "\x07",
    "backspace": "rm -rf /\x08\x08\x08\x08",
    "carriage return": "rm -rf /\rls      ",
    "form feed": "\x0c",
    "vertical tab": "\x0b",
    "delete": "\x7f",
    "null": "\x00",
    "end of transmission": "\x04",
    "flow control": "\x13",
    "substitute": "\x1a",
    "right-to-left override": "\u202efdp.exe",
    "left-to-right override": "\u202dabc",
    "right-to-left isolate": "\u2067abc\u2069",
    "right-to-left embedding": "\u202babc\u202c",
    "first strong isolate": "\u2068abc\u2069",
    "arabic letter mark": "\u061c",
    "right-to-left mark": "\u200f",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "zero width space": "r\u200bm",
    "byte order mark": "\ufeffrm",
    "soft hyphen": "r\u00adm",
    "word joiner": "r\u2060m",
    "tags": "\U000e0072\U000e006d",
    "half a surrogate pair": "\udc9b",
}

#: Bidirectional classes of the characters that change an order (Unicode UAX #9).
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_obeyed(char: str) -> bool:
    if char in "\n\t":
        return False
    category = unicodedata.category(char)
    return category in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in _REORDERING


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
