"""Text broken into rows of a terminal, whose characters have one column, two or none. Pure."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

__all__ = ["cell_len", "crop", "cut", "wrap"]


def wrap(text: str, width: int) -> list[str]:
    """One line of text, broken between words where there is room, and in a word where not."""
    width = max(width, 1)
    if len(text) <= width // 2 or (text.isascii() and len(text) <= width):
        return [text]
    rows: list[str] = []
    row, room = "", width
    for word in _words(text):
        size = cell_len(word)
        if size > room and word.strip():
            rows += [row.rstrip()] if row.strip() else []
            *whole, row = _parts(word.lstrip() if row.strip() else word, width)
            rows += whole
            room = width - cell_len(row)
        else:
            row, room = row + word, room - size
    return [*rows, row.rstrip()] if row.strip() or not rows else rows


def _parts(word: str, width: int) -> list[str]:
    """A word in as many rows as it takes."""
    parts = []
    while cell_len(word) > width:
        part = _fitting(word, width)
        parts.append(part)
        word = word[len(part) :]
    return [*parts, word]


def crop(text: str, width: int) -> str:
    """No more columns than these; what is cut is marked."""
    if cell_len(text) <= width:
        return text
    return f"{_fitting(text, width - 1)}…" if width > 2 else "…"


def cut(row: str, characters: int) -> str:
    """Of a line of output so many characters, so that one cannot flood the screen."""
    hidden = len(row) - characters
    return row if hidden <= 0 else f"{row[:characters]}… ({hidden} more characters)"


def _words(text: str) -> list[str]:
    """Words, each with the spaces before it."""
    words, start, inside = [], 0, False
    for place, char in enumerate(text):
        if char == " " and inside:
            words.append(text[start:place])
            start, inside = place, False
        elif char != " ":
            inside = True
    return [*words, text[start:]]


def _fitting(text: str, width: int) -> str:
    """The longest beginning that fits; at least one character."""
    if text.isascii():
        return text[: max(width, 1)]
    fitting = set_cell_size(text[: max(width, 1) * 2], width)
    end = 0
    while end < len(fitting) and end < len(text) and fitting[end] == text[end]:
        end += 1
    return text[: max(end, 1)]
