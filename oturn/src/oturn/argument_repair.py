"""Repairs an argument text that is almost a JSON object, if it can mean one thing only. Pure.

What is repaired: trailing commas, line breaks and other control characters in strings,
`True`, `False` and `None`, single quotes, closing brackets missing or left over at the end, a
code fence around the object, an object inside a JSON string, an object that a server sent
twice or behind an empty one. Anything else is left to the model: this module gives None for
it, and never guesses. Valid JSON keeps its value.

Closing brackets are added only where they can stand nowhere but at the end. They could, if a
comma lies in a container that itself lies in one of the same kind: in `{"a": {"b": 1, "c": 2}`
the missing bracket may belong before the comma. (Every other way of closing gives such a comma
to an outer container, which then must be of the same kind, or the member behind the comma
would not fit.)
"""

from __future__ import annotations

import json
import re
from typing import Any

#: Containers inside one another; real arguments are far flatter.
_MAX_DEPTH = 64

_SPACE = re.compile(r"[ \t\r\n]*")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# A backslash has another meaning in each language that writes single quotes.
_SINGLE_QUOTED = re.compile(r"'([^'\\\x00-\x1f]*)'")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-])")
_WORD = re.compile(r"[A-Za-z]+(?!\w)")
_FENCED = re.compile(r"\s*```\w*[ \t]*\r?\n(.*)\n[ \t]*```\s*", re.DOTALL)
_CLOSERS = re.compile(r"[}\]\s]+")

_WORDS = {"true": True, "false": False, "null": None}
_PYTHON_WORDS = {"True": True, "False": False, "None": None}
_CLOSER = {"{": "}", "[": "]"}

#: Last characters behind which nothing of a value can be missing: those of strings, brackets,
#: `true`, `false` and `null`. A number is no such thing: 5 may be the beginning of 50.
_COMPLETE = "\"'}]el"


class _NotCertain(Exception):
    """The text may mean several things, or none."""


def repair(text: str, *, may_close: bool) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """(the object, what was put right), or None. `may_close`: the text has come to its end,
    so that brackets that are missing there were never written."""
    notes: dict[str, None] = {}
    try:
        value = _unwrapped(text, may_close, notes)
    except (_NotCertain, ValueError, RecursionError):
        return None
    return value, tuple(notes)


def _unwrapped(text: str, may_close: bool, notes: dict[str, None]) -> dict[str, Any]:
    fenced = _FENCED.fullmatch(text)
    if fenced:
        notes["a code fence around the object was taken off"] = None
        text = fenced[1]
    if text.lstrip().startswith('"'):
        text = json.loads(text)
        notes["a string that holds the object was opened"] = None
    return _Reader(text, may_close, notes).whole()


class _Reader:
    """Reads one text as JSON, endures the faults named above, and notes them."""

    def __init__(self, text: str, may_close: bool, notes: dict[str, None]) -> None:
        self._text = text
        self._may_close = may_close
        self._notes = notes
        self._place = 0
        self._open: list[str] = []  # the containers around the place, outermost first
        self._closed = False  # brackets were added at the end
        self._may_belong_elsewhere = False  # they could stand before a comma, too

    def whole(self) -> dict[str, Any]:
        found = [self._root()]
        while self._next() == "{":
            found.append(self._root())
        if self._next():
            if not _CLOSERS.fullmatch(self._text, self._place):
                raise _NotCertain
            self._note("closing brackets left over at the end were taken off")
        if self._closed and (len(found) > 1 or self._may_belong_elsewhere):
            raise _NotCertain
        return found[0] if len(found) == 1 else self._one_of(found)

    def _one_of(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        """Some servers begin with an empty object, some send the whole text twice."""
        first, *others = found if found[0] else found[1:]
        if any(_spelled(other) != _spelled(first) for other in others):
            raise _NotCertain
        self._note("an object that came twice, or behind an empty one, was taken once")
        return first

    def _root(self) -> dict[str, Any]:
        if self._next() != "{":
            raise _NotCertain
        return self._object()

    def _value(self) -> Any:
        match self._next():
            case "{":
                return self._object()
            case "[":
                return self._array()
            case '"' | "'":
                return self._string()
            case _:
                return self._number_or_word()

    def _object(self) -> dict[str, Any]:
        self._enter("{")
        members: dict[str, Any] = {}
        while not self._ends(begun=bool(members)):
            key = self._string()
            if self._next() != ":":
                raise _NotCertain
            self._place += 1
            members[key] = self._value()
        return members

    def _array(self) -> list[Any]:
        self._enter("[")
        elements: list[Any] = []
        while not self._ends(begun=bool(elements)):
            elements.append(self._value())
        return elements

    def _enter(self, opener: str) -> None:
        if len(self._open) == _MAX_DEPTH:
            raise _NotCertain
        self._open.append(opener)
        self._place += 1

    def _ends(self, *, begun: bool) -> bool:
        """Whether the innermost container ends here; if not, its next member begins here."""
        closer = _CLOSER[self._open[-1]]
        char = self._next()
        if char == "," and begun:
            self._place += 1
            char = self._next()
            if char != closer:
                self._may_belong_elsewhere |= self._open[-1] in self._open[:-1]
                return False
            self._note("a comma before a closing bracket was taken off")
        if char == closer:
            self._place += 1
        elif char == "":
            self._close_at_the_end()
        elif begun:
            raise _NotCertain
        else:
            return False
        self._open.pop()
        return True

    def _close_at_the_end(self) -> None:
        if not self._may_close or self._text.rstrip()[-1:] not in _COMPLETE:
            raise _NotCertain
        self._closed = True
        self._note("closing brackets missing at the end were added")

    def _string(self) -> str:
        single = _SINGLE_QUOTED.match(self._text, self._place) if self._next() == "'" else None
        if single:
            self._place = single.end()
            self._note("single quotes were read as double quotes")
            return single[1]
        quoted = _QUOTED.match(self._text, self._place)
        if not quoted:
            raise _NotCertain
        self._place = quoted.end()
        value: str = json.loads(quoted[0], strict=False)
        if any(char < " " for char in quoted[0]):
            self._note("line breaks or control characters in a string were escaped")
        return value

    def _number_or_word(self) -> Any:
        number = _NUMBER.match(self._text, self._place)
        if number:
            self._place = number.end()
            return json.loads(number[0])
        word = _WORD.match(self._text, self._place)
        if not word:
            raise _NotCertain
        self._place = word.end()
        if word[0] in _PYTHON_WORDS:
            self._note("True, False or None was read as true, false or null")
            return _PYTHON_WORDS[word[0]]
        if word[0] not in _WORDS:
            raise _NotCertain
        return _WORDS[word[0]]

    def _next(self) -> str:
        """The next character that is no space, "" at the end."""
        space = _SPACE.match(self._text, self._place)
        assert space is not None  # it may be empty, and so matches everywhere
        self._place = space.end()
        return self._text[self._place : self._place + 1]

    def _note(self, what: str) -> None:
        self._notes[what] = None


def _spelled(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
