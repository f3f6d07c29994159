"""A text that is being typed inside a question: a remark, mostly of one line. Pure.

A value: a key makes another one. It knows no terminal; where its cursor stands is told in
characters, and a paste is only text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from turnstone.cli.plain import plain, sendable
from turnstone.cli.terminal.seams import Key

_WORD = re.compile(r"\S*\s*$")


@dataclass(frozen=True, slots=True)
class Typed:
    """`at`: the place of the cursor, from 0 to the length of the text."""

    text: str = ""
    at: int = 0

    def on_key(self, key: Key) -> Typed:
        """Itself for a key that means nothing here."""
        before, after = self.text[: self.at], self.text[self.at :]
        match key.name:
            case "text" | "paste":
                return _at(before + _taken(key.text), after)
            case "a-enter" | "c-j":
                return _at(before + "\n", after)
            case "backspace":
                return _at(before[:-1], after)
            case "delete":
                return _at(before, after[1:])
            case "c-w":
                return _at(_WORD.sub("", before), after)
            case "c-u":
                return _at("", after)
            case "c-k":
                return _at(before, "")
            case "left" | "c-b":
                return Typed(self.text, max(self.at - 1, 0))
            case "right" | "c-f":
                return Typed(self.text, min(self.at + 1, len(self.text)))
            case "home" | "c-a":
                return Typed(self.text, 0)
            case "end" | "c-e":
                return Typed(self.text, len(self.text))
        return self


def _at(before: str, after: str) -> Typed:
    return Typed(before + after, len(before))


def _taken(text: str) -> str:
    """As it is sent and shown: a control character in a paste stands there as its picture."""
    return plain(sendable(text).replace("\r\n", "\n").replace("\r", "\n"))
