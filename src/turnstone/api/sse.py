"""Server-sent events as bytes: frames out, frames in. No input or output of its own.

Written is the narrow form that readers of 0.2 need: `data: ` with exactly one space, and the
whole JSON value on one line. Read is all of the format that a node or a proxy may send.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Frame(NamedTuple):
    """One event, or (`data` is None) one comment. `id` is "" for a frame without one."""

    id: str
    data: bytes | None


def keepalive(event_id: str = "") -> bytes:
    """A comment that keeps idle connections open, and tells a reader that nothing is on its way.
    With an id, it also tells the place up to which the reader has seen all."""
    return _id_line(event_id) + b": keepalive\n\n"


def farewell(retry: int) -> bytes:
    """The last of a stream that ends because its server stops; `retry` in milliseconds. No
    comment: that would say that nothing was left unsent."""
    return b"retry: %d\n\n" % retry


def frame(event_id: str, data: bytes) -> bytes:
    """`data` is one line of JSON; an empty id leaves the line out."""
    return b"%bdata: %b\n\n" % (_id_line(event_id), data)


def _id_line(event_id: str) -> bytes:
    return b"id: %b\n" % event_id.encode("ascii") if event_id else b""


class Decoder:
    """Bytes in any pieces → frames. Feed it one connection only."""

    def __init__(self) -> None:
        self._partial: list[bytes] = []  # of the line in progress; joined once, when it ends
        self._after_return = False  # a line feed that comes next belongs to the line before
        self._id = ""
        self._data: list[bytes] = []
        self._started = False

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that `piece` completes."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_return = False
        if piece:
            self._after_return = piece.endswith(b"\r")
        first, *others = _LINE_END.split(piece)
        self._partial.append(first)
        frames: list[Frame | None] = []
        for other in others:
            frames.append(self._line(b"".join(self._partial)))
            self._partial = [other]
        return [found for found in frames if found is not None]

    def _line(self, line: bytes) -> Frame | None:
        if not self._started:
            line, self._started = line.removeprefix(b"\xef\xbb\xbf"), True
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if not name:
            return Frame("", None)
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Frame | None:
        """An empty line ends an event; one without data is none.

        The format lets an id stand for later frames too. Ours mark what they belong to, so
        that here it counts for its own frame only.
        """
        data, self._data = self._data, []
        event_id, self._id = self._id, ""
        return Frame(event_id, b"\n".join(data)) if data else None
