"""How tool calls that models write as text begin: is this one, of a tool that is known? Pure.

It looks at the first characters only, as they stream in, and reads no whole call: that is
`text_call_forms`. A beginning counts only if it names one of the request's tools, which keeps
answers *about* tool calls what they are.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

#: Characters within which a beginning must have named its tool.
MARK_LIMIT = 512


class Form(Enum):
    """The ways in which models write calls, by what opens them."""

    TAGGED = "<tool_call>"
    FUNCTION = "<function="
    PYTHON_TAG = "<|python_tag|>"
    MISTRAL = "[TOOL_CALLS]"
    FENCED = "```"
    WHOLE = ""  # the whole answer is an object, or a list of calls


#: Languages of a code fence that holds calls.
FENCE_LANGUAGES = ("json", "tool_call")

_BEFORE_NAME = frozenset({"type", "id"})
_KEYS = _BEFORE_NAME | {"name", "function"}
_ARGUMENTS = frozenset({"arguments", "parameters"})


class _More(Exception):
    """It may become a call, with more characters."""


class _No(Exception):
    """It is no call."""


def begins(form: Form, text: str, at: int, names: Collection[str]) -> bool | None:
    """Whether a call of one of these tools begins at this place; None while it may."""
    mark = form.value
    part = text[at : at + len(mark)]
    if part != mark:
        return None if mark.startswith(part) else False
    try:
        _Beginning(text, at + len(mark), names).read(form)
    except _More:
        return None if len(text) - at < MARK_LIMIT else False
    except _No:
        return False
    return True


class _Beginning:
    """A place in a text that may end anywhere."""

    def __init__(self, text: str, at: int, names: Collection[str]) -> None:
        self._text = text
        self._at = at
        self._names = names

    def read(self, form: Form) -> None:
        """Returns if a call begins here; raises _More or _No."""
        match form:
            case Form.TAGGED:
                self._function() if self._next() == "<" else self._objects(any_order=True)
            case Form.FUNCTION:
                self._function_name()
            case Form.PYTHON_TAG:
                self._objects(any_order=True)
            case Form.MISTRAL if self._next() not in "[{":
                self._name_before("{", "[ARGS]", "[CALL_ID]")
            case Form.MISTRAL:
                self._objects(any_order=True)
            case Form.FENCED:
                self._language()
                self._objects()
            case Form.WHOLE if self._next() == "[":
                self._at += 1
                self._object() if self._next() == "{" else self._name_before("(")
            case Form.WHOLE:
                self._object()

    def _objects(self, *, any_order: bool = False) -> None:
        if self._next() == "[":
            self._at += 1
        self._object(any_order)

    def _object(self, any_order: bool = False) -> None:
        keys = _KEYS | _ARGUMENTS if any_order else _KEYS
        self._next()
        self._literal("{")
        while True:
            key = self._quoted(keys)
            self._next()
            self._literal(":")
            if key in _ARGUMENTS:
                return  # the name comes behind them
            if key in _BEFORE_NAME:
                self._quoted(None)
                self._next()
                self._literal(",")
            elif key == "function" and self._next() == "{":
                self._at += 1
            else:
                self._quoted(self._names)
                return

    def _function(self) -> None:
        self._literal(Form.FUNCTION.value)
        self._function_name()

    def _function_name(self) -> None:
        self._word_until(">", self._names)
        if self._next() != "{":
            self._one_of("<parameter=", "</function>")

    def _language(self) -> None:
        self._word_until("\n", FENCE_LANGUAGES)

    def _word_until(self, end: str, words: Collection[str]) -> None:
        stop = self._text.find(end, self._at)
        if stop < 0:
            self._unfinished(self._text[self._at :], words)
        if self._text[self._at : stop].strip() not in words:
            raise _No
        self._at = stop + 1

    def _quoted(self, words: Collection[str] | None) -> str:
        """A word in quotes of either kind; one of `words`, or any."""
        quote = self._next()
        if quote not in "\"'":
            raise _No
        stop = self._text.find(quote, self._at + 1)
        if stop < 0:
            self._unfinished(self._text[self._at + 1 :], words)
        word = self._text[self._at + 1 : stop]
        if words is not None and word not in words:
            raise _No
        self._at = stop + 1
        return word

    def _name_before(self, *followers: str) -> None:
        """A name of a tool with one of these behind it."""
        rest = self._text[self._at :]
        for name in self._names:
            if name.startswith(rest):
                raise _More
            if rest.startswith(name):
                behind = rest[len(name) :].lstrip()
                if any(behind.startswith(follower) for follower in followers):
                    return
                if any(follower.startswith(behind) for follower in followers):
                    raise _More
        raise _No

    def _one_of(self, *literals: str) -> None:
        rest = self._text[self._at :]
        if any(rest.startswith(literal) for literal in literals):
            return
        self._unfinished(rest, literals)

    def _unfinished(self, part: str, words: Collection[str] | None) -> None:
        """The text ends inside a word; raises _More if it may become one of these."""
        if words is None or any(word.startswith(part.strip()) for word in words):
            raise _More
        raise _No

    def _literal(self, expected: str) -> None:
        part = self._text[self._at : self._at + len(expected)]
        if part != expected:
            raise _More if expected.startswith(part) else _No
        self._at += len(expected)

    def _next(self) -> str:
        """The next character that is no space."""
        while self._at < len(self._text):
            if not self._text[self._at].isspace():
                return self._text[self._at]
            self._at += 1
        raise _More
