"""Finds secrets by the name beside them: headers of HTTP, parameters of URLs, connection strings.

Pure, each pattern linear in the length of the text. Only the value is told, never the name. What
reads like words (`Authorization: required`, `Bearer accessToken`) or stands for a value (`$TOKEN`,
`<token>`) is no secret here: a value has to look like one, unless it stands in an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from turnstone.core.masking.shapes import HELD, WORD_BEGINS
from turnstone.core.masking.values import is_place

#: Between the name and the value: `: `, `": "`, `"] = "`, `", "value": "` of a HAR file, `:[` of Go.
_SEPARATOR = (
    r"(?:\\*[\"'])?\]?[ \t]{0,4}(?:=>|[:=,])[ \t]{0,4}"
    r"(?:\s{0,80}\\*[\"']value\\*[\"'][ \t]?:[ \t]?)?\[?(?:b?\\*[\"'])?"
)
_HEADER_NAME = (
    r"(?:authorization|api-?key|(?:x-)?(?:auth|access|private|vault)-token|x-amz-security-token"
    r"|subscription-key)"
)
_SCHEME = r"(?:(?P<scheme>(?:bearer|basic|token|negotiate|ntlm|apikey|splunk|dpop))[ ]{1,2})?"
_ENDS = r"(?=[\s\"'\\,;\])}]|\Z)"

_HEADER = re.compile(
    rf"{WORD_BEGINS}(?P<name>(?i:{_HEADER_NAME})){_SEPARATOR}(?i:{_SCHEME})"
    rf"(?P<value>[A-Za-z0-9._~+/=-]{{8,}}+){_ENDS}"
)
_PAIR = r"[\w!#$%&*+.^|~-]{1,100}=[^\s;\"'\\]*+"
_COOKIE = re.compile(
    rf"{WORD_BEGINS}(?P<set>(?i:set-))?(?i:cookie){_SEPARATOR}(?P<pairs>{_PAIR}(?:;[ ]?{_PAIR})*+)"
)
_COOKIE_VALUE = re.compile(r"=(?P<value>[^\s;\"'\\<>{}$]{8,})(?=;|\Z)")

_PARAMETER_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|(?:(?:access|auth|refresh|id|session|private|api|bearer|security)"
    r"[_-]?)?token|api[_-]?key|(?:client[_-]?)?secret|sig|x-(?:amz|goog)-signature"
    r"|x-amz-security-token)"
)
_PARAMETER = re.compile(
    rf"(?:[?&]|&amp;|\\u0026)(?i:{_PARAMETER_NAME})=(?P<value>[\w.~%+/:@!*,-][\w.~%+/=:@!*,-]{{3,}}+)"
)

#: What stands before the password in a connection string, on the same line.
_BESIDE = r"(?:host|server|user(?: ?id)?|uid|dbname|database|data source)[ ]?=[^\n]{0,100}?"
_CONNECTION = re.compile(
    rf"(?i:(?<![\w.]){_BESIDE}[ ;](?:password|passwd|pwd)[ ]?=[ ]?)"
    r"(?P<value>'[^'\n]{4,}'|[^\s;\"',(){}<>$\[\]]{4,}+)(?![(\[{])"
)
_ACCOUNT_KEY = re.compile(
    rf"{WORD_BEGINS}(?:AccountKey|SharedAccessKey)=(?P<value>[\w+/-]{{20,}}={{0,2}})"
)

#: What all of it needs; most texts have none of it.
_ANY = re.compile(r"(?i)authorization|-?key|token|cookie|pass|pwd|secret|sig(?:nature)?=")

_WORDS = re.compile(r"(?:(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+)[._~+/=-]*+)++")
_STAND_IN = re.compile(
    r"(?i)[x*.%]+s?|none|null|true|false|(?:your|my|the)?[_-]?"
    r"(?:(?:access|auth|api|client)[_-]?)?(?:password|passwd|pwd|token|secret|key)(?:[_-]here)?"
)

#: A value that has begun, or may at the next character, at the end of the text.
_OPEN = re.compile(
    rf"(?:{WORD_BEGINS}(?i:{_HEADER_NAME}|cookie){_SEPARATOR}"
    rf"|(?:[?&]|&amp;|\\u0026)(?i:{_PARAMETER_NAME})="
    rf"|(?<![A-Za-z])(?i:password|passwd|pwd|AccountKey|SharedAccessKey)[ ]?=[ ]?)"
    r"(?P<value>[^\n\"']*+(?:'[^'\n]*+)?)\Z"
)


def fields(text: str) -> Iterator[tuple[int, int]]:
    """Where values are whose names say that they are secrets."""
    if not _ANY.search(text):
        return
    for found in _HEADER.finditer(text):
        told = bool(found["scheme"]) or found["name"].lower() != "authorization"
        if _telling(found["value"], told=told):
            yield found.span("value")
    for found in _COOKIE.finditer(text):
        start, end = found.span("pairs")
        for value in _COOKIE_VALUE.finditer(text, start, end):
            yield value.span("value")
            if found["set"]:
                break  # what follows says where it is sent to, and for how long
    for pattern in (_PARAMETER, _CONNECTION, _ACCOUNT_KEY):
        for found in pattern.finditer(text):
            if not _STAND_IN.fullmatch(found["value"]):
                yield found.span("value")


def open_field(text: str) -> int:
    """Where a value begins at the end of the text whose name says that it is a secret."""
    lowest = max(0, len(text) - HELD)
    last = text.rfind("\n", lowest)
    # A HAR file has the name on the line before the value.
    first = max(lowest, text.rfind("\n", lowest, last) + 1) if last > lowest else lowest
    found = _OPEN.search(text, first) if _ANY.search(text, first) else None
    return found.start("value") if found else len(text)


def _telling(value: str, *, told: bool) -> bool:
    """Whether this has the look of a secret. `told`: what stands before it says that it is one."""
    if len(value) < (8 if told else 16) or is_place(value):
        return False
    if any(map(str.isdigit, value)):
        return len(value) >= 16 or any(map(str.isalpha, value))
    return not _WORDS.fullmatch(value)
