"""How secrets look that nobody told us: keys of well-known makes, private keys, passwords in URLs.

Patterns and searches only, each linear in the length of the text; nothing is replaced here.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

#: Characters of a stream that are held back at most, since a key may go on in the next piece.
HELD = 4096

#: Keys whose first characters begin no other word: masked even inside of one.
_DISTINCT = (
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",
    r"github_pat_[A-Za-z0-9_]{40,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"xapp-\d-[A-Za-z0-9-]{20,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"tvly-[A-Za-z0-9_-]{16,}",
    r"npm_[A-Za-z0-9]{36}",
    r"dop_v1_[a-f0-9]{64}",
    r"gsk_[A-Za-z0-9]{40,}",
    r"nvapi-[A-Za-z0-9_-]{40,}",
    r"hv[sb]\.[A-Za-z0-9_-]{20,}",
    r"glrt-[A-Za-z0-9_-]{20,}",
    r"dckr_pat_[A-Za-z0-9_-]{20,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,}",
    r"whsec_[A-Za-z0-9+/=]{24,}",
    # What a private key begins with in Base64: its version number, or OpenSSH's magic.
    r"MII[A-Za-z0-9+/]{2}[AQgw]IBA[A-Za-z0-9+/=]+",
    r"b3BlbnNzaC1rZXktdjEA[A-Za-z0-9+/=]*",
)

#: Keys that may be the end of an ordinary word (`risk-…`), so that they have to begin one.
_PLAIN = (
    r"sk-(?:ant-|proj-|or-v1-|svcacct-)?(?=[A-Za-z_-]{0,200}\d)[A-Za-z0-9_-]{20,}",
    r"xai-[A-Za-z0-9]{40,}",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
)
#: Signed, three parts, or encrypted, five.
_JWT = (
    r"eyJ[A-Za-z0-9_-]{10,}\.(?:eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{10,})"
)

#: A word begins after anything that belongs to none, and after an escape: `\n`, `%3D`, `\u003d`.
_ESCAPED = r"(?<=\\[a-z])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})"
WORD_BEGINS = rf"(?:(?<![A-Za-z0-9])|{_ESCAPED})"
#: The same for what looks for a dot: it is not looked for again within the same characters.
_BEFORE_JWT = rf"(?:(?<![A-Za-z0-9_-])|{_ESCAPED})"

_BASE64 = "[A-Za-z0-9+/]"
_NEXT_LINE = (
    r"(?:\r?\n|(?:\\r)?\\n)"  # also as JSON spells it
    r"(?:[ \t]*\d{1,7}(?:\t|[:|] ?)|[ \t]{0,8}[+>|-]?[ \t]{0,8})?"
)
_KEY_END = rf"(?:{_BASE64}{{64}}{_NEXT_LINE})?{_BASE64}{{1,76}}={{0,2}}{_NEXT_LINE}-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
#: All of them, but for private keys with their first lines.
KEYS = "|".join(
    (
        *_DISTINCT,
        f"{WORD_BEGINS}(?:{'|'.join(_PLAIN)})",
        f"{_BEFORE_JWT}{_JWT}",
        rf"(?<![A-Za-z0-9+/=]){_KEY_END}",
    )
)

#: A password may have a slash in it, as no port has; where nobody stands before it, it is a key.
_IN_URL = re.compile(
    r"(?<=://)(?:[^\s:/@]*:(?P<password>[^\s/]+|(?!\d{1,5}/)[^\s/@\"'<>]{1,100}/[^\s@\"'<>]{1,100})"
    r"|(?P<key>[A-Za-z0-9_-]{20,}))(?=@)"
)
_NO_PASSWORD = re.compile(
    r"(?i)\d{1,5}(?:,.*)?|pass(?:word|wd)?|\[{1,2}.*|\$.*|<.*|\{.*|[x*.]+|%[(\w].*|your.*"
)
_BEGUN_IN_URL = re.compile(r"[^\s:/@]*:(?!\d{1,5}/)[^\s@\"'<>]*")

#: Lines of Base64 of one length, as private keys have it: 64 characters, 70 of OpenSSH.
_BODY = re.compile(
    r"(?m)(?:(?<![A-Za-z0-9+/=])|(?<=^\+)|(?<=\\n))(?:"
    + "|".join(
        rf"(?:{_BASE64}{{{n}}}{_NEXT_LINE})+{_BASE64}{{{n}}}"
        rf"(?:{_NEXT_LINE}{_BASE64}{{1,{n - 1}}}={{0,2}}(?=[\r\n\"'\\]|\Z))?(?![A-Za-z0-9+/=])"
        for n in (64, 70)
    )
    + ")"
)
_BODY_LINE = re.compile(rf"{_BASE64}{{64,70}}")
_FULL_LINE = re.compile(
    rf"(?:[ \t]*\d{{1,7}}[\t:|] ?|[ \t+>|-]*)({_BASE64}{{64}}(?:{_BASE64}{{6}})?)\r?"
)
_LAST_LINE = re.compile(rf"(?:[ \t]*\d{{1,7}}[\t:|] ?|[ \t+>|-]*)({_BASE64}{{0,71}}={{0,2}})\r?")

_BEGINNINGS = (
    *("sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ ghp_ gho_ ghu_ ghs_ ghr_").split(),
    *("github_pat_ glpat- xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- AKIA ASIA AIza").split(),
    *(
        "ya29. hf_ tvly- npm_ dop_v1_ gsk_ nvapi- hvs. hvb. glrt- MII b3BlbnNzaC1rZXktdjEA -----BEGIN"
    ).split(),
    *("dckr_pat_ shpat_ shpca_ shppa_ shpss_ AGE-SECRET-KEY-1 whsec_").split(),
)
_PLAIN_BEGINNINGS = ("sk-", "xai-", "pypi-", "SG.", "eyJ")
_BEGUN = re.compile(
    f"{'|'.join(map(re.escape, _BEGINNINGS))}"
    f"|{WORD_BEGINS}(?:{'|'.join(map(re.escape, _PLAIN_BEGINNINGS))})"
)
_ALL_BEGINNINGS = _BEGINNINGS + _PLAIN_BEGINNINGS
_LONGEST_BEGINNING = max(map(len, _ALL_BEGINNINGS))
_BOUNDARY = re.compile(WORD_BEGINS)
_WORD = string.ascii_letters + string.digits + "_.-+/="


def passwords(text: str) -> Iterator[tuple[int, int]]:
    """Where addresses have the password of a user in them."""
    if "://" in text:
        for found in _IN_URL.finditer(text):
            if found["key"] and any(map(str.isdigit, found["key"])):
                yield found.span("key")
            elif found["password"] and not _NO_PASSWORD.fullmatch(found["password"]):
                yield found.span("password")


def bodies(text: str) -> Iterator[tuple[int, int]]:
    """Where the bare body of a private key may be: two full lines of 64 or 70 characters or more.

    Lines of `base64` have 76, and digests are of one case. The body of a certificate or of a
    public key is told by the line before it; without that line it is taken for a private one.
    """
    for found in _BODY.finditer(text):
        lines = _BODY_LINE.findall(found[0])
        if all(map(_mixed, lines)) and not _in_public_block(text, found.start()):
            yield found.span()


def open_shape(text: str) -> int:
    """Where a word begins at the end of the text that is, or may become, a key by its shape."""
    first = max(0, len(text) - HELD)
    first += len(text[first:].rstrip(_WORD))
    if begun := _BEGUN.search(text, first):
        return begun.start()
    for at in range(max(first, len(text) - _LONGEST_BEGINNING), len(text)):
        if (len(text) - at > 2 or _BOUNDARY.match(text, at)) and any(
            beginning.startswith(text[at:]) for beginning in _ALL_BEGINNINGS
        ):
            return at
    return len(text)


def open_address(text: str) -> int:
    """Where an address begins in whose last word there may be a password."""
    word = max(0, len(text) - HELD)
    word = max(word, *(text.rfind(blank, word) + 1 for blank in " \n\t"))
    at = text.rfind("://", word)
    rest = text[at + 3 :] if at >= 0 else "/"
    if "/" not in rest or _BEGUN_IN_URL.fullmatch(rest):
        return at
    return next((len(text) - len(part) for part in (":/", ":") if text.endswith(part)), len(text))


def open_body(text: str) -> int:
    """Where the lines begin that may become the bare body of a private key."""
    lowest = max(0, len(text) - HELD)
    line = max(lowest, text.rfind("\n", lowest) + 1)
    last = _LAST_LINE.fullmatch(text, line)
    if last is None:
        return len(text)
    at = last.start(1) if len(last[1]) >= 16 else len(text)
    while line > lowest:
        before = max(lowest, text.rfind("\n", lowest, line - 1) + 1)
        full = _FULL_LINE.fullmatch(text, before, line - 1)
        if full is None:
            break
        at, line = full.start(1), before
    return at


def _mixed(line: str) -> bool:
    return (
        any(c in string.ascii_uppercase for c in line)
        and any(c in string.ascii_lowercase for c in line)
        and any(c in string.digits for c in line)
    )


def _in_public_block(text: str, at: int) -> bool:
    begun = text.rfind("-----BEGIN ", max(0, at - 4 * HELD), at)
    return (
        begun > text.rfind("-----END ", max(0, at - 4 * HELD), at)
        and "PRIVATE" not in (text[begun : begun + 64].partition("-----\n")[0])
    )
