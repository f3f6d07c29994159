"""Markdown of a model, drawn as lines at a width. Pure.

What a model writes is shown, never obeyed: HTML is text, a link shows its address, an image is
a link, and no escape that a link could become is made.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from rich import markdown as rich_markdown
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme as RichTheme

from turnstone.cli.plain import plain
from turnstone.cli.terminal.seams import Line
from turnstone.cli.terminal.theme import Theme

#: Columns that text gets at least. Narrower terminals wrap its lines themselves.
NARROWEST = 20
#: Columns that what stands in lists in lists needs, and a column of a table: with less, the Markdown
#: is shown as it was written, for nothing that was said may be left out.
_INNERMOST, _COLUMN = 10, 5
#: Columns that each of them takes from what is in it.
_INDENTS = {"list_item_open": 4, "blockquote_open": 4}

_NAMES = {
    "markdown.h1": "bold underline",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.h4": "bold",
    "markdown.h5": "bold italic",
    "markdown.h6": "italic",
    "markdown.hr": "dim",
    "markdown.block_quote": "italic",
    "markdown.item.number": "bold",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 100})
    parser.core.ruler.push("visible", _visible)
    # An image is a link with an address that one can read.
    return parser.enable(["strikethrough", "table"]).disable("image")


def _visible(state: StateCore) -> None:
    """Characters that are written as entities (`&#27;`) come out of them only here."""
    for token in state.tokens:
        for part in token.children or ():
            part.content = " ".join(plain(part.content).split("\n"))
            part.attrs = {n: plain(v) if isinstance(v, str) else v for n, v in part.attrs.items()}


_PARSER = _parser()


class _CodeBlock(rich_markdown.CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = _highlighted(str(self.text).rstrip(), self.lexer_name, self.theme)
        yield Text.assemble(*[part for row in code for part in ("  ", row, "\n")], end="")


class _Heading(rich_markdown.Heading):
    LEVEL_ALIGN: ClassVar[dict[str, Any]] = {}


class _Table(rich_markdown.TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich draws it, but that words which are too long for a column are broken, not cut."""
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class _Markdown(rich_markdown.Markdown):
    elements: ClassVar[dict[str, Any]] = rich_markdown.Markdown.elements | {
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
        "heading_open": _Heading,
        "table_open": _Table,
    }

    def __init__(self, tokens: list[Token], theme: Theme) -> None:
        super().__init__("", code_theme=theme.code, hyperlinks=False)
        self.parsed = tokens


def markdown_lines(text: str, width: int, theme: Theme) -> list[Line]:
    """Markdown, wrapped between words to `width` columns; without a blank line around it."""
    width = max(width, NARROWEST)
    text = plain(text)
    tokens = _PARSER.parse(text)
    if not _fits(tokens, width):
        return [[("", row)] for row in text.rstrip("\n").split("\n")]
    rows = _console(width, theme).render_lines(_Markdown(tokens, theme), pad=False)
    lines: list[Line] = []
    for line in map(_line, rows):
        if line or (lines and lines[-1]):  # one blank line is enough
            lines.append(line)
    return lines if not lines or lines[-1] else lines[:-1]


def _fits(tokens: list[Token], width: int) -> bool:
    """Whether there is room for lists in lists, and for the columns of tables."""
    room = [width]
    columns = 0
    for token in tokens:
        if token.type in _INDENTS:
            room.append(room[-1] - _INDENTS[token.type])
        elif token.type.replace("close", "open") in _INDENTS:
            room.pop()
        columns = 0 if token.type == "table_open" else columns + (token.type == "th_open")
        if room[-1] < max(_INNERMOST, columns * _COLUMN):
            return False
    return True


def code_lines(text: str, language: str, theme: Theme) -> list[Line]:
    """Code in its colours, not wrapped: copied, it is what it was."""
    rows = _highlighted(plain(text), language, theme.code)
    console = _console(NARROWEST, theme)
    return [_line([Segment("  "), *row.render(console)]) for row in rows]


def _highlighted(text: str, language: str, theme: str) -> list[Text]:
    text = text.expandtabs(4)
    whole = Syntax(text, language or "text", theme=theme).highlight(text)
    whole.no_wrap = True
    rows = list(whole.split("\n", allow_blank=True))
    wanted = text.count("\n") + 1
    return rows[:wanted]


def _line(segments: list[Segment]) -> Line:
    line = [
        ("" if segment.style is None else _name(segment), segment.text)
        for segment in segments
        if segment.text and not segment.control
    ]
    while line and not line[-1][1].strip():
        line.pop()
    if line:
        line[-1] = (line[-1][0], line[-1][1].rstrip())
    return line


def _name(segment: Segment) -> str:
    name = str(segment.style)
    return "" if name == "none" else name


@lru_cache(maxsize=8)
def _console(width: int, theme: Theme) -> Console:
    """It only measures and lays out: nothing is ever written to it."""
    names = {
        **_NAMES,
        "markdown.code": theme.styles["code"],
        "markdown.code_block": "",
        "markdown.link": theme.styles["link"],
        "markdown.link_url": theme.styles["link"],
        "markdown.item.bullet": theme.styles["tool"],
    }
    return Console(
        file=io.StringIO(),
        width=width,
        height=25,
        force_terminal=True,
        color_system="standard",
        theme=RichTheme(names),
        highlight=False,
        markup=False,
        emoji=False,
    )
