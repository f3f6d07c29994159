"""A file as UTF-8, whatever its byte-order mark says it is in. Reads on, never holds it whole."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import Any

from turnstone.core.file_text import marked_encoding

_CHUNK = 256 * 1024


class AsUtf8(io.RawIOBase):
    """Text of another encoding, as UTF-8 with a byte-order mark."""

    def __init__(self, source: io.RawIOBase, encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._ready = codecs.BOM_UTF8
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            data = self._source.read(_CHUNK) or b""
            self._ended = not data
            self._ready = self._decoder.decode(data, self._ended).encode()
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)


def as_utf8(source: io.RawIOBase, start: bytes) -> io.BufferedReader:
    """`start` are the first bytes of `source`, which has not been read yet."""
    utf16 = marked_encoding(start)[1].startswith("utf-16")
    return io.BufferedReader(AsUtf8(source, "utf-16") if utf16 else source)


def bounded_lines(
    file: io.BufferedReader, most: int, over: Callable[[], bool]
) -> Iterator[tuple[bytes, int]]:
    """Lines with their ending, of each at most `most` bytes, and how many were dropped.

    So a file of one line does not fill the memory; once it is `over`, a line may end early.
    """
    while line := file.readline(most):
        dropped = 0
        rest = line
        while not rest.endswith(b"\n") and not over() and (rest := file.readline(most)):
            dropped += len(rest.removesuffix(b"\n"))
        yield line, dropped
