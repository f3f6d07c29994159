"""Things that are printed once, as lines of a terminal at a width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.terminal import paint, printed
from turnstone.cli.terminal.blocks import Block
from turnstone.cli.terminal.markdown import code_lines, markdown_lines
from turnstone.cli.terminal.seams import Line
from turnstone.cli.terminal.theme import STYLES, Theme, style_of, theme_of, to_ansi, toolkit_style
from turnstone.cli.terminal.wrapping import cell_len, crop, wrap

DARK = Theme()
DIFF = "--- a (now)\n+++ a (new)\n@@ -1 +1 @@\n-one\n+two\n"

MARKUP = st.text(alphabet="ab *_`#->|[]()!<&;1.\n\t~\\\x1b\u202e漢🎉", max_size=120)


def texts(lines: list[Line]) -> list[str]:
    return [paint.strip(line) for line in lines]


def drawn(item: printed.Printed, width: int = 80) -> list[str]:
    return texts(paint.paint(item, width, DARK))


@given(MARKUP, st.integers(1, 100))
def test_no_markdown_of_a_model_breaks_the_drawing_or_makes_an_escape(
    text: str, width: int
) -> None:
    shown = to_ansi(markdown_lines(text, width, Theme(colours=False)), Theme(colours=False))
    left = shown
    for code in range(10):
        left = left.replace(f"\x1b[{code}m", "")
    assert not any(ord(char) < 32 and char not in "\n\x1b" for char in left)
    assert "\u202e" not in shown and "\x1b]" not in shown and "\x1b[?" not in shown


@given(st.text(alphabet="ab *_#->|[]()!\n1.", max_size=120), st.integers(1, 60))
def test_no_letter_of_an_answer_is_left_out_however_narrow_it_is(text: str, width: int) -> None:
    shown = "".join(texts(markdown_lines(text, width, DARK)))
    assert [shown.count(letter) for letter in "ab"] == [text.count(letter) for letter in "ab"]


@given(st.text(alphabet="ab 漢é🎉", max_size=60), st.integers(2, 30))
def test_wrapped_rows_keep_to_the_width_and_lose_no_letter(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert all(cell_len(row.rstrip()) <= width for row in rows)
    assert "".join("".join(rows).split()) == "".join(text.split())
    assert cell_len(crop(text, width)) <= width


def test_html_is_text_a_link_shows_its_address_and_an_image_is_a_link() -> None:
    [row] = texts(markdown_lines("<b>x</b> [y](http://h/p) ![z](http://h/i)", 80, DARK))
    assert row == "<b>x</b> y (http://h/p) !z (http://h/i)"


def test_a_list_that_goes_on_keeps_its_number() -> None:
    assert texts(markdown_lines("3. three\n4. four", 80, DARK)) == [" 3 three", " 4 four"]


def test_lists_in_lists_in_a_narrow_terminal_are_shown_somehow() -> None:
    text = "".join(f"{'  ' * n}- x{n}\n" for n in range(60))
    for width in (20, 60, 120):
        assert "x59" in "".join(texts(markdown_lines(text, width, DARK)))


def test_a_table_with_no_room_is_shown_as_it_was_written_and_no_cell_is_cut() -> None:
    wide = "| a | b |\n|---|---|\n| " + "x" * 50 + " | y |\n"
    assert "".join(texts(markdown_lines(wide, 30, DARK))).count("x") == 50
    columns = "|" + "c|" * 20
    assert texts(markdown_lines(f"{columns}\n{columns.replace('c', '-')}\n", 30, DARK)) == [
        columns,
        columns.replace("c", "-"),
    ]


def test_code_is_coloured_after_its_language_and_is_not_wrapped() -> None:
    long = f"def f():  # {'x' * 200}\n    return 1"
    first, second = code_lines(long, "python", DARK)
    assert paint.strip(first) == f"  def f():  # {'x' * 200}"
    assert len(first) > 2 and paint.strip(second) == "      return 1"
    assert texts(code_lines("plain", "no-such-language", DARK)) == ["  plain"]


def test_a_card_says_what_was_done_how_it_ended_and_how_long_it_took() -> None:
    card = printed.Card("bash", "bash: make", "ok", "built\n", seconds=12.3)
    assert drawn(card) == ["▸ bash: make  ✓ done · 12 s", "    built"]
    refused = printed.Card("bash", "bash: make", "denied")
    assert drawn(refused, 20) == ["▸ bash: make", "  ⊘ denied: not run"]


def test_long_output_is_folded_and_can_be_had_whole() -> None:
    rows = "\n".join(f"row {n}" for n in range(20_000))
    card = printed.Card("bash", "bash: seq", "ok", rows)
    shown = drawn(card)
    assert len(shown) == 14 and shown[-1] == "    row 19999"
    assert "19988 more lines are not shown · Ctrl-O shows it whole" in shown[9]
    whole = paint.whole(card, 80)
    assert whole is not None and len(whole) == 20_001
    assert paint.whole(printed.Card("bash", "x", "ok", "short"), 80) is None


def test_a_long_message_is_folded_and_can_be_had_whole() -> None:
    text = "\n".join(f"line {n}" for n in range(5_000))
    shown = drawn(printed.Said(text))
    assert shown[:2] == ["› line 0", "  line 1"] and len(shown) == paint.SAID_ROWS + 1
    assert shown[-1].endswith("more characters · Ctrl-O shows it whole")
    assert texts(paint.whole(printed.Said(text), 80) or []) == text.split("\n")
    wide = printed.Said("x" * 500_000)
    assert len(drawn(wide)) < 200 and texts(paint.whole(wide, 80) or []) == [wide.text]
    assert paint.whole(printed.Said("short"), 80) is None


def test_files_that_a_message_does_not_name_are_told_with_it() -> None:
    said = printed.Said("see @cat.png", files=("cat.png", "dog\x1b.png", ""))
    assert drawn(said) == ["› see @cat.png", "  with dog␛.png", "  with a file"]


def test_a_change_that_was_made_is_a_diff_in_colour_and_one_that_was_not_says_why() -> None:
    made = printed.Card("edit_file", "edit_file: a", "ok", "Replaced.", preview=DIFF)
    lines = paint.paint(made, 80, DARK)
    styles = {text: name for line in lines for name, text in line}
    assert styles["-one"] == "del" and styles["+two"] == "add"
    failed = printed.Card("edit_file", "edit_file: a", "error", "No such text.", preview=DIFF)
    assert "    No such text." in drawn(failed) and "-one" not in "".join(drawn(failed))


def test_reasoning_is_one_line_and_can_be_had_whole() -> None:
    thought = printed.Thought("one two\nthree", 65)
    [line] = drawn(thought)
    assert line == "∴ thought for 1 min 5 s, 3 words · Ctrl-O shows it whole"
    assert texts(paint.whole(thought, 80) or []) == ["  one two", "  three"]


def test_wide_characters_are_wrapped_by_their_columns() -> None:
    assert drawn(printed.Said("漢字" * 5), 12) == ["› 漢字漢字漢", "  字漢字漢字"]


def test_an_ending_tells_what_it_took_and_why_it_was_none() -> None:
    ending = printed.Ending("failed", "no such key", 1.0, 1200, 3.5)
    assert drawn(ending) == [
        "The turn failed: no such key.",
        "1.0 s · 1,200 tokens · 3.5 % of the context",
    ]
    assert drawn(printed.Ending("done")) == []


def test_a_reply_is_wrapped_under_its_last_column_but_for_a_file() -> None:
    text = "/ws     one two three four"
    assert drawn(printed.Reply(text), 20) == ["/ws     one two", "        three four"]
    assert drawn(printed.Reply(text, verbatim=True), 20) == [text]


@pytest.mark.parametrize("kind", ["dark", "light"])
@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_known_in_both_themes_and_to_both_libraries(kind: str, name: str) -> None:
    theme = theme_of(kind, {})
    assert theme.kind == kind
    assert bool(toolkit_style(name, theme)) and style_of(name, theme)


def test_the_theme_is_taken_from_the_terminal_and_colours_can_be_switched_off() -> None:
    assert theme_of("auto", {}).kind == "dark"
    assert theme_of("auto", {"COLORFGBG": "0;15"}).kind == "light"
    assert theme_of("auto", {"COLORFGBG": "15;0"}).kind == "dark"
    assert theme_of("dark", {"COLORFGBG": "0;15"}).kind == "dark"
    plain = theme_of("auto", {"NO_COLOR": "1"})
    assert to_ansi([[("add", "x")]], plain) == "x\n"
    assert to_ansi([[("title", "x")]], plain) == "\x1b[1mx\x1b[0m\n"
    assert "fg:" not in toolkit_style("title", plain)


def test_what_is_printed_is_one_row_a_line_whatever_stands_in_it() -> None:
    block = printed.Answer(Block("a\x1b[2Jb\rc"))
    [line] = paint.paint(block, 80, DARK)
    assert paint.strip(line) == "a␛[2Jb␍c"
    assert to_ansi([[("", "a\nb\tc\x07")]], DARK) == "a b    c␇\n"
