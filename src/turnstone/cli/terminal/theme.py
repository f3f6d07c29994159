"""Colours: the sixteen of the terminal, which its owner has chosen, in a dark and a light set.

Names of styles stand for what a text is; here alone they become colours. No text is made
here, and no escape but by `to_ansi`, through which everything printed goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rich.color import ColorSystem
from rich.style import Style

from turnstone.cli.plain import plain
from turnstone.cli.terminal.seams import Line

#: What each name means. A light background makes bright colours, yellow and cyan unreadable.
_COMMON = {
    "dim": "dim",
    "strong": "bold",
    "key": "bold",
    "note": "dim",
    "bad": "red",
    "good": "green",
    "add": "green",
    "del": "red",
    "hunk": "dim",
    "thought": "dim italic",
    "said": "bold",
    "status": "dim",
    "cursor": "reverse",
}
_DARK = {
    "title": "bold yellow",
    "warn": "yellow",
    "tool": "bold cyan",
    "code": "cyan",
    "link": "underline cyan",
    "ws": "bold magenta",
}
_LIGHT = {
    "title": "bold red",
    "warn": "bold magenta",
    "tool": "bold blue",
    "code": "blue",
    "link": "underline blue",
    "ws": "bold magenta",
}
STYLES: tuple[str, ...] = (*_COMMON, *_DARK)

#: Colours of workstreams, after their places: neighbours differ.
WORKSTREAM_COLOURS = ("magenta", "cyan", "green", "blue", "yellow", "red")


@dataclass(frozen=True)
class Theme:
    """`colours`: whether any are used; without them bold, dim and italic are left."""

    kind: Literal["dark", "light"] = "dark"
    colours: bool = True

    @property
    def styles(self) -> Mapping[str, str]:
        return _STYLES[self.kind]

    @property
    def code(self) -> str:
        """The colours of code: a theme of rich."""
        return f"ansi_{self.kind}"


_STYLES = {"dark": _COMMON | _DARK, "light": _COMMON | _LIGHT}


def theme_of(wanted: str = "auto", environment: Mapping[str, str] = os.environ) -> Theme:
    """`dark`, `light`; or, for `auto`, after `COLORFGBG`, where the terminal sets that. With
    `NO_COLOR` there are none."""
    if wanted not in ("dark", "light"):
        background = environment.get("COLORFGBG", "").rpartition(";")[2]
        wanted = "light" if background in ("7", "15") else "dark"
    return Theme("light" if wanted == "light" else "dark", not environment.get("NO_COLOR"))


@lru_cache(maxsize=1024)
def style_of(name: str, theme: Theme) -> Style:
    """The style of a name; or of rich's own words for one."""
    style = Style.parse(theme.styles.get(name, name))
    return style if theme.colours else style.without_color


@lru_cache(maxsize=1024)
def toolkit_style(name: str, theme: Theme) -> str:
    """The same in prompt_toolkit's words."""
    style = style_of(name, theme)
    words = [
        word
        for word, on in (
            ("bold", style.bold),
            ("dim", style.dim),
            ("italic", style.italic),
            ("underline", style.underline),
            ("reverse", style.reverse),
            ("strike", style.strike),
        )
        if on
    ]
    if style.color is not None and not style.color.is_default:
        words.append(f"fg:{_toolkit_colour(style.color.number, style.color.name)}")
    return " ".join(words)


_ANSI = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "gray")


def _toolkit_colour(number: int | None, name: str) -> str:
    if number is None:
        return name if name.startswith("#") else "default"
    if number < 8:
        return f"ansi{_ANSI[number]}"
    bright = ("brightblack", "white")[number == 15] if number in (8, 15) else ""
    return f"ansi{bright or 'bright' + _ANSI[number - 8]}" if number < 16 else "default"


def to_toolkit(lines: Iterable[Line], theme: Theme) -> list[tuple[str, str]]:
    """For prompt_toolkit, with a line end between lines. It shows control characters itself, but
    not all that `plain` does."""
    shown: list[tuple[str, str]] = []
    for number, line in enumerate(lines):
        if number:
            shown.append(("", "\n"))
        shown.extend((toolkit_style(name, theme), _safe(text)) for name, text in line)
    return shown


def to_ansi(lines: Iterable[Line], theme: Theme) -> str:
    """As it is written to a terminal: each line ends with a line end. Whatever the texts hold,
    no escape is in it but those of styles."""
    return "".join(
        "".join(
            style_of(name, theme).render(_safe(text), color_system=ColorSystem.STANDARD)
            if name
            else _safe(text)
            for name, text in line
        )
        + "\n"
        for line in lines
    )


def _safe(text: str) -> str:
    return plain(text).replace("\n", " ").replace("\t", "    ")
