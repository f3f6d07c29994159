"""The indentation of quoted text turned into that of the file, where it can be told. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

_SPACES = " \t"

#: Spaces that one tab may stand for.
_WIDTHS = range(1, 9)

_TRIPLE = re.compile("\"{3}|'{3}")

_Turn: TypeAlias = Callable[[str], str | None]


def reindented(pairs: Sequence[tuple[str, str]], new: Sequence[str]) -> list[str] | None:
    """`new` indented as the file is. `pairs` are lines as quoted and as in the file.

    What quoted and new text have in common decides; then the same indentation put before, or
    taken away from, all lines; then tabs for spaces or the reverse. None if nothing of it
    holds for all lines.
    """
    shown = [(_indent(old), _indent(own)) for old, own in pairs if old.strip() and own.strip()]
    seen: dict[str, str] = {}
    for quoted, own in shown:
        if seen.setdefault(quoted, own) != own:
            return None
    if not seen:
        return list(new)
    for turn in (seen.get, _by_prefix(seen), _by_width(seen)):
        lines = [_turned(line, turn) for line in new]
        if None not in lines:
            return [line for line in lines if line is not None]
    return None


def within_strings(lines: Sequence[str]) -> set[int]:
    """The lines that begin within triple quotes: to indent one changes what the string says.

    Not those of a docstring, which stands first in a block: its indentation is taken off.
    """
    inside: set[int] = set()
    quote, documents, before = "", False, ""
    for number, line in enumerate(lines):
        if quote and not documents:
            inside.add(number)
        for found in _TRIPLE.finditer(line):
            if not quote:
                first = not line[: found.start()].strip(_SPACES)
                quote, documents = found[0], first and before.endswith(":")
            elif found[0] == quote:
                quote = ""
        before = line.strip(_SPACES) or before
    return inside


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(_SPACES))]


def _turned(line: str, turn: _Turn) -> str | None:
    if not line.strip(_SPACES):
        return line
    before = _indent(line)
    after = turn(before)
    return None if after is None else after + line[len(before) :]


def _none(_: str) -> None:
    return None


def _by_prefix(seen: dict[str, str]) -> _Turn:
    """The same put before all, or taken away from all."""
    quoted, own = next(iter(seen.items()))
    if own.endswith(quoted):
        more = own[: len(own) - len(quoted)]
        if all(o == more + q for q, o in seen.items()):
            return lambda indent: more + indent
    if quoted.endswith(own):
        less = quoted[: len(quoted) - len(own)]
        if all(q == less + o for q, o in seen.items()):
            return lambda indent: indent.removeprefix(less) if indent.startswith(less) else None
    return _none


def _by_width(seen: dict[str, str]) -> _Turn:
    """Tabs for spaces, or spaces for tabs: so many of one for each of the other, and some more."""
    to_tabs = _all_of("\t", seen.values()) and _all_of(" ", seen)
    to_spaces = _all_of(" ", seen.values()) and _all_of("\t", seen)
    if not to_tabs and not to_spaces:
        return _none
    points = sorted({(len(o), len(q)) if to_tabs else (len(q), len(o)) for q, o in seen.items()})
    (tabs, spaces), (more_tabs, more_spaces) = points[0], points[-1]
    if len(points) == 1:  # nothing indented differently: then no tab is no space
        tabs, spaces = 0, 0
    if more_tabs == tabs or (more_spaces - spaces) % (more_tabs - tabs):
        return _none
    width = (more_spaces - spaces) // (more_tabs - tabs)
    rest = spaces - width * tabs
    if width not in _WIDTHS or any(s != width * t + rest for t, s in points):
        return _none

    def turn(indent: str) -> str | None:
        if to_spaces:
            count = width * len(indent) + rest
            return " " * count if count >= 0 and not indent.strip("\t") else None
        count = len(indent) - rest
        whole = count >= 0 and not count % width and not indent.strip(" ")
        return "\t" * (count // width) if whole else None

    return turn


def _all_of(char: str, indents: Iterable[str]) -> bool:
    return all(not indent.strip(char) for indent in indents)
