"""Whole lines of a file that are nearly those that were quoted. Pure.

First lines that differ in spaces at their ends and in their indentation; then lines that
differ a little more, where the lines to be replaced are quoted right, and of the text around
them only remarks, signs and spaces are not. Lines that the edit does not change stay as the file
has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Literal

from turnstone.core.edit_indent import reindented, within_strings

#: How alike the quoted text and the file's must be, from 0 to 1; and by how much the best
#: place must be ahead of the next.
THRESHOLD, MARGIN = 0.9, 0.05

#: How alike each line of its own must be: of a line that differs more, nobody knows what it is.
_EACH = 0.6

#: Lines and characters of a quoted text up to which likeness is looked for.
_MAX_LINES, _MAX_CHARS = 200, 20_000

#: Lines old times lines new up to which the two are compared line by line.
_MAX_COMPARED = 4_000_000

#: A line that occurs more often than this says nothing about where a text stands.
_COMMON = 5000

#: Places that are looked at: more than a person would choose from.
_MAX_PLACES = 200

_SPACES = " \t"
_NOT_FOUND = "old_string was not found in the file."
_INDENTATION = (
    "old_string was found with another indentation, and how new_string should be indented"
    " cannot be told from it. Read the file again and quote it exactly."
)

#: What is no code: remarks to the end of a line, of the kinds that nothing else looks like.
_REMARK = re.compile(r"^//.*|(?:^|\s)#\s.*")
_WORD = re.compile(r"\w+")

#: Characters that are written for one another, by people and by models.
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000\t", " "),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the text, and what shall stand there. `line` is its first, from 1."""

    start: int
    end: int
    line: int
    text: str
    how: Literal["whitespace", "fuzzy"]
    similarity: float = 1.0


def find(text: str, old: str, new: str) -> list[Place] | str:
    """The places that `old` may mean, at least one, or why there is none.

    The texts have line feeds alone. Several places are of the first kind only.
    """
    closed = old.endswith("\n")
    if closed and new and not new.endswith("\n"):
        return _NOT_FOUND  # it would join a line with the next, which lines cannot say
    old_lines = old.removesuffix("\n").split("\n")
    new_lines = (new.removesuffix("\n") if closed else new).split("\n")
    if closed and not new:
        new_lines = []
    if not any(map(str.strip, old_lines)) or len(old_lines) * len(new_lines) > _MAX_COMPARED:
        return _NOT_FOUND
    lines = text.removesuffix("\n").split("\n")
    changes = _changes(old_lines, new_lines)
    starts = _same_but_spaces(lines, old_lines)
    if len(starts) > _MAX_PLACES:
        return f"old_string occurs {len(starts):,} times, but for spaces. Quote it exactly."
    offsets = [0, *accumulate(len(line) + 1 for line in lines)]
    if starts:
        bodies = [_body(lines, start, old_lines, new_lines, changes) for start in starts]
        if None in bodies:
            return _INDENTATION
        return [
            _place(text, offsets, start, len(old_lines), body or [], "whitespace", 1.0)
            for start, body in zip(starts, bodies, strict=True)
        ]
    best = _alike(lines, old_lines, changes)
    if isinstance(best, str):
        return best
    start, similarity = best
    body = _body(lines, start, old_lines, new_lines, changes)
    if body is None:
        return _INDENTATION
    return [_place(text, offsets, start, len(old_lines), body, "fuzzy", similarity)]


def _changes(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """Which lines of `old` stay, and what comes instead of the others."""
    return list(SequenceMatcher(None, old, new, autojunk=False).get_opcodes())


def _same_but_spaces(lines: list[str], old: list[str]) -> list[int]:
    wanted = [line.strip(_SPACES) for line in old]
    bare = [line.strip(_SPACES) for line in lines]
    anchor = max(range(len(wanted)), key=lambda n: len(wanted[n]))
    return [
        place - anchor
        for place in _places(bare, wanted[anchor])
        if place >= anchor and bare[place - anchor : place - anchor + len(old)] == wanted
    ]


def _places(lines: list[str], wanted: str) -> Iterator[int]:
    at = -1
    try:
        while True:
            at = lines.index(wanted, at + 1)
            yield at
    except ValueError:
        return


def _body(
    lines: list[str],
    start: int,
    old: list[str],
    new: list[str],
    changes: Sequence[tuple[str, int, int, int, int]],
) -> list[str] | None:
    """The lines that shall stand there; None if their indentation cannot be told."""
    window = lines[start : start + len(old)]
    indented = reindented(list(zip(old, window, strict=True)), new)
    literal = within_strings(new)
    body: list[str] = []
    for kind, first, last, new_first, new_last in changes:
        if kind == "equal":
            body += window[first:last]
        elif kind != "delete":
            if indented is None:
                return None
            added = range(new_first, new_last)
            if any(n in literal and indented[n] != new[n] for n in added):
                return None
            body += indented[new_first:new_last]
    whole = "\n".join(window)
    if unicodedata.normalize("NFD", whole) == whole != unicodedata.normalize("NFC", whole):
        body = [unicodedata.normalize("NFD", line) for line in body]
    return body


def _place(
    text: str,
    offsets: list[int],
    first: int,
    count: int,
    body: list[str],
    how: Literal["whitespace", "fuzzy"],
    similarity: float,
) -> Place:
    start, end = offsets[first], offsets[first + count] - 1
    if not body:  # lines that go take their endings with them
        end = min(end + 1, len(text))
    return Place(start, end, first + 1, "\n".join(body), how, similarity)


def _folded(line: str) -> str:
    return " ".join(unicodedata.normalize("NFC", line).translate(_ALIKE).split())


def _canonical(line: str) -> str:
    return unicodedata.normalize("NFC", line).strip(_SPACES)


def _alike(
    lines: list[str], old: list[str], changes: Sequence[tuple[str, int, int, int, int]]
) -> tuple[int, float] | str:
    """The one place that is like `old`, and how much; or why there is none."""
    if len(old) > _MAX_LINES or sum(map(len, old)) > _MAX_CHARS:
        return _NOT_FOUND
    from rapidfuzz import fuzz  # takes a while to load, and is rarely needed

    wanted = [_folded(line) for line in old]
    folded = [_folded(line) for line in lines]
    whole = "\n".join(wanted)
    rated = [
        (fuzz.ratio(whole, "\n".join(folded[start : start + len(old)])) / 100, start)
        for start in _candidates(folded, wanted)
    ]
    rated.sort(key=lambda found: (-found[0], found[1]))
    if not rated or rated[0][0] < THRESHOLD:
        return _NOT_FOUND + _nearest(rated)
    similarity, start = rated[0]
    rivals = [at for likeness, at in rated[1:] if likeness >= similarity - MARGIN]
    if rivals:
        listed = ", ".join(str(at + 1) for at in sorted([start, *rivals[:19]]))
        return f"{_NOT_FOUND} Text that is like it stands at lines {listed}; quote one exactly."
    window = range(start, start + len(old))
    each = all(fuzz.ratio(wanted[n], folded[at]) >= 100 * _EACH for n, at in enumerate(window))
    if not each or not _quoted_right(lines[start : start + len(old)], old, changes):
        return (
            f"{_NOT_FOUND} Text that is like it stands at line {start + 1}, but the names in it,"
            " or the lines to be replaced, are not quoted as they are there. Read it again and"
            " quote it exactly."
        )
    return start, similarity


def _candidates(folded: list[str], wanted: list[str]) -> list[int]:
    """Where at least half of the lines are the same, best first."""
    of_line: dict[str, list[int]] = {line: [] for line in wanted if line}
    for at, line in enumerate(folded):
        if line in of_line:
            of_line[line].append(at)
    votes = Counter(
        at - n
        for n, line in enumerate(wanted)
        if line and len(of_line[line]) <= _COMMON
        for at in of_line[line]
        if 0 <= at - n <= len(folded) - len(wanted)
    )
    enough = sum(map(bool, wanted)) / 2
    return [start for start, count in votes.most_common(_MAX_PLACES) if count >= enough]


def _quoted_right(
    window: list[str], old: list[str], changes: Sequence[tuple[str, int, int, int, int]]
) -> bool:
    """Whether the lines that go, those beside a change, and the names in all others are in the
    file as quoted. With another name, it is another function that is meant.

    Those beside it may differ in characters that look alike, since they stay.
    """
    if any(_names(own) != _names(quoted) for own, quoted in zip(window, old, strict=True)):
        return False
    for kind, first, last, _, _ in changes:
        if kind == "equal":
            continue
        if any(_canonical(window[n]) != _canonical(old[n]) for n in range(first, last)):
            return False
        beside = [n for n in (first - 1, last) if 0 <= n < len(old)]
        if any(_folded(window[n]) != _folded(old[n]) for n in beside):
            return False
    return True


def _names(line: str) -> list[str]:
    """All words and numbers of a line, but for those of a remark."""
    return _WORD.findall(_REMARK.sub("", _folded(line)))


def _nearest(rated: list[tuple[float, int]]) -> str:
    if not rated:
        return ""
    likeness, start = rated[0]
    return (
        f" The text at line {start + 1} is like it ({likeness:.1%}, and {THRESHOLD:.0%} is"
        " needed). Read it again and quote it exactly."
    )
