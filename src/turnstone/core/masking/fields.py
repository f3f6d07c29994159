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
    r"(?:\\*[\"'])?\]?[ \t]{0,4}(?:=>|[:=,])[ \t]{0,8}"
    r"(?:\s{0,80}\\*[\"']value\\*[\"'][ \t]?:[ \t]?)?\[?(?:b?\\*[\"'])?"
)
_HEADER_NAME = (
    r"(?:authorization|api[_-]?key|(?:x-)?(?:auth|access|private|vault)-token|x-amz-security-token"
    r"|subscription-key)"
)
_SCHEME = r"(?:(?P<scheme>(?:bearer|basic|token|negotiate|ntlm|apikey|splunk|dpop))[ \t]{1,8})?"
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
    r"|access[_-]?key|x-amz-security-token)"
)
#: Names of much else too: here the value has to look like a secret.
_VAGUE = r"(?:key|auth|code|signature)"
_PARAMETER = re.compile(
    rf"(?:[?&#]|&amp;|\\u0026)(?i:{_PARAMETER_NAME}|(?P<vague>{_VAGUE}))="
    r"(?P<value>[\w.~%+/:@!*,-][\w.~%+/=:@!*,-]{3,}+)"
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

#: Settings, variables and JSON: a name, and a value that has to look like a secret.
_SETTING_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|authtoken|auth"
    r"|(?:secret|private|access|api|account|signing|encryption)[_-]?(?:access[_-]?)?key)"
)
_ASSIGNED = r"(?:\\*[\"'])?[ \t]{0,8}[:=][ \t]{0,8}"
_SETTING = re.compile(
    rf"{WORD_BEGINS}(?<!(?i:page|next)_)_?(?i:{_SETTING_NAME}){_ASSIGNED}(?:\\*[\"'])?"
    rf"(?P<value>[A-Za-z0-9+/=_.~!@#%^*-]{{8,}}+)(?:&|{_ENDS})"
)

#: Where the form says it: `.netrc`, `curl -u`, data sources of Go, signed requests, web hooks.
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?i:\blogin)\s{1,8}\S{1,100}\s{1,8}(?i:password)\s{1,8}(?P<value>[^\s$<{\[]{4,}+)",
        (
            r"\bcurl\b[^\n]{0,200}?[ ](?:-u|--user)[ =]?[\"']?[^\s:\"'$]{1,100}:"
            r"(?P<value>[^\s\"'$<{\[]{4,}+)"
        ),
        r"(?<![\w.-])[\w.-]{1,64}:(?P<value>[^\s:/@\"'`$<{%]{3,64})@(?:tcp|unix)\(",
        r"(?i:\bdigest )[^\n]{0,400}?(?i:\bresponse)=\"?(?P<value>[0-9a-f]{32,}+)",
        r"\bSignature=(?P<value>[0-9a-f]{64})",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[\w/-]{20,}+)",
        r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/(?P<value>[\w-]{40,}+)",
        r"(?:(?<![A-Za-z0-9])|(?<=/bot))(?P<value>\d{8,10}:AA[\w-]{30,}+)",
    )
)

#: What all of it needs; most texts have none of it.
_ANY = re.compile(
    r"(?i)auth|key|token|cookie|pass|pwd|secret|sig(?:nature)?=|code=|curl |digest|hook"
    r"|@(?:tcp|unix)\(|\d:A|/bot\d"
)

#: An identifier of words: `AuthorizationPolicy2`, `oauth2.accessToken`, `access_token_v2x`.
_NAME = re.compile(
    r"(?:(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+|Id|[vV](?=\d)|[A-Za-z](?=[_-])|(?<=[_-])(?=\d))\d{0,2}(?:(?<=\d)x)?(?![a-z0-9])"
    r"[._~+/=-]*+|(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+)[._~+/=-]*+)++"
)
#: What code has in place of a value: `config.password`, `request.POST.password`.
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_PART = re.compile(r"[^._/-]{8,}")

_WORDS = re.compile(r"(?:(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+)[._~+/=-]*+)++")
_STAND_IN = re.compile(
    r"(?i)[x*.%]+s?|none|null|true|false|required|optional|hidden|string|redacted|undefined|pass"
    r"|:\w+|(?:hmac-?)?sha-?\d+|md5|(?:your|my|the)?[_-]?"
    r"(?:(?:access|auth|api|client)[_-]?)?(?:password|passwd|pwd|token|secret|key)(?:[_-]here)?"
)

#: A value that has begun, or may at the next character, at the end of the text.
_OPEN = re.compile(
    rf"(?:{WORD_BEGINS}(?i:{_HEADER_NAME}|cookie){_SEPARATOR}"
    rf"|(?:[?&#]|&amp;|\\u0026)(?i:{_PARAMETER_NAME}|{_VAGUE})="
    rf"|{WORD_BEGINS}_?(?i:{_SETTING_NAME}){_ASSIGNED}(?:\\*\")?"
    r"|(?<![A-Za-z])(?i:password|passwd|pwd|AccountKey|SharedAccessKey)[ ]?=[ ]?"
    r"|(?i:\blogin)\s{1,8}\S{1,100}\s{1,8}(?i:password)\s{1,8}|\bcurl (?=[^\n]{0,200} -)|(?i:\bresponse)=\"?"
    r"|\bSignature=|hooks\.slack\.com/|discord(?:app)?\.com/api/|(?<=/bot)(?=\d)|(?<!\d)(?=\d{8,10}:A))"
    r"(?P<value>[^\n\"']*+(?:'[^'\n]*+)?)\Z"
)

_OPEN_SOURCE = re.compile(
    r"(?<![\w.-])[\w.-]{1,64}:[^\s:/@\"'`$<{%]{1,64}(?:@(?:t(?:cp?)?|u(?:n(?:ix?)?)?)?)?\Z"
)


def fields(text: str) -> Iterator[tuple[int, int]]:
    """Where values are whose names say that they are secrets."""
    if not _ANY.search(text):
        return
    for found in _HEADER.finditer(text):
        told = bool(found["scheme"]) or found["name"].lower() != "authorization"
        if _telling(found["value"], told=told) and not found["value"].startswith("AWS4-"):
            yield found.span("value")
    for found in _COOKIE.finditer(text):
        start, end = found.span("pairs")
        for value in _COOKIE_VALUE.finditer(text, start, end):
            if not _WORDS.fullmatch(value["value"]):
                yield value.span("value")
            if found["set"]:
                break  # what follows says where it is sent to, and for how long
    for found in _PARAMETER.finditer(text):
        if _telling(found["value"], told=False) if found["vague"] else _stated(found["value"]):
            yield found.span("value")
    for found in _CONNECTION.finditer(text):
        if _stated(found["value"]) and not _is_code(found["value"]):
            yield found.span("value")
    for found in _SETTING.finditer(text):
        if _set(found["value"]):
            yield found.span("value")
    for pattern in (_ACCOUNT_KEY, *_FORMS):
        yield from (found.span("value") for found in pattern.finditer(text))


def _stated(value: str) -> bool:
    return not _STAND_IN.fullmatch(value)


def _is_code(value: str) -> bool:
    return is_place(value) or _DOTTED.fullmatch(value) is not None


def _set(value: str) -> bool:
    """Whether a setting has a secret for its value, and no word, path, number or expression."""
    if not _telling(value, told=True) or _is_code(value):
        return False
    parts = _PART.findall(value)
    return any(_telling(part, told=True) and not part.startswith("0x") for part in parts)


def open_field(text: str) -> int:
    """Where a value begins at the end of the text whose name says that it is a secret."""
    lowest = max(0, len(text) - HELD)
    last = text.rfind("\n", lowest)
    # A HAR file has the name on the line before the value.
    first = max(lowest, text.rfind("\n", lowest, last) + 1) if last > lowest else lowest
    found = _OPEN.search(text, first) if _ANY.search(text, first) else None
    source = _OPEN_SOURCE.search(text, max(first, len(text) - 140))
    starts = [found.start("value")] if found else []
    return min([*starts, *([source.start()] if source else [])], default=len(text))


def _telling(value: str, *, told: bool) -> bool:
    """Whether this has the look of a secret. `told`: what stands before it says that it is one."""
    if len(value) < (8 if told else 16) or is_place(value):
        return False
    if sum(map(str.isdigit, value)) <= 2 and _NAME.fullmatch(value):
        return False
    if any(map(str.isdigit, value)):
        return len(value) >= 16 or any(map(str.isalpha, value))
    return not _WORDS.fullmatch(value)
