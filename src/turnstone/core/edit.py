"""Where a piece of text stands in a file, and the file with another text in its place. Pure.

First the text exactly as it is (line endings apart), then `core.edit_tolerant`. Whatever fits
in several places, or only about, is refused with a sentence: there is no best guess. The
file keeps its encoding, its byte-order mark, the ending of each line, and whether it ends with one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.core import edit_tolerant
from turnstone.core.file_text import NotText, decode

How: TypeAlias = Literal["exact", "whitespace", "fuzzy"]

#: Line numbers that a refusal lists.
_LISTED = 20

#: Places that are looked at; who has more means none of them.
_MAX_PLACES = 100_000

_NOT_THERE = "old_string is no longer where it was."

_CRLF = re.compile("\r\n")
_NUMBERED = re.compile(r" *\d+\t")

_WORDS: dict[How, str] = {
    "exact": "",
    "whitespace": "not counting spaces at the ends of lines and the indentation",
    "fuzzy": "by likeness",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """The file as it will be. `removed` and `added` are the texts, with line feeds alone."""

    data: bytes
    line: int  # the first of what was found, counted from 1
    start: int  # where that is, in characters of the text with line feeds alone
    how: How
    removed: str
    added: str
    similarity: float = 1.0  # of the text that was found, 0 to 1

    def note(self) -> str:
        """How the place was found, if not exactly; for the person and the model."""
        if self.how == "exact":
            return ""
        likeness = f" ({self.similarity:.0%})" if self.how == "fuzzy" else ""
        return f"found {_WORDS[self.how]}{likeness}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is changed, as sentences for the model."""

    reason: str


def change(
    data: bytes, old: str, new: str, near_line: int | None = None, *, at: int | None = None
) -> Edit | Refusal:
    """Replace the one place where `old` stands by `new`. `near_line` (from 1) picks the
    nearest of several places, the first of two equally near. `at`, in characters of the text
    with line feeds alone, picks the one that begins there."""
    old, new = _unified(old), _unified(new)
    if wrong := _wrong(old, new, near_line):
        return Refusal(wrong)
    try:
        file = decode(data)
    except NotText as error:
        return Refusal(f"The file {error}.")
    text = _unified(file.text)
    found = _exact(text, old, near_line) if at is None else _exactly_at(text, old, at)
    if isinstance(found, Refusal):
        return found
    if found is not None and not new and (line_start := _leaves_blanks(text, old, found)) >= 0:
        found, at = None, line_start
    how: How = "exact"
    similarity = 1.0
    if found is None:
        loose = edit_tolerant.find(text, old, new)
        if isinstance(loose, str):
            return Refusal(loose + _hint(old))
        if at is not None:
            loose = [p for p in loose if p.start == at]
        if not loose:
            return Refusal(_NOT_THERE)
        place = _chosen([p.line for p in loose], near_line)
        if isinstance(place, Refusal):
            return place
        chosen = loose[place]
        how, similarity = chosen.how, chosen.similarity
        start, end, new = chosen.start, chosen.end, chosen.text
    else:
        start, end = found, found + len(old)
    changed = _put(file.text, text, start, end, new)
    if changed is None:
        return Refusal("The change would join a lone carriage return with a line feed.")
    if changed == file.text:
        return Refusal("The edit would change nothing: the text is in the file already.")
    line = text.count("\n", 0, start) + 1
    return Edit(file.encode(changed), line, start, how, text[start:end], new, similarity)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n")


def _wrong(old: str, new: str, near_line: int | None) -> str:
    if not old:
        return "old_string is empty. To fill a new or an empty file, use write_file."
    if old == new:
        return "old_string and new_string are the same, so there is nothing to change."
    if near_line is not None and near_line < 1:
        return "near_line must be 1 or more."
    for name, text in (("old_string", old), ("new_string", new)):
        if "\0" in text:
            return f"{name} contains a NUL character, which no text has."
        if any("\ud800" <= char <= "\udfff" for char in text):
            return f"{name} contains half of a character pair."
    return ""


def _hint(old: str) -> str:
    if all(map(_NUMBERED.match, old.rstrip("\n").split("\n"))):
        return " It seems to contain the line numbers of read_file; leave them out."
    return ""


def _exact(text: str, old: str, near_line: int | None) -> int | Refusal | None:
    """Where `old` stands; None if nowhere."""
    at = text.find(old)
    if at < 0:
        return None
    places: list[int] = []
    while at >= 0:
        places.append(at)
        if len(places) > _MAX_PLACES:
            return Refusal(f"old_string occurs more than {_MAX_PLACES:,} times.")
        at = text.find(old, at + 1)
    lines, line, before = [], 1, 0
    for place in places:
        line += text.count("\n", before, place)
        before = place
        lines.append(line)
    chosen = _chosen(lines, near_line)
    return chosen if isinstance(chosen, Refusal) else places[chosen]


def _exactly_at(text: str, old: str, at: int) -> int | None:
    return at if text.startswith(old, at) else None


def _leaves_blanks(text: str, old: str, at: int) -> int:
    """Where the line begins of which only blanks would be left, before the line that follows,
    if `old` went: then the whole line is meant. -1 if it leaves none."""
    start = text.rfind("\n", 0, at) + 1
    blanks = text[start:at]
    whole = old.endswith("\n") and old.strip() and blanks and not blanks.strip(" \t")
    return start if whole else -1


def _chosen(lines: list[int], near_line: int | None) -> int | Refusal:
    """Which of the places that begin on these lines is meant."""
    if len(lines) == 1:
        return 0
    if near_line is not None:
        return min(range(len(lines)), key=lambda n: abs(lines[n] - near_line))
    listed = ", ".join(map(str, lines[:_LISTED]))
    more = f" and {len(lines) - _LISTED:,} more" if len(lines) > _LISTED else ""
    return Refusal(
        f"old_string occurs {len(lines):,} times, at lines {listed}{more}."
        " Give more of the text around it, or near_line."
    )


def _put(raw: str, text: str, start: int, end: int, new: str) -> str | None:
    """`raw` with `new` in place of what is `text[start:end]` with line feeds alone.

    None if the parts would make a line ending where they meet that neither has.
    """
    crlf = [match.start() - n for n, match in enumerate(_CRLF.finditer(raw))]
    if crlf or "\r" in raw or "\r" in new:
        first, last = (place + bisect_left(crlf, place) for place in (start, end))
        default = "\r\n" if 2 * len(crlf) > text.count("\n") else "\n"
        changed = raw[:first] + _with_endings(raw[first:last], new, default) + raw[last:]
        return changed if _unified(changed) == text[:start] + new + text[end:] else None
    return raw[:start] + new + raw[end:]


def _with_endings(raw: str, new: str, default: str) -> str:
    """`new` with the endings of the lines that it replaces: those that stay keep their own."""
    before = raw.split("\n")
    ends = ["\r\n" if line.endswith("\r") else "\n" for line in before[:-1]]
    old_lines = [*(line.removesuffix("\r") for line in before[:-1]), before[-1]]
    lines = new.split("\n")
    head = _same(old_lines, lines)
    tail = min(_same(old_lines[::-1], lines[::-1]), len(lines) - head, len(old_lines) - head)
    shift = len(old_lines) - len(lines)
    out: list[str] = []
    for n, line in enumerate(lines[:-1]):
        # A line of the tail stands `shift` further on in the old text.
        place = n + shift if n >= max(head, len(lines) - tail - 1) else n
        out += [line, ends[place] if 0 <= place < len(ends) else default]
    return "".join([*out, lines[-1]])


def _same(one: list[str], other: list[str]) -> int:
    """How many lines are the same, from the first on."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))
