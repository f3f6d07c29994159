"""How a question is laid out: a title, what it is about, the keys. Pure drawing, no decisions.

The title and the keys are always there; what is between them is scrolled, and how much of it
is not seen is said: nobody should agree to what they take for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from prompt_toolkit.utils import get_cwidth

from turnstone.cli.plain import plain
from turnstone.cli.terminal.paint import diff_style
from turnstone.cli.terminal.seams import Key, Line
from turnstone.cli.terminal.typed import Typed
from turnstone.cli.terminal.wrapping import wrap

#: Columns that a text gets at least, however narrow the terminal is.
NARROWEST = 10
_PAGE = 8
_BAR = "  │ "
_PROMPT = "› "


@dataclass(slots=True)
class _Seen:
    """How much there was to scroll when it was drawn last: keys do not know the screen."""

    most: int = 0


@dataclass(frozen=True, slots=True)
class Scroll:
    """How far down the middle is. Keys move it; drawing keeps it within what there is."""

    top: int = 0
    seen: _Seen = field(default_factory=_Seen, compare=False, repr=False)

    def on_key(self, key: Key) -> Scroll | None:
        """None for a key that does not scroll."""
        steps = {"up": -1, "down": 1, "pageup": -_PAGE, "pagedown": _PAGE}
        ends = {"home": 0, "end": self.seen.most}
        top = ends.get(key.name)
        if key.name in steps:
            top = min(self.top, self.seen.most) + steps[key.name]
        if top is None:
            return None
        return replace(self, top=max(0, min(top, self.seen.most)))


@dataclass(frozen=True, slots=True)
class Sheet:
    """`typing`: the last lines of `foot` are this text, with the cursor in it."""

    title: Line
    body: Sequence[Line]
    foot: Sequence[Line]
    typing: Typed | None = None


def fitted(sheet: Sheet, width: int, height: int, scroll: Scroll) -> list[Line]:
    """At most `height` lines: of the middle what is scrolled to, and how much is not shown."""
    foot = [*sheet.foot, *_typed_lines(sheet, width)]
    foot = foot[-max(height - 2, 1) :]
    room = max(height - 1 - len(foot), 1)
    body = list(sheet.body)
    if len(body) > room:
        room -= 1
        scroll.seen.most = len(body) - room
        top = min(scroll.top, scroll.seen.most)
        above, below = top, len(body) - room - top
        told = f"{above} more above · {below} more below" if above else f"{below} more below"
        body = [*body[top : top + room], [("warn", f"  … rows: {told} (PageUp, PageDown)")]]
    else:
        scroll.seen.most = 0
    return [sheet.title, *body, *foot]


def cursor_in(sheet: Sheet, width: int, lines: Sequence[Line]) -> tuple[int, int] | None:
    """Row and column of the cursor in these lines, which `fitted` has made of the sheet."""
    if sheet.typing is None:
        return None
    before = _typed_rows(sheet.typing.text[: sheet.typing.at], width)
    rows = len(_typed_lines(sheet, width))
    return max(len(lines) - rows + len(before) - 1, 0), len(_PROMPT) + get_cwidth(before[-1])


def quoted(text: str, width: int, *, diff: bool = False) -> list[Line]:
    """A text behind a bar, row by row, whole."""
    return [
        [("dim", _BAR), (style, row)]
        for style, row in _rows(text, max(width - len(_BAR), NARROWEST), diff)
    ]


def sentence(text: str, width: int, style: str = "", *, indent: str = "  ") -> list[Line]:
    """A text on as many lines as it needs."""
    room = max(width - len(indent), NARROWEST)
    return [[("", indent), (style, row)] for row in wrap(text, room)]


def keys(named: Sequence[tuple[str, str]], width: int, *, focus: bool) -> list[Line]:
    """What each key does, side by side; `focus`: whether they come here now."""
    if not focus:
        return [[("note", "  Tab to answer")]]
    lines: list[list[tuple[str, str]]] = [[("", " ")]]
    used = 1
    for key, does in named:
        size = len(key) + len(does) + 4
        if used + size > width and used > 1:
            lines.append([("", " ")])
            used = 1
        lines[-1] += [("", " "), ("key", key), ("", f" {does}  ")]
        used += size
    return list(lines)


@lru_cache(maxsize=64)
def _rows(text: str, width: int, diff: bool) -> tuple[tuple[str, str], ...]:
    """Each row with its style. The same question is drawn many times while it waits."""
    return tuple(
        (diff_style(line) if diff else "", row)
        for line in plain(text).expandtabs(4).rstrip("\n").split("\n")
        for row in wrap(line, width) or [""]
    )


def _typed_lines(sheet: Sheet, width: int) -> list[Line]:
    if sheet.typing is None:
        return []
    rows = _typed_rows(sheet.typing.text, width)
    return [[("key", _PROMPT if not n else "  "), ("", row)] for n, row in enumerate(rows)]


def _typed_rows(text: str, width: int) -> list[str]:
    """Cut at the width and nowhere else: where the cursor is must be plain from the text."""
    room = max(width - len(_PROMPT) - 1, NARROWEST)
    rows = [""]
    for char in text:
        if char == "\n" or get_cwidth(rows[-1] + char) > room:
            rows.append("")
        if char != "\n":
            rows[-1] += char
    return rows
