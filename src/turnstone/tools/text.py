"""Text as a person must see it before saying yes, and as a model can take it in. Pure."""

from __future__ import annotations

import unicodedata

#: Kinds of characters that have no look of their own, or change that of others: controls,
#: formats (bidi, zero width, tags), lone surrogates, line and paragraph separators, spaces.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})

#: Counted as letters or marks, and yet blank: Hangul fillers, the empty Braille pattern,
#: the combining grapheme joiner.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f")

#: Characters of one line for a person.
HEADER = 160

#: Characters that are named in a note; of more, the number is told.
NAMED = 4


def visible(text: str) -> str:
    """`text` with everything unseen spelled out by its code; line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def one_line(text: str) -> str:
    """The first line, visible, cut to what a header holds. The cut is shown."""
    first, newline, _ = text.strip("\n").partition("\n")
    shown = visible(first).replace("\t", " ")
    if newline or len(shown) > HEADER:
        return f"{shown[: HEADER - 2]} …"
    return shown


def foreign(text: str) -> str:
    """A note about the characters in `text` that are not ASCII; empty if there are none.

    Letters of other scripts look like those of a program's or a server's name.
    """
    found = dict.fromkeys(char for char in text if not char.isascii())
    if not found:
        return ""
    named = [f"U+{ord(char):04X} {unicodedata.name(char, '')}".strip() for char in found]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"[not ASCII: {', '.join(named[:NAMED])}{more}]"


def cut_middle(text: str, limit: int) -> str:
    """`text`, with its middle cut out and told if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[len(text) - (limit - limit // 2) :]
    dropped = len(text) - limit
    return f"{head}\n[{dropped:,} characters cut out here; the limit is {limit:,}]\n{tail}"


def _visible(char: str) -> str:
    if char in "\n\t ":
        return char
    variation = 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF
    if unicodedata.category(char) in _UNSEEN or char in _BLANK or variation:
        return char.encode("unicode_escape").decode("ascii")
    return char
