"""Lists for people: cells in columns, times and spans, and no control character in any. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from turnstone.cli.plain import one_line

#: Characters of a cell.
_WIDEST = 128


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what is in them, two blanks between; the heads first."""
    shown = [heads, *([cut(cell, _WIDEST) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in shown) for n in range(len(heads))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in shown]
    return "\n".join(line.rstrip() for line in lines)


def cut(text: str, width: int) -> str:
    """On one line, and no longer than that."""
    safe = one_line(text)
    return safe if len(safe) <= width else f"{safe[: width - 1]}…"


def date(seconds: float) -> str:
    """Of Unix seconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """In the largest unit that is whole: `90 s`, `3 min`, `2 h`, `4 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def json_of(value: object) -> str:
    """For programs; with every control character as an escape."""
    return json.dumps(value, ensure_ascii=True, indent=2)
