"""The values that are secrets by what an environment calls them, and how they are spelled. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
import string
from collections.abc import Iterator, Mapping
from itertools import pairwise

#: Characters; a value that is shorter would blank out ordinary words.
SHORTEST = 8

#: What an address has as it is; all else is written as `%` and two digits.
_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~")

#: What some programs leave as it is beside that: `quote` of Python, two functions of JavaScript.
_KEPT_IN_ADDRESS = tuple(map(frozenset, ("", "/", "!*'()", ";,/?:@&=+$#!*'()")))

#: What JSON has as `\\u` and four digits: of Go, of PHP with all its options, and of .NET.
_ESCAPED_IN_JSON = ("&<>", "&<>'\"", "&<>'\"+`")

#: What `%q` of a shell leaves as it is: two shells, and one that is careful.
_PLAIN_IN_SHELL = (_PLAIN | set("/+=:@%#"), (_PLAIN | set("/+=:@%,")) - {"~"}, _PLAIN)

#: Variables whose values are secrets, by their names.
_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:KEY|SECRET|AUTH|CREDENTIALS?|JWT|PAT)(?:$|_|\d)"
    r"|(?:^|_|SSH|PG|DB|MYSQL)(?:PASS|PWD|PW)(?:$|_|\d)"
    r"|(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|(?:API|ACCESS|SECRET|PRIVATE)KEY)(?:$|_|\d)",
    re.IGNORECASE,
)
_PLACES = frozenset({"PWD", "OLDPWD"})

#: Such names too, but of values that are switches.
_SWITCH = re.compile(r"^(?:true|false|yes|no|none|null|\d+)$", re.IGNORECASE)

#: Places: below a root, or in a hidden file whose name is of words.
_PLACE = re.compile(r"(?:~|\.{0,2})/\S*|\.[a-z]+(?:[._-][a-z]+)*")
_RUN = re.compile(r"[A-Za-z0-9+=]+")


def spelled(secret: str) -> Iterator[str]:
    """A secret as it turns up: plain, and encoded as programs and protocols do."""
    yield secret
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield raw.hex().upper()
    yield from _in_address(raw)
    yield from _in_json(secret)
    yield from _in_markup_and_shell(secret)
    # In Base64 the same bytes look three ways, by where they begin; the first and last
    # characters depend on the neighbours.
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw).decode()
        first = (0, 2, 3)[offset]
        last = len(coded) - (0, 3, 2)[(len(raw) + offset) % 3]
        inner = coded[first:last].rstrip("=")
        if len(inner) >= SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def _in_address(raw: bytes) -> Iterator[str]:
    for kept in _KEPT_IN_ADDRESS:
        for digits in ("%{:02X}", "%{:02x}"):
            coded = "".join(chr(b) if chr(b) in _PLAIN | kept else digits.format(b) for b in raw)
            yield coded
            yield coded.replace("%20", "+")


def _in_json(secret: str) -> Iterator[str]:
    for ascii_only in (True, False):
        text = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield text
        yield text.replace("/", "\\/")
        for escaped in _ESCAPED_IN_JSON:
            for digits in ("\\u{:04x}", "\\u{:04X}"):
                yield "".join(digits.format(ord(c)) if c in escaped else c for c in text)


def _in_markup_and_shell(secret: str) -> Iterator[str]:
    for quotes in (False, True):
        text = html.escape(secret, quote=quotes)
        yield text
        yield text.replace("&#x27;", "&#39;")
        yield text.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield repr(secret)[1:-1]
    yield secret.replace("'", "'\\''")
    yield secret.replace("'", "'\"'\"'")
    for plain in _PLAIN_IN_SHELL:
        yield "".join(c if c in plain or ord(c) > 126 else f"\\{c}" for c in secret)
    yield re.sub(r'(["$`\\])', r"\\\1", secret)


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of an environment whose names say that they are secrets."""
    for name, value in environment.items():
        named = _SECRET_VARIABLE.search(name) and name not in _PLACES and len(value) >= SHORTEST
        if named and not _SWITCH.match(value) and not is_place(value):
            yield value


def is_place(value: str) -> bool:
    """Whether a value is a path, by its look: a key may begin with `/` or `.` just as well.

    A path is of names: of several, or one that has an ending; and none of them changes between
    capitals, small letters and digits as Base64 does.
    """
    if not _PLACE.fullmatch(value):
        return False
    names = [name for name in value.split("/") if name.strip("~.")]
    if value.startswith("/") and len(names) < 2 and "." not in value:
        return False
    runs = [run for name in names for run in _RUN.findall(name)]
    if any(len(run) >= 16 and len(set(map(_kind, run))) == 3 for run in runs):
        return False
    pairs = [(_kind(a), _kind(b)) for run in runs for a, b in pairwise(run)]
    return sum(a != b for a, b in pairs) * 5 <= len(pairs) * 2


def _kind(char: str) -> str:
    if char.isdigit():
        return "0"
    return "A" if char.isupper() else "a"
