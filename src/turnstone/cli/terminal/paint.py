"""Printed items as lines of a terminal at a width. Pure; every text is made plain here.

Whatever comes from outside is shown and never obeyed: `plain` and `one_line` stand before
every text, and `theme.to_ansi` passes it through once more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from turnstone.cli.plain import one_line, plain
from turnstone.cli.terminal import printed
from turnstone.cli.terminal.seams import Fragment, Line
from turnstone.cli.terminal.theme import STYLES, Theme
from turnstone.cli.terminal.wrapping import crop, cut, wrap
from turnstone.core import events as ev

__all__ = ["STYLES", "crop", "diff_style", "gap", "is_diff", "paint", "whole", "wrap"]

#: Rows of a tool's output that are shown: its beginning, and its end, where errors stand.
FOLD_HEAD, FOLD_TAIL = 8, 4
#: Rows of a diff, and of reasoning.
DIFF_ROWS = 60
#: Lines and characters of a person's message from which the rest is folded.
SAID_ROWS, SAID_LENGTH = 60, 8_000
#: Characters of one row of output.
LINE_LENGTH = 400
#: Columns up to which the answer's text is wrapped: longer rows are hard to read.
WIDEST = 120

_STATUS: dict[ev.ToolStatus, tuple[str, str]] = {
    "ok": ("✓ done", "good"),
    "error": ("✗ failed", "bad"),
    "invalid": ("✗ not a valid call: not run", "bad"),
    "denied": ("⊘ denied: not run", "warn"),
    "expired": ("⊘ expired: nobody answered in time, not run", "warn"),
    "cancelled": ("⊘ cancelled", "warn"),
    "unknown": ("? outcome unknown: it was started, and may have run partly or fully", "warn"),
}

_ENDINGS: dict[ev.Outcome, tuple[str, str]] = {
    "empty": ("The model gave no answer", "warn"),
    "max_steps": ("The turn was ended at its limit", "warn"),
    "max_time": ("The turn was ended at its limit", "warn"),
    "max_tokens": ("The turn was ended at its limit", "warn"),
    "over_budget": ("The turn was ended: its budget is used up", "warn"),
    "needs_input": ("The turn waits for you", "warn"),
    "failed": ("The turn failed", "bad"),
    "cancelled": ("The turn was stopped", "warn"),
}
#: Reasons that say no more than the ending itself.
_BARE_REASONS = ("", "cancelled")

#: What stands left of the last column of a row: what goes on below it begins there again.
_LEFT = re.compile(r"(?:\S+ )*\S* {2,}(?=\S)")
_LEFTMOST = 40

_MORE = "Ctrl-O shows it whole"


def gap(before: printed.Printed | None, item: printed.Printed) -> bool:
    """Whether a blank line stands between these two."""
    match item:
        case printed.Said() | printed.Divider() | printed.Thought():
            return before is not None
        case printed.Answer():
            return before is not None and not item.block.joined
        case printed.Card():
            return before is not None and not isinstance(before, printed.Card)
    return isinstance(before, printed.Answer | printed.Card)


def paint(item: printed.Printed, width: int, theme: Theme) -> list[Line]:
    """Its lines, none of them empty at the beginning or the end."""
    match item:
        case printed.Said():
            return _said(item, width)
        case printed.Answer():
            return _answer(item, min(width, WIDEST), theme)
        case printed.Thought():
            return _thought(item, width)
        case printed.Card():
            return _card(item, width)
        case printed.Note():
            return sentence(item.text, item.kind, width)
        case printed.Reply():
            return _reply(item, width)
        case printed.Ending():
            return _ending(item, width)
        case printed.Divider():
            return [[("ws", crop(f"── {one_line(item.name)} ──", width))]]


def whole(item: printed.Printed, width: int) -> list[Line] | None:
    """What of it was folded away, unfolded; None where nothing was."""
    if isinstance(item, printed.Thought):
        return [
            [("thought", f"  {row}")]
            for line in rows_of(item.text)
            for row in wrap(line, width - 2)
        ]
    if isinstance(item, printed.Said) and _is_long(item):
        return [[("said", row)] for row in rows_of(item.text)]
    if isinstance(item, printed.Card) and _folds(item):
        shown = sentence(item.header, "tool", width, "▸ ")
        if is_diff(item.preview):
            shown += [[(diff_style(row), f"    {row}")] for row in rows_of(item.preview)]
        return [*shown, *([("dim", f"    {row}")] for row in rows_of(item.output))]
    return None


def sentence(text: str, style: str, width: int, start: str = "", hang: str = "  ") -> list[Line]:
    """One line, whatever the text holds; wrapped between words where it is too long."""
    rows = wrap(one_line(text), width - max(len(start), len(hang)))
    return [[(style, (hang if n else start) + row)] for n, row in enumerate(rows)]


def rows_of(text: str) -> list[str]:
    """Lines, split only where a terminal would begin one; none for blank text."""
    return plain(text).expandtabs(4).rstrip("\n").split("\n") if text.strip() else []


def is_diff(preview: str) -> bool:
    return preview.startswith("--- ")


def diff_style(row: str) -> str:
    if row.startswith(("---", "+++", "@@")):
        return "hunk"
    return {"+": "add", "-": "del"}.get(row[:1], "")


def _said(item: printed.Said, width: int) -> list[Line]:
    who = [
        part for part in (item.sender, "to the turn in progress" if item.steered else "") if part
    ]
    lines: list[Line] = [[("dim", f"  {one_line(', '.join(who))}:")]] if who else []
    text = item.text
    if _is_long(item):
        text = "\n".join(text[:SAID_LENGTH].split("\n")[:SAID_ROWS])
    start = "› "
    for line in rows_of(text) or [""]:
        for row in wrap(line, width - 2):
            lines.append([("key", start), ("said", row)])
            start = "  "
    if _is_long(item):
        left = len(item.text) - len(text)
        lines.append([("dim", crop(f"  … {left:,} more characters · {_MORE}", width))])
    # A paste, and an image that is named with @, stand in the message already.
    for name in (name for name in item.files if not name or name not in item.text):
        lines += sentence(f"with {name or 'a file'}", "dim", width, "  ")
    return lines


def _is_long(item: printed.Said) -> bool:
    return len(item.text) > SAID_LENGTH or item.text.count("\n") >= SAID_ROWS


def _answer(item: printed.Answer, width: int, theme: Theme) -> list[Line]:
    # Loaded with the first answer, not before the first prompt: Markdown and colours of code are half
    # of what the terminal needs.
    from turnstone.cli.terminal.markdown import code_lines, markdown_lines

    if item.block.code:
        return code_lines(item.block.text, item.block.language, theme)
    return markdown_lines(item.block.text, width, theme)


def _thought(item: printed.Thought, width: int) -> list[Line]:
    words = len(item.text.split())
    took = f" for {seconds_text(item.seconds)}" if item.seconds >= 1 else ""
    return [[("thought", crop(f"∴ thought{took}, {words:,} words · {_MORE}", width))]]


def _card(item: printed.Card, width: int) -> list[Line]:
    said, style = _STATUS[item.status]
    if item.seconds is not None:
        said = f"{said} · {seconds_text(item.seconds)}"
    header = one_line(item.header or item.name)
    lines: list[Line]
    if len(header) + len(said) + 4 <= width:
        lines = [[("tool", f"▸ {header}"), ("", "  "), (style, said)]]
    else:
        lines = sentence(header, "tool", width, "▸ ")
        lines += sentence(said, style, width, "  ")
    if is_diff(item.preview):
        return lines + _changes(item, width)
    return lines + [[("dim", f"    {row}")] for row in _folded(rows_of(item.output))]


def _changes(item: printed.Card, width: int) -> list[Line]:
    """The diff of a change that was made; of one that was not, why not."""
    if item.status != "ok":
        return [[("dim", f"    {row}")] for row in _folded(rows_of(item.output))]
    rows = rows_of(item.preview)
    lines: list[Line] = [
        [("dim", "  │ "), (diff_style(row), cut(row, LINE_LENGTH))] for row in rows[:DIFF_ROWS]
    ]
    if len(rows) > DIFF_ROWS:
        said = f"  … {len(rows) - DIFF_ROWS} more lines of the change · {_MORE}"
        lines.append([("dim", crop(said, width))])
    return lines


def _folds(item: printed.Card) -> bool:
    if is_diff(item.preview) and item.status == "ok":
        return item.preview.count("\n") >= DIFF_ROWS
    rows = item.output.rstrip("\n").split("\n")
    return len(rows) > FOLD_HEAD + FOLD_TAIL + 1 or any(len(row) > LINE_LENGTH for row in rows)


def _folded(rows: Sequence[str]) -> list[str]:
    hidden = len(rows) - FOLD_HEAD - FOLD_TAIL
    if hidden > 1:
        said = f"… {hidden} more lines are not shown · {_MORE} …"
        rows = [*rows[:FOLD_HEAD], said, *rows[-FOLD_TAIL:]]
    return [cut(row, LINE_LENGTH) for row in rows]


def _reply(item: printed.Reply, width: int) -> list[Line]:
    """Wrapped between words, under the last column of a table."""
    style = "bad" if item.bad else ""
    lines: list[Line] = []
    for row in rows_of(item.text):
        left = _LEFT.match(row)
        start = left[0] if left and len(left[0]) <= min(_LEFTMOST, width // 2) else ""
        hang = " " * len(start) or "  "
        rows = [row] if item.verbatim else wrap(row[len(start) :], width - len(hang))
        first = "" if item.verbatim else start
        lines += [[(style, (hang if n else first) + part)] for n, part in enumerate(rows)]
    return lines


def _ending(item: printed.Ending, width: int) -> list[Line]:
    lines: list[Line] = []
    if item.outcome in _ENDINGS:
        said, style = _ENDINGS[item.outcome]
        reason = "" if item.reason in _BARE_REASONS else f": {item.reason}"
        lines += sentence(f"{said}{reason}.".replace("..", "."), style, width)
    elif item.reason:
        lines += sentence(f"Note: {item.reason}.", "warn", width)
    cost = [seconds_text(item.seconds)] if item.seconds else []
    cost += [f"{item.tokens:,} tokens"] if item.tokens else []
    cost += [f"{item.context:g} % of the context"] if item.context else []
    if cost:
        lines += sentence(" · ".join(cost), "dim", width)
    return lines


def seconds_text(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def strip(fragments: Sequence[Fragment]) -> str:
    """The text of a line alone."""
    return "".join(text for _, text in fragments)
