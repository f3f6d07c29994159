"""The notation of session files: its markers, its escapes, and how one value is spelled.

Shared by the writer and the reader beside it. Text in, text out: no files, no clock, and no
class is ever imported because a file names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

#: What every marker of a session file begins with, after `<!-- `.
PREFIX = "md_as_config:ctx:"
#: A marker as it is written; readers allow other white space.
LITERAL = f"<!-- {PREFIX}"
_ESCAPED = f"{LITERAL}ESCAPED_7f596d6f"

#: Names of fields and indexes of lists, from the record inwards.
Path: TypeAlias = tuple[str | int, ...]

_STEP = re.compile(r"\.([^\W\d]\w*)|\[(\d+)\]")


class SessionFormatError(ValueError):
    """A session file that cannot be read. `line` counts from 1; `reason` says what to do."""

    def __init__(self, reason: str, line: int, file: str = "") -> None:
        where = f"{file}, line {line}" if file else f"line {line}"
        super().__init__(f"{where}: {reason}")
        self.reason = reason
        self.line = line


def escape(text: str) -> str:
    """Text without any marker as it is written; `unescape` gives the text back."""
    return text.replace(LITERAL, _ESCAPED)


def unescape(text: str) -> str:
    return text.replace(_ESCAPED, LITERAL)


def spell(value: object) -> tuple[str, str]:
    """The type and the text of a value. The type of a string is empty.

    The text of anything but a string is one line without `<!--`.
    """
    if isinstance(value, str):
        return "", str.__str__(value)
    if value is None:
        return "null", ""
    if isinstance(value, bool):
        return "bool", "true" if value else "false"
    if isinstance(value, int):
        return "int", str(int(value))
    if isinstance(value, float):
        return "float", repr(float(value))
    return "json", json_line(value)


def unspell(kind: str, text: str) -> Any:
    """The value of a text. One that is not what its type says stays a string."""
    read = _KINDS.get(kind.partition(":")[0])
    if read is None:
        return text
    try:
        return read(text)
    except (ValueError, RecursionError):
        return text


def json_line(value: object) -> str:
    """One line of JSON without `<!--`, in UTF-8 wherever that can carry it.

    What JSON does not know is written as its nearest JSON: a set as a list, bytes and all
    else as text. Raises ValueError for a value that holds itself.
    """
    try:
        text = _readable(value)
    except TypeError:  # a key that is no text
        value = _with_text_keys(value)
        text = _readable(value)
    if not fits_utf8(text):
        text = json.dumps(value, default=_nearest)
    return text.replace("<!--", "\\u003c!--")


def fits_utf8(text: str) -> bool:
    """False for text with halves of surrogate pairs."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_path(text: str) -> Path:
    """`$.a.b[0]` or `.a.b[0]` as steps. Raises ValueError for any other text."""
    steps: list[str | int] = []
    at = 1 if text.startswith("$") else 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            break
        steps.append(step[1] or int(step[2]))
        at = step.end()
    if not steps or at < len(text):
        raise ValueError(f"{text!r} is no path like $.content.date")
    return tuple(steps)


def _nearest(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) and not isinstance(value, type) else str(value)


_readable = json.JSONEncoder(ensure_ascii=False, default=_nearest).encode


def _with_text_keys(value: object) -> object:
    if isinstance(value, Mapping):
        plain = (str, int, float, bool, type(None))
        return {
            key if isinstance(key, plain) else str(key): _with_text_keys(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_text_keys(inner) for inner in value]
    return value


def _bool(text: str) -> bool:
    word = text.strip()
    if word not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return word == "true"


_KINDS: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": _bool,
    "int": int,
    "float": float,
    "json": json.loads,
    "pydantic": json.loads,
}
