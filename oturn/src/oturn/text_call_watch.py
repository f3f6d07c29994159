"""Judges text that began like a tool call, as it streams: can it still become one? Pure.

It looks at the frame of the call only (its keys, and what follows it), never at its arguments:
those may be broken, and are repaired or told about later. It says no as soon as the frame is
another one, so that an answer *about* calls goes on streaming.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import NoReturn

from oturn.text_call_marks import FENCE_LANGUAGES, Form

#: Characters from the beginning of a call to the end of its answer. There is no such call.
MAX_CALL = 1_000_000

_ARGUMENTS = frozenset({"arguments", "parameters"})
_KEYS = _ARGUMENTS | {"type", "id", "name", "function"}

_Read = Generator[None, str, str]
"""Reads characters that are sent to it; the last one that it took is its result."""


class _NoCall(Exception):
    """It cannot become a call any more."""


class _Anything(Exception):
    """From here on it is not judged."""


class CallWatch:
    """Feed it the text from the beginning of a call on, in any pieces."""

    def __init__(self, form: Form, names: Collection[str]) -> None:
        self._left = MAX_CALL
        self._skip = len(form.value)
        self._names = names
        self._reader: Generator[None, str, NoReturn] | None = self._frame(form)
        next(self._reader)

    def feed(self, text: str) -> bool:
        """False once it is no call."""
        self._left -= len(text)
        if self._left < 0:
            return False
        if self._reader is None:
            return True
        skipped = min(self._skip, len(text))
        self._skip -= skipped
        try:
            for char in text[skipped:]:
                self._reader.send(char)
        except _NoCall:
            return False
        except _Anything:
            self._reader = None
        return True

    def _frame(self, form: Form) -> Generator[None, str, NoReturn]:
        marked = form not in (Form.FENCED, Form.WHOLE)
        if form is Form.FENCED:
            yield from _language()
        while True:
            after = yield from self._values(marked)
            if marked:
                raise _Anything
            if form is Form.WHOLE:
                raise _NoCall  # something follows it
            yield from _fence_end(after)
            yield from _language()

    def _values(self, marked: bool) -> _Read:
        """Calls and lists of them, one behind another; the first other character behind them."""
        char = yield from _solid()
        while True:
            if char == "[":
                char = yield from self._list(marked)
            elif char == "{":
                yield from self._call(marked)
                char = yield from _solid()
            else:
                raise _Anything  # it is in another form, without keys
            if char in ",;":
                char = yield from _solid()
            if char not in "{[":
                return char

    def _list(self, marked: bool) -> _Read:
        """A list behind its bracket, and the first other character behind it."""
        char = ","
        while char == ",":
            if (yield from _solid()) != "{":
                raise _Anything
            yield from self._call(marked)
            char = yield from _solid()
        if char != "]":
            raise _NoCall
        return (yield from _solid())

    def _call(self, marked: bool) -> Generator[None, str, None]:
        """An object behind its bracket, to its end."""
        named = given = False
        char = yield from _solid()
        while char != "}":
            if char not in "\"'":
                _lost(given)
            key = yield from _string(char)
            if not marked and key not in _KEYS:
                raise _NoCall
            if (yield from _solid()) != ":":
                _lost(given)
            char = yield from _solid()
            if key == "function" and char == "{":
                yield from self._call(marked)
                named = given = True
                char = yield from _solid()
            elif key in ("name", "function") and char in "\"'":
                if (yield from _string(char)) not in self._names:
                    raise _NoCall
                named = True
                char = yield from _solid()
            else:
                given = given or key in _ARGUMENTS
                char = yield from _value(char)
            if char == ",":
                char = yield from _solid()
            elif char != "}":
                _lost(given)
        if not named or not (marked or given):
            raise _NoCall


def _lost(given: bool) -> NoReturn:
    """The object is broken: within its arguments, that is told to the model later."""
    raise _Anything if given else _NoCall


def _solid() -> _Read:
    """The next character that is no blank."""
    while (char := (yield)).isspace():
        pass
    return char


def _string(quote: str) -> _Read:
    """The text of a string, behind the quote that opens it."""
    text: list[str] = []
    while (char := (yield)) != quote:
        text.append(char)
        if char == "\\":
            text.append((yield))
    return "".join(text)


def _value(char: str) -> _Read:
    """Any value that begins with this character, and the first solid one behind it."""
    if char in "\"'":
        yield from _string(char)
        return (yield from _solid())
    depth = 0
    while depth or char not in ",}":
        if char in "\"'":
            yield from _string(char)
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return (yield from _solid())
        char = yield
    return char


def _language() -> Generator[None, str, None]:
    word: list[str] = []
    while (char := (yield)) != "\n":
        word.append(char)
    if "".join(word).strip() not in FENCE_LANGUAGES:
        raise _NoCall


def _fence_end(char: str) -> Generator[None, str, None]:
    """To the end of a fence, of which this is the first character, and of the marks of the next:
    nothing may follow but blanks, and further fences."""
    yield from _fence(char)
    char = yield from _solid()
    yield from _fence(char)


def _fence(char: str) -> Generator[None, str, None]:
    for more in (True, True, False):
        if char != "`":
            raise _NoCall
        if more:
            char = yield
