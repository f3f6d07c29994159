"""What a change of a file shows to the person who decides about it: a unified diff. Pure."""

from __future__ import annotations

import difflib
import re
from itertools import islice

from turnstone.core.file_text import marked_encoding
from turnstone.tools.text import visible

#: Lines of the preview; the rest is counted.
_PREVIEW = 400

#: Lines around a change, and what of the rest is compared: beyond it takes seconds.
_AROUND = 3
_MAX_DIFF = 400_000

_HUNK = re.compile(r"@@ -(\d+)(.*) \+(\d+)(.*) @@")


def difference(old: bytes, new: bytes, name: str) -> str:
    """A unified diff. What is the same at both ends costs next to nothing."""
    before, after = _text(old), _text(new)
    skipped, one, other = _middle(before, after)
    if len(one) + len(other) > _MAX_DIFF:
        note = f"changes {len(one):,} characters to {len(other):,}; too long to compare"
        return f"{note}\n{_head(_lines(other), '+')}"
    found = difflib.unified_diff(
        _lines(one), _lines(other), f"{name} (now)", f"{name} (new)", lineterm=""
    )
    return _head([_moved(line, skipped) for line in found])


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


def _moved(line: str, by: int) -> str:
    found = _HUNK.fullmatch(line)
    if not found or not by:
        return line
    one, size, other, other_size = found.groups()
    return f"@@ -{int(one) + by}{size} +{int(other) + by}{other_size} @@"


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
