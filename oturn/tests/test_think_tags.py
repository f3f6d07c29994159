"""Reasoning between tags in the text: told apart at the beginning of an answer, and only there."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oturn.transport.base import ReasoningDelta, StreamItem, TextDelta
from oturn.transport.think_tags import MAX_BLANKS, TAGS, ThinkTagFilter, ThinkTags


def told_apart(*pieces: str, mode: ThinkTags = "auto") -> tuple[str, str]:
    """(reasoning, text) of an answer in these pieces."""
    filtering = ThinkTagFilter(mode)
    items = [item for piece in pieces for item in filtering.feed(piece)] + filtering.close()
    return joined(items)


def joined(items: list[StreamItem]) -> tuple[str, str]:
    reasoning = "".join(item.text for item in items if isinstance(item, ReasoningDelta))
    return reasoning, "".join(item.text for item in items if isinstance(item, TextDelta))


ANSWERS = [
    ("<think>hm</think>yes", ("hm", "yes")),
    ("\n <think>\n\nhm\n</think>\n\nyes\n", ("hm\n", "yes\n")),
    ("<thinking>a </think> b</thinking>c", ("a </think> b", "c")),
    ("<thought>hm</thought>yes", ("hm", "yes")),
    ("<think></think>yes", ("", "yes")),
    ("<think>\n\n</think>\n\nyes", ("", "yes")),
    ("<think>never closed </thi", ("never closed </thi", "")),
    ("<think>a < b </b></think>yes", ("a < b </b>", "yes")),
    ("<think>a</think>b<think>c</think>", ("a", "b<think>c</think>")),
    ("Write <think>a</think>", ("", "Write <think>a</think>")),
    ("<thinner>", ("", "<thinner>")),
    ("<th", ("", "<th")),
    (" \n", ("", " \n")),
    (" plain", ("", " plain")),
    ("", ("", "")),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_reasoning_and_text_are_told_apart_whole_and_letter_by_letter(
    answer: str, expected: tuple[str, str]
) -> None:
    assert told_apart(answer) == expected
    assert told_apart(*answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("hm</think>yes", ("hm", "yes")),
        ("\nhm</thinking> yes", ("hm", "yes")),
        ("<think>hm</think>yes", ("hm", "yes")),
        ("</think>yes", ("", "yes")),
        ("never closed", ("never closed", "")),
        ("<thi", ("<thi", "")),
        ("a</think>b</think>c", ("a", "b</think>c")),
        ("a</thinking>b</think>c", ("a", "b</think>c")),
        ("a</think>b</thinking>c", ("a", "b</thinking>c")),
    ],
)
def test_the_opening_tag_may_be_missing_when_so_told(
    answer: str, expected: tuple[str, str]
) -> None:
    assert told_apart(answer, mode="opened") == expected
    assert told_apart(*answer, mode="opened") == expected


def test_switched_off_tags_are_text() -> None:
    filtering = ThinkTagFilter("off")
    assert filtering.over
    assert told_apart("<think>hm</think>yes", mode="off") == ("", "<think>hm</think>yes")


def test_no_more_is_held_back_than_may_become_a_tag() -> None:
    filtering = ThinkTagFilter()
    assert filtering.feed("<thin") == []
    assert filtering.feed("k>one <") == [ReasoningDelta("one ")]
    assert filtering.feed("two") == [ReasoningDelta("<two")]
    assert filtering.feed("</th") == []
    assert filtering.feed("ree") == [ReasoningDelta("</three")]
    assert filtering.feed("</think>four") == [TextDelta("four")]
    assert filtering.over
    assert filtering.feed("<") == [TextDelta("<")]


def test_text_that_begins_with_no_tag_is_given_out_at_once() -> None:
    filtering = ThinkTagFilter()
    assert filtering.feed("H") == [TextDelta("H")]
    assert filtering.over


def test_endless_blanks_are_not_held() -> None:
    filtering = ThinkTagFilter()
    assert filtering.feed(" " * MAX_BLANKS) == []
    assert filtering.feed(" ") == [TextDelta(" " * (MAX_BLANKS + 1))]


pieces = st.lists(
    st.sampled_from([*TAGS, *TAGS.values(), "<", "</", "thi", "nk>", " ", "\n", "a", "<b>"]),
    max_size=8,
)


@given(pieces, st.lists(st.integers(0, 60), max_size=8), st.sampled_from(["auto", "opened", "off"]))
def test_any_split_tells_the_same_apart_and_loses_nothing(
    parts: list[str], places: list[int], mode: ThinkTags
) -> None:
    answer = "".join(parts)
    ends = sorted({place % (len(answer) + 1) for place in places} | {0, len(answer)})
    cut = [answer[start:end] for start, end in itertools.pairwise(ends)]
    reasoning, text = told_apart(answer, mode=mode)
    assert told_apart(*cut, mode=mode) == (reasoning, text)
    assert answer.endswith(text)
    assert reasoning in answer
