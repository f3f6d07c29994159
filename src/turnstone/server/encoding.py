"""Which form of an answer a client takes: compressed or not, changed or not, whole or a part.

Reads headers, and compresses bytes. Decides nothing about who may have them.
"""

from __future__ import annotations

import gzip
import hashlib
import re

#: Bytes from which an answer is worth compressing: less fits into one packet anyway.
WORTH = 1024

#: Fast, and within a few percent of the best for JSON.
_LEVEL = 5

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


def compressed(content: bytes) -> bytes:
    return gzip.compress(content, _LEVEL, mtime=0)


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` takes gzip, by its name or by `*`."""
    weights = {}
    for part in header.lower().split(","):
        name, _, parameter = part.strip().partition(";")
        weights[name.strip()] = parameter.replace(" ", "") not in (
            "q=0",
            "q=0.0",
            "q=0.00",
            "q=0.000",
        )
    return weights.get("gzip", weights.get("*", False))


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def names_one(header: str, etags: tuple[str, ...]) -> bool:
    """Whether an `If-None-Match` names one of these, or anything (`*`)."""
    named = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in named or any(etag in named for etag in etags)


class NoSuchRange(Exception):
    """The range that was asked for has no byte of the content."""


def part_of(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of a `Range`; None where it is to be passed over:
    none, several, or no range at all. Raises NoSuchRange."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = min(int(found[2]), size)
        if not length:
            raise NoSuchRange
        return size - length, size
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < first:
        return None
    if first >= size:
        raise NoSuchRange
    return first, last + 1
