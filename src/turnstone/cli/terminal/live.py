"""What is alive of a view, as lines: the end of the answer, running tools, queued messages; and the
status bar. Pure: the time is given. Bounded: it costs the same whatever has come before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnstone.cli.plain import one_line, plain
from turnstone.cli.terminal.paint import rows_of, seconds_text
from turnstone.cli.terminal.seams import Fragment, Line
from turnstone.cli.terminal.theme import WORKSTREAM_COLOURS
from turnstone.cli.terminal.view import Running, View
from turnstone.cli.terminal.wrapping import cell_len, crop, wrap
from turnstone.core import events as ev

#: The README's.
SYMBOLS: dict[ev.State, str] = {
    "idle": "·",
    "thinking": "◌",
    "running": "▸",
    "attention": "◆",
    "error": "✖",
}
_SYMBOL_STYLES: dict[ev.State, str] = {"attention": "title", "error": "bad", "running": "tool"}

#: Rows of reasoning, of a tool's output, and queued messages that are shown at most.
_THOUGHT_ROWS, _OUTPUT_ROWS, _QUEUE_ROWS = 3, 5, 4

#: Marks of Markdown within a line: shown with them while it comes, without when it is printed.
_INLINE = re.compile(r"(`[^`\n]+`)|(\*\*[^*\n]+\*\*)")


def live(view: View, width: int, height: int, now: float) -> list[Line]:
    """At most `height` lines, of which the first is blank where they begin something new. `now` in
    Unix seconds."""
    queue = _queued(view, width)
    room = max(height - len(queue) - 1, 1)
    tools = _tools(view, width, room, now)
    room -= len(tools)
    above = _coming(view, width, room) if room > 0 else []
    lines = [*above, *tools]
    if view.turn and not (tools or view.questions) and room > len(above):
        lines.append(_doing(view, now, coming=bool(above)))
    gap: list[Line] = [] if above and view.blocks.joins else [[]]
    return [*gap, *[*lines, *queue][-height + 1 :]]


def _coming(view: View, width: int, room: int) -> list[Line]:
    """The last rows of what the model writes."""
    if not view.blocks.empty:
        block = view.blocks.tail(room)
        text = plain(block.text[-room * width :]).expandtabs(4)
        if block.code:
            return [[("code", crop(f"  {row}", width))] for row in text.split("\n")[-room:]]
        rows = [row for line in text.split("\n") for row in wrap(line, width)]
        return [_inline(row) for row in rows[-room:]]
    if view.reasoning.strip():
        kept = view.reasoning[-_THOUGHT_ROWS * width :]
        rows = [row for line in rows_of(kept) for row in wrap(line, width - 2)]
        return [[("thought", f"  {row}")] for row in rows[-min(_THOUGHT_ROWS, room) :]]
    return []


def _inline(row: str) -> Line:
    line: list[Fragment] = []
    end = 0
    for found in _INLINE.finditer(row):
        line.append(("", row[end : found.start()]))
        line.append(("code" if found[1] else "strong", found[0]))
        end = found.end()
    return [*line, ("", row[end:])]


def _doing(view: View, now: float, *, coming: bool) -> Line:
    if view.stopping:
        return [("warn", "◌ stopping …")]
    what = "writes" if coming and not view.blocks.empty else "thinks"
    took = seconds_text(round(max(0.0, now - view.since)) or 0.0) if view.since else ""
    return [("dim", f"◌ the model {what}"), ("dim", f" · {took}" if took else "")]


def _tools(view: View, width: int, room: int, now: float) -> list[Line]:
    tools = view.tools[-max(room, 1) :]
    each = min(_OUTPUT_ROWS, max(0, room // max(len(tools), 1) - 1)) if tools else 0
    return [line for tool in tools for line in _tool(tool, width, each, now)]


def _tool(tool: Running, width: int, room: int, now: float) -> list[Line]:
    took = f"  {seconds_text(round(max(0.0, now - tool.started)))}"
    header = crop(f"▸ {one_line(tool.header)}", width - len(took))
    lines: list[Line] = [[("tool", header), ("dim", took)]]
    if tool.agent and room:
        lines.append([("dim", crop(f"    · {one_line(tool.agent)}", width))])
        room -= 1
    rows = rows_of(tool.output[-room * width * 2 :])[-room:] if room else []
    return [*lines, *([("dim", crop(f"    {row}", width))] for row in rows)]


def _queued(view: View, width: int) -> list[Line]:
    lines: list[Line] = []
    for message in view.queued[:_QUEUE_ROWS]:
        what = "↳ steers: " if message.steer else "⋯ queued: "
        text = one_line(f"{message.sender}: {message.text}" if message.sender else message.text)
        lines.append([("note", crop(what + text, width))])
    if len(view.queued) > _QUEUE_ROWS:
        lines.append([("note", f"⋯ {len(view.queued) - _QUEUE_ROWS} more are queued")])
    return lines


@dataclass(frozen=True, slots=True)
class Tab:
    """A workstream in the status bar."""

    number: int
    name: str
    state: ev.State
    here: bool = False


_UNLIMITED = ev.Left()


@dataclass(frozen=True, slots=True)
class Numbers:
    """`context` in percent, 0 where it is not known; `money` in the currency of the price table."""

    model: str = ""
    sandbox: str = ""
    context: float = 0.0
    tokens: int = 0
    money: float = 0.0
    left: ev.Left = _UNLIMITED


def status(tabs: Sequence[Tab], numbers: Numbers, width: int) -> Line:
    """One line: workstreams on the left, numbers on the right; what has no room is left out."""
    facts = _facts(numbers)
    here = max((cell_len(_label(tab)) + 6 for tab in tabs if tab.here), default=0)
    while len(facts) > 1 and cell_len(" · ".join(facts)) > width - min(here, width // 3):
        facts.pop()
    right = crop(" · ".join(facts), width * 2 // 3)
    room = width - cell_len(right) - 2
    left = _tabs(tabs, room)
    used = sum(cell_len(text) for _, text in left)
    return [*left, ("", " " * max(width - used - cell_len(right), 1)), ("status", right)]


def _facts(numbers: Numbers) -> list[str]:
    """The most important first."""
    facts = [one_line(numbers.model)] if numbers.model else []
    facts += [f"{numbers.context:.0f}% ctx"] if numbers.context else []
    facts += [f"{_short(numbers.tokens)} tok"] if numbers.tokens else []
    facts += [f"cost {numbers.money:.4f}"] if numbers.money else []
    facts += [one_line(numbers.sandbox).partition(" ")[0]] if numbers.sandbox else []
    facts += [f"left {numbers.left.in_words()}"] if numbers.left.limited else []
    return facts


def _short(tokens: int) -> str:
    if tokens < 10_000:
        return f"{tokens:,}"
    return f"{tokens / 1000:.0f}k" if tokens < 1_000_000 else f"{tokens / 1e6:.1f}M"


def _tabs(tabs: Sequence[Tab], room: int) -> list[Fragment]:
    """This one first; those that need somebody next; the others as far as there is room."""
    wanted = sorted(tabs, key=lambda tab: (not tab.here, tab.state not in ("attention", "error")))
    chosen: list[Tab] = []
    used = 0
    for tab in wanted:
        size = cell_len(_label(tab)) + 3
        if chosen and used + size > room:
            break
        chosen.append(tab)
        used += size
    line: list[Fragment] = []
    for tab in sorted(chosen, key=lambda tab: tab.number):
        line += [("", " ")] if line else []
        colour = WORKSTREAM_COLOURS[tab.number % len(WORKSTREAM_COLOURS)]
        name = f"bold {colour}" if tab.here else colour
        line.append((_SYMBOL_STYLES.get(tab.state, "dim"), f"{SYMBOLS[tab.state]} "))
        line.append((name, crop(_label(tab), max(room - 2, 1))))
    hidden = len(tabs) - len(chosen)
    return [*line, ("dim", f" +{hidden}")] if hidden else line


def _label(tab: Tab) -> str:
    return f"{tab.number} {one_line(tab.name)}"
