"""From the text of a session file to its records. Pure; no class is imported here.

Reads what the writer beside it, 0.1 and chronml write. A record that the end of the file cuts
short is told apart from one that is broken: the first is a torn tail, the second an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from oturn.session_format import (
    LITERAL,
    PREFIX,
    Path,
    SessionFormatError,
    parse_path,
    unescape,
    unspell,
)


@dataclass(frozen=True)
class StoredRecord:
    """`kind` is what the file says about the type, empty if nothing; `line` counts from 1."""

    kind: str
    data: Any
    line: int


@dataclass(frozen=True)
class Parsed:
    """The whole records, and where the torn one behind them begins, if there is one.

    `torn_line` counts lines from 1, `torn_at` characters from 0.
    """

    records: list[StoredRecord]
    torn_line: int | None = None
    torn_at: int = 0


def _marker(name: str, about: str = r"\s*") -> str:
    return rf"<!--\s*{re.escape(PREFIX)}{name}{about}-->"


def _alone(name: str, about: str = r"\s*") -> re.Pattern[str]:
    return re.compile(rf"\s*{_marker(name, about)}\s*", re.ASCII)


_BEGIN = _alone("begin", r"(?:\s(.*))?")
_END = _alone("end")
_BLOCK_BEGIN = _alone("(multi-line-value|code-block)-begin", r"\s(.*)")
_BLOCK_END = {name: _alone(f"{name}-end") for name in ("multi-line-value", "code-block")}
_VALUE_BEGIN = re.compile(_marker("value-begin", r"\s(.*?)"), re.ASCII)
_VALUE_END = re.compile(_marker("value-end"), re.ASCII)
_ATTRIBUTE = re.compile(r"\s*([\w-]+)=")
_WORD = re.compile(r"\S+")
_OPENING_FENCE = re.compile(r"\s*```[^`]*")
_JSON = json.JSONDecoder()


def parse(text: str) -> Parsed:
    """The records of a session file; text outside of them is passed over.

    Raises SessionFormatError for a record that is broken and not merely cut short at the end.
    """
    return _Reader(text.removeprefix("\ufeff")).parsed(len(text))


class _TornError(Exception):
    """The file ends within a record."""


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._size = len(text)
        self._at = 0
        self._crlf = False

    def parsed(self, full_size: int) -> Parsed:
        records: list[StoredRecord] = []
        last = len(self._lines) - 1
        while self._at <= last:
            line = self._lines[self._at]
            if PREFIX in line and self._starts_record(line):
                started = self._at
                try:
                    records.append(self._record())
                except _TornError:
                    return self._torn(records, started, full_size)
            self._at += 1
        if _is_cut_marker(self._lines[last]):
            return self._torn(records, last, full_size)
        return Parsed(records)

    def _torn(self, records: list[StoredRecord], index: int, full_size: int) -> Parsed:
        # Counted from the end: a mark at the start of the text is not among the lines.
        behind = sum(len(line) + 1 for line in self._lines[index:]) - 1
        return Parsed(records, index + 1, full_size - behind)

    def _starts_record(self, line: str) -> bool:
        if _BEGIN.fullmatch(line):
            return True
        if _END.fullmatch(line):
            raise self._error(
                "a record ends here that begins nowhere; mend its first line, or remove its rest"
            )
        glued = f"{LITERAL}begin" in line and line.lstrip().startswith("<!--")
        if glued and self._at < len(self._lines) - 1:
            raise self._error("a record begins here behind a piece of another; remove the piece")
        return False

    def _record(self) -> StoredRecord:
        """The record whose first line is at hand; leaves its last line at hand."""
        started = self._at
        head = _BEGIN.fullmatch(self._lines[started])
        self._crlf = self._lines[started].endswith("\r")
        kind, data = self._head((head and head[1]) or "")
        while True:
            line = self._next(started)
            if PREFIX not in line:
                continue
            if _END.fullmatch(line):
                return StoredRecord(kind, data, started + 1)
            block = _BLOCK_BEGIN.fullmatch(line)
            if block:
                self._put(data, block[2], self._block(block[1], started))
            else:
                self._inline_values(line, data, started)

    def _next(self, started: int) -> str:
        self._at += 1
        if self._at == len(self._lines):
            raise _TornError
        line = self._lines[self._at]
        if PREFIX in line and (_BEGIN.fullmatch(line) or f"{LITERAL}begin" in line):
            raise self._error(
                f"a record begins here, and the one of line {started + 1} has no end yet; "
                f"put a line `{LITERAL}end -->` before this one, or remove the lines "
                f"{started + 1} to {self._at}"
            )
        return line

    def _head(self, about: str) -> tuple[str, Any]:
        """Type and skeleton of the first line of a record."""
        kind, skeleton, at = "", None, 0
        while (name := _ATTRIBUTE.match(about, at)) is not None:
            at = name.end()
            if name[1] == "skeleton":
                try:
                    skeleton, at = _JSON.raw_decode(about, at)
                except (ValueError, RecursionError) as error:
                    raise self._error(f"the skeleton is no JSON: {error}") from None
            elif (word := _WORD.match(about, at)) is not None:
                kind, at = (word[0] if name[1] == "type" else kind), word.end()
        if not isinstance(skeleton, dict) or about[at:].strip():
            raise self._error("after `begin` come type=… and skeleton={…}, and nothing else")
        return kind, skeleton

    def _block(self, name: str, started: int) -> str:
        """The text of a block whose first line is at hand; leaves its last line at hand."""
        opened = self._at
        while not _BLOCK_END[name].fullmatch(line := self._next(started)):
            if PREFIX in line and _END.fullmatch(line):
                raise self._error(
                    f"the block here has no end before that of its record, in line {self._at + 1}; "
                    f"put a line `{LITERAL}{name}-end -->` where it should end",
                    opened,
                )
        lines = self._lines[opened + 1 : self._at]
        if name == "code-block":
            if lines and _OPENING_FENCE.fullmatch(lines[0]):
                del lines[0]
            if lines and lines[-1].strip() == "```":
                del lines[-1]
        return self._joined(lines)

    def _inline_values(self, line: str, data: Any, started: int) -> None:
        at = 0
        while (begin := _VALUE_BEGIN.search(line, at)) is not None:
            opened, text = self._at, ""
            at = begin.end()
            # 0.1 wrote text of several lines here and could not read it; it is all there.
            while (end := _VALUE_END.search(line, at)) is None:
                text += line[at:] + "\n"
                line, at = self._next(started), 0
                if PREFIX in line and (_END.fullmatch(line) or _begins_value(line)):
                    raise self._error(
                        f"the value here has no end; put `{LITERAL}value-end -->` behind it", opened
                    )
            text += line[at : end.start()]
            if len(text) > 1:
                text = text.removeprefix(" ").removesuffix(" ")
            self._put(data, begin[1], self._joined(text.split("\n")), opened)
            at = end.end()

    def _joined(self, lines: list[str]) -> str:
        if self._crlf:
            lines = [line.removesuffix("\r") for line in lines]
        return "\n".join(lines)

    def _put(self, data: Any, about: str, text: str, at: int | None = None) -> None:
        try:
            kind, path = _value_head(about)
            _set(data, path, unspell(kind, unescape(text)))
        except ValueError as error:
            raise self._error(f"a value has no place: {error}", at) from None

    def _error(self, reason: str, at: int | None = None) -> SessionFormatError:
        return SessionFormatError(reason, (self._at if at is None else at) + 1)


@lru_cache(maxsize=256)
def _value_head(about: str) -> tuple[str, Path]:
    """Type and path that a marker of a value names. Raises ValueError for a bad path."""
    given = dict(part.partition("=")[::2] for part in about.split())
    return given.get("type", ""), parse_path(given.get("json-path", ""))


def _begins_value(line: str) -> bool:
    """Whether a value begins before one ends."""
    begin, end = _VALUE_BEGIN.search(line), _VALUE_END.search(line)
    return begin is not None and (end is None or begin.start() < end.start())


def _is_cut_marker(line: str) -> bool:
    """Whether the last line, which no newline ends, is the start of a record and no more."""
    line, whole = line.lstrip(), f"{LITERAL}begin"
    return bool(line) and (whole.startswith(line) or line.startswith(whole))


def _set(data: Any, path: Path, value: Any) -> None:
    """Put a value at its path; objects on the way are made where there are none yet."""
    for step, following in zip(path, (*path[1:], None), strict=True):
        if isinstance(data, dict) and isinstance(step, str):
            if following is not None and data.get(step) is None:
                data[step] = [] if isinstance(following, int) else {}
        elif isinstance(data, list) and isinstance(step, int) and step <= len(data):
            if step == len(data):
                data.append([] if isinstance(following, int) else {})
        else:
            raise ValueError(f"{step!r} of {path!r} fits no object or list there")
        if following is None:
            data[step] = value
        else:
            data = data[step]
