"""Streamed Markdown, cut into blocks that are printed while the rest still comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.terminal.blocks import CODE_PIECE, LIST_PIECE, Block, Blocks, feed, finish

LINES = st.sampled_from(
    [
        "",
        "text",
        "more `code` text",
        "# heading",
        "- item",
        "  - inner",
        "  of an item",
        "1. first",
        "2. second",
        "```python",
        "```",
        "~~~",
        "   ```",
        "    indented",
        "| a | b |",
        "> quote",
        "漢字 é",
        "\r",
    ]
)


def blocks_of(*pieces: str) -> list[Block]:
    state, found = Blocks(), []
    for piece in pieces:
        state, given_ = feed(state, piece)
        found += given_
    return [*found, *finish(state)]


@st.composite
def streamed(draw: st.DrawFn) -> list[str]:
    """A text, in pieces."""
    text = "\n".join(draw(st.lists(LINES, max_size=60)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(streamed())
def test_where_the_pieces_are_cut_makes_no_difference(pieces: list[str]) -> None:
    assert blocks_of(*pieces) == blocks_of("".join(pieces))


@given(streamed())
def test_every_word_is_given_once_and_in_order(pieces: list[str]) -> None:
    words = [w for w in "".join(pieces).split() if not w.startswith(("```", "~~~"))]
    told = [w for block in blocks_of(*pieces) for w in block.text.split()]
    assert [w for w in told if not w.startswith(("```", "~~~"))] == words


@given(st.lists(LINES, max_size=200))
def test_what_waits_is_bounded_but_for_one_line(lines: list[str]) -> None:
    state = Blocks()
    for line in lines:
        state, _ = feed(state, f"{line}\n")
        assert len(state.lines) <= 200


def test_a_block_is_given_when_its_end_has_come() -> None:
    state, given_ = feed(Blocks(), "One\ntwo.\n\nThr")
    assert given_ == [Block("One\ntwo.")]
    assert state.tail(5) == Block("Thr")
    assert finish(state) == [Block("Thr")]


def test_a_fence_is_code_in_its_language_without_the_fence() -> None:
    found = blocks_of("Look:\n```python title=x\na = 1\n\nb = 2\n```\nDone")
    assert found == [Block("Look:"), Block("a = 1\n\nb = 2", True, "python"), Block("Done")]


def test_only_a_fence_of_the_same_kind_ends_it() -> None:
    [code] = blocks_of("````\n```\nx\n```\n````\n")
    assert code == Block("```\nx\n```", True, "")


def test_a_fence_that_never_ends_is_given_in_pieces_that_go_on_each_other() -> None:
    lines = [f"line {n}" for n in range(2 * CODE_PIECE + 3)]
    first, second, third = blocks_of("```\n" + "\n".join(lines))
    assert [first.joined, second.joined, third.joined] == [False, True, True]
    assert f"{first.text}\n{second.text}\n{third.text}" == "\n".join(lines)


def test_a_list_goes_on_over_blank_lines_and_what_is_indented() -> None:
    text = "1. one\n\n   more of one\n\n   ```\n   code\n   ```\n2. two\n\nafter"
    assert blocks_of(text) == [
        Block("1. one\n\n   more of one\n\n   ```\n   code\n   ```\n2. two"),
        Block("after"),
    ]


def test_a_long_list_is_given_between_its_items() -> None:
    items = [f"- item {n}" for n in range(LIST_PIECE + 2)]
    first, rest = blocks_of("\n".join(items))
    assert first == Block("\n".join(items[:LIST_PIECE]))
    assert rest == Block("\n".join(items[LIST_PIECE:]), joined=True)


def test_a_heading_is_a_block_of_its_own() -> None:
    assert blocks_of("text\n## Head\nmore") == [Block("text"), Block("## Head"), Block("more")]
