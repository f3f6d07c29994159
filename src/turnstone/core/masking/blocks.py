"""Where private keys are that begin with the line which says so. Pure, linear in the text's length.

A key goes on while its lines are Base64, or headers before them, however they are quoted,
numbered or escaped; it ends at its last line, or at the first that is none. A line that only
names the beginning of a key, as in a program that reads keys, hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from turnstone.core.masking.shapes import HELD

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")

#: What stands between two lines: quotes, commas and such, and the next line's number or mark.
_CLOSING = r"""[ \t"'`,;+)\\]{0,8}(?: \[[\d,]+ bytes of this line left out\]| …)?"""
_BREAK = r"(?:\r?\n|(?:\\{1,4}r)?\\{1,4}n)"  # also as JSON spells it
_PLACE = r"[^\s:\"'\\]{1,200}[:-]"
_NUMBER = rf"(?:[ \t]*\d{{1,7}}(?:\t|[:|] ?)|{_PLACE}\d{{1,7}}[:-])?"
_INDENT = r"""[ \t]{0,40}(?:[+>|#*/-]{1,2}[ \t]{0,40})?["'`(]{0,3}"""
_NEXT = rf"(?:{_CLOSING}{_BREAK}{_NUMBER}{_INDENT})+"

_HEADER = re.compile(
    rf"{_NEXT}(?:Proc-Type|DEK-Info|Comment|Version|Hash|Charset|MessageID): [^\r\n\\]*"
)
_BASE64 = "[A-Za-z0-9+/]"
_LINE_ENDS = rf"(?={_CLOSING}(?:{_BREAK}|\Z)|[ \t]*-----END )"
#: A line of Base64, the checksum of PGP, what says that lines were cut out; or words of Base64
#: that have blanks between them in place of line ends, of which but the last is long.
_DATA = re.compile(
    rf"(?:{_NEXT})?(?:{_BASE64}+={{0,2}}|=[A-Za-z0-9+/]{{4}}"
    rf"|\[[\d,]+ characters cut out here; the limit is [\d,]+\]){_LINE_ENDS}"
    rf"|{_CLOSING}{_BREAK}{_PLACE}{_BASE64}{{16,}}={{0,2}}{_LINE_ENDS}"
    rf"|[ \t]+(?:{_BASE64}{{32,}}={{0,2}}(?=[\s\"'`]|\Z)|{_BASE64}+={{0,2}}(?=[ \t]+-----END ))"
)
_END = re.compile(rf"(?:{_NEXT}|[ \t]+)?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")

#: What may become one of these: a line that has not ended, and what stands before it.
_BEGUN = re.compile(rf"(?:{_CLOSING}{_BREAK}[ \t]*)*[^\n]{{0,300}}\Z")
_ENDS_HERE = re.compile(rf"{_CLOSING}\Z")
_OPEN_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*-{0,5}\Z")

#: Characters of a line that are no word; and of one that has not ended, from which on it is
#: taken for a part of the key whatever comes.
_LONG = 16
_SURELY = 300


@dataclass(frozen=True, slots=True)
class _Found:
    """What of a text is a key, from some place on."""

    end: int
    again: int  # from where on it has to be looked at with what comes next; -1: it has ended
    whole: bool  # its last line is there
    long: bool  # a line was long enough for nothing else
    surely: bool  # and has ended


def blocks(text: str) -> Iterator[tuple[int, int, int]]:
    """Where keys are: first, end, and from where on one has to be looked at again together with
    what comes next; -1 for one that has ended, or has no whole line yet."""
    at = 0
    while begin := _BEGIN.search(text, at):
        key = _after(text, begin.end())
        at = max(key.end, begin.end())
        if key.whole or key.long:
            yield begin.start(), key.end, key.again if key.surely else -1


def key_goes_on(text: str) -> tuple[int, int]:
    """Of text within a key: where the key ends, and from where on it has to be looked at again
    together with what comes next; -1 if it has ended."""
    key = _after(text, 0)
    return key.end, key.again


def open_block(text: str) -> int:
    """Where a key begins that no line follows yet."""
    at = text.rfind("-----BEGIN ", max(0, len(text) - HELD))
    if at < 0:
        return len(text)
    begin = _BEGIN.match(text, at)
    opened = _after(text, begin.end()).again >= 0 if begin else _OPEN_BEGIN.match(text, at)
    return at if opened else len(text)


def _after(text: str, begin: int) -> _Found:
    at, long, surely = begin, False, False
    while header := _HEADER.match(text, at):
        at = header.end()
    first = at
    while True:
        if end := _END.match(text, at):
            return _Found(end.end(), -1, whole=at > first or begin == 0, long=long, surely=surely)
        line = _DATA.match(text, at)
        if line is None:
            again = at if _BEGUN.match(text, at) else -1
            return _Found(at, again, whole=False, long=long, surely=surely)
        size = len(line[0].strip())
        long = long or size >= _LONG
        if size < _SURELY and _ENDS_HERE.match(text, line.end()):
            return _Found(line.end(), at, whole=False, long=long, surely=surely)
        at, surely = line.end(), long
