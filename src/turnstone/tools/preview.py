"""What a change of a file shows to the person who decides about it: a unified diff. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from turnstone.core.file_text import marked_encoding
from turnstone.tools.text import visible

#: Lines of the preview; the rest is counted.
_PREVIEW = 400

#: Lines around a change, and what of the rest is compared: beyond it takes seconds.
_AROUND = 3
_MAX_DIFF = 400_000

#: Steps of a comparison: with more it takes seconds.
_MAX_STEPS = 3_000_000

#: Lines from which difflib leaves out those that make up more than a hundredth.
_LONG = 200


def difference(old: bytes, new: bytes, name: str) -> str:
    """A unified diff. What is the same at both ends costs next to nothing."""
    before, after = _text(old), _text(new)
    skipped, one, other = _middle(before, after)
    if len(one) + len(other) > _MAX_DIFF:
        note = f"changes {len(one):,} characters to {len(other):,}; too long to compare"
        return f"{note}\n{_head(_lines(other), '+')}"
    lines = _lines(one), _lines(other)
    try:
        return _head([*_unified(*lines, name, skipped)])
    except _TooCostly:
        note = f"changes {len(lines[0]):,} lines to {len(lines[1]):,}; too different to compare"
        return f"{note}\n{_head(lines[1], '+')}"


def added(data: bytes) -> str:
    """All of it as new lines."""
    return _head(_lines(_text(data)), "+")


def other_names(names: int) -> str:
    """A line about hard links, or nothing."""
    if names < 2:
        return ""
    return f"[the file has {names} names (hard links); the others keep the old content]\n"


def _text(data: bytes) -> str:
    mark, encoding = marked_encoding(data)
    if encoding.startswith("utf-16"):
        return data[len(mark) :].decode(encoding, "replace")
    return data.decode("utf-8", "backslashreplace")


def _middle(one: str, other: str) -> tuple[int, str, str]:
    """How many lines are left out at the start, and what of both is left to compare."""
    head = _common(one, other)
    start = _back(one, head)
    most = min(len(one), len(other)) - start
    tail = min(_common_end(one, other), most)
    stop = _on(one, len(one) - tail)
    return one.count("\n", 0, start), one[start:stop], other[start : len(other) - len(one) + stop]


def _common(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        size = len(one) - middle, len(one) - low
        if one[size[0] : size[1]] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _back(text: str, at: int) -> int:
    """The start of the line, and of those before it that are shown."""
    for _ in range(_AROUND + 1):
        at = text.rfind("\n", 0, max(at, 0))
        if at < 0:
            return 0
    return at + 1


def _on(text: str, at: int) -> int:
    for _ in range(_AROUND + 1):
        at = text.find("\n", at) + 1
        if not at:
            return len(text)
    return at


class _TooCostly(Exception):
    """The two are too long and too different to be compared line by line."""


class _Matcher(difflib.SequenceMatcher[str]):
    """One that gives up, by steps and not by a clock: the same change always shows the same."""

    def __init__(self, one: list[str], other: list[str]) -> None:
        self._left, self._one = _MAX_STEPS, one
        self._places = Counter(other)
        if len(other) >= _LONG:  # then difflib passes over lines that are everywhere
            often = len(other) // 100 + 1
            self._places = Counter({k: n for k, n in self._places.items() if n <= often})
        super().__init__(None, one, other)

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """Raises _TooCostly."""
        last = len(self._one) if ahi is None else ahi
        self._left -= sum(self._places[self._one[n]] + 1 for n in range(alo, last))
        if self._left < 0:
            raise _TooCostly
        return super().find_longest_match(alo, ahi, blo, bhi)


def _unified(one: list[str], other: list[str], name: str, skipped: int) -> Iterator[str]:
    """`skipped`: how many lines stand before these. Raises _TooCostly."""
    yield f"--- {name} (now)"
    yield f"+++ {name} (new)"
    for group in _Matcher(one, other).get_grouped_opcodes(_AROUND):
        first, last = group[0], group[-1]
        old, new = _span(first[1], last[2], skipped), _span(first[3], last[4], skipped)
        yield f"@@ -{old} +{new} @@"
        for tag, start, stop, new_start, new_stop in group:
            if tag == "equal":
                yield from (f" {line}" for line in one[start:stop])
                continue
            yield from (f"-{line}" for line in one[start:stop])
            yield from (f"+{line}" for line in other[new_start:new_stop])


def _span(start: int, stop: int, skipped: int) -> str:
    """Lines of a file as a unified diff names them: nothing is named by the line before it."""
    size = stop - start
    begin = start + skipped + (size > 0)
    return f"{begin}" if size == 1 else f"{begin},{size}"


def _lines(text: str) -> list[str]:
    """Lines for a person: a final line feed that is missing, and other line ends, show."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    elif lines:
        lines[-1] += " [no line feed at the end]"
    return lines


def _head(lines: list[str], mark: str = "") -> str:
    kept = [f"{mark}{visible(line)}" for line in islice(lines, _PREVIEW)]
    if len(lines) > _PREVIEW:
        kept.append(f"[{len(lines) - _PREVIEW:,} more lines]")
    return "\n".join(kept)
