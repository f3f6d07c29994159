"""Takes secrets out of text before it reaches a model, a journal, a reader or a log. Pure.

Two kinds are known: the very values that this process was given (settings, environment), in
the spellings in which they turn up, and keys of well-known makes, by their shape. It hides
what it knows; it finds no secret that looks like any other word, and promises none.
"""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping

#: What stands for a secret.
MASK = "[secret masked]"

#: Characters; a value that is shorter would blank out ordinary words.
SHORTEST = 8

#: Characters of a stream that are held back at most, since a key may go on in the next piece.
HELD = 4096

#: What an address has as it is; all else is written as `%` and two digits.
_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~")

#: Variables whose values are secrets, by their names.
_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH)(?:$|_|\d)",
    re.IGNORECASE,
)

#: Such names too, but of values that are places or switches.
_NO_SECRET = re.compile(r"^(?:[/~.]\S*|true|false|yes|no|none|null|\d+)$", re.IGNORECASE)

#: Keys by their shape. Each begins with something that no other word begins with.
_SHAPES = (
    r"sk-(?:ant-|proj-|or-v1-|svcacct-)?[A-Za-z0-9_-]{20,}",
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
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"dop_v1_[a-f0-9]{64}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"gsk_[A-Za-z0-9]{40,}",
    r"nvapi-[A-Za-z0-9_-]{40,}",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)
_KEY_BLOCK = (
    r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----"
    r"(?s:.*?)(?:-----END (?P=kind)-----|\Z)"
)
_BEFORE = r"(?<![A-Za-z0-9])"
_IN_URL = r"(?<=://)(?P<user>[^\s:/@]*):(?P<password>[^\s/@]+)(?=@)"

#: How those begin, and the blocks of private keys, and what may have a password in it.
_BEGINNINGS = (
    *("sk- sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_ ghp_ gho_ ghu_ ghs_ ghr_").split(),
    *("github_pat_ glpat- xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- AKIA ASIA AIza").split(),
    *("ya29. hf_ tvly- npm_ pypi- dop_v1_ SG. gsk_ nvapi- eyJ").split(),
    "-----BEGIN ",
)
_OPEN_WORD = re.compile(r"[A-Za-z0-9_.\-]*\Z")
_OPEN_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY(?s:.*)|-{0,5})\Z")
_OPEN_ADDRESS = re.compile(r"[A-Za-z0-9+.\-]*:/?/?[^\s@]*\Z")


class Masking:
    """What one process hides. Data only after it was made; safe to share."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = {text for secret in secrets if len(secret) >= SHORTEST for text in spelled(secret)}
        longest_first = sorted(values, key=len, reverse=True)
        parts = [re.escape(value) for value in longest_first]
        parts += [f"{_BEFORE}(?:{'|'.join(_SHAPES)})", _KEY_BLOCK]
        self._secrets = re.compile("|".join(parts))
        self._url = re.compile(_IN_URL)
        self._values = values
        self._longest = max(map(len, values), default=0)
        self._firsts = {value[0] for value in values}

    def text(self, text: str) -> str:
        """The text with every known secret replaced."""
        masked = self._secrets.sub(MASK, text)
        if "://" in masked:
            masked = self._url.sub(lambda found: f"{found['user']}:{MASK}", masked)
        return masked

    def stream(self) -> StreamMasking:
        """For text that comes in pieces: a secret may be parted between two of them."""
        return StreamMasking(self)

    def unfinished(self, text: str) -> int:
        """From where on the end of the text may be the beginning of a secret."""
        start = min(self._open_value(text), _open_shape(text))
        for pattern in (_OPEN_BLOCK, _OPEN_ADDRESS):
            found = pattern.search(text, max(0, len(text) - HELD))
            start = min(start, found.start() if found else start)
        across = (m for m in self._secrets.finditer(text) if m.start() < start < m.end())
        return next((found.start() for found in across), start)

    def _open_value(self, text: str) -> int:
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            rest = text[at:]
            if rest[0] in self._firsts and any(value.startswith(rest) for value in self._values):
                return at
        return len(text)


def _open_shape(text: str) -> int:
    """Where a word begins that is, or may become, a key by its shape."""
    found = _OPEN_WORD.search(text, max(0, len(text) - HELD))
    first = found.start() if found else len(text)
    for at in range(first, len(text)):
        if at > 0 and text[at - 1].isascii() and text[at - 1].isalnum():
            continue
        rest = text[at:]
        if any(b.startswith(rest) or rest.startswith(b) for b in _BEGINNINGS):
            return at
    return len(text)


class StreamMasking:
    """One stream of text. What may be the beginning of a secret is held back, up to `HELD`
    characters; more of that is no key, and is let through."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held = ""

    def piece(self, text: str) -> str:
        """What of the stream can be shown, now that this came too."""
        whole = self._held + text
        at = max(self._masking.unfinished(whole), len(whole) - HELD)
        self._held = whole[at:]
        return self._masking.text(whole[:at])

    def rest(self) -> str:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, ""
        return self._masking.text(held)


def spelled(secret: str) -> Iterator[str]:
    """A secret as it turns up: plain, and encoded as programs and protocols do."""
    yield secret
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw.hex()
    yield "".join(chr(b) if chr(b) in _PLAIN else f"%{b:02X}" for b in raw)
    yield json.dumps(secret)[1:-1]
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


def secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of an environment whose names say that they are secrets."""
    for name, value in environment.items():
        named = _SECRET_VARIABLE.search(name) and len(value) >= SHORTEST
        if named and not _NO_SECRET.match(value):
            yield value
