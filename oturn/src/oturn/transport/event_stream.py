"""Server-sent events, sans I/O: bytes in, the `data` of each event out. Opens nothing.

Only as much of the format as model servers use. Lines may end in CRLF, LF or CR, comments and
other fields are passed over, characters may be split between two reads. It knows nothing of
what the data means, and never holds more than one event of limited size.
"""

from __future__ import annotations

from collections.abc import Sequence

#: An event with more than this many bytes is no model's answer: a chunk is mostly under 1 kB,
#: and the largest that are known carry a picture of a few megabytes.
MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_NEWLINE = 0x0A


class EventStreamDecoder:
    """Feed it what a server sends, cut anywhere. `overflowed`: an event was larger than `limit`
    bytes; what came before it was given out, and nothing is any more."""

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self.overflowed = False
        self._limit = limit
        self._line = bytearray()  # a line whose end has not come
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._held = 0  # their length
        self._after_cr = False  # a newline that comes next belongs to a line end already seen

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that these bytes complete."""
        if self.overflowed:
            return []
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _NEWLINE:
                chunk = chunk[1:]
        lines = chunk.splitlines()
        if not lines:
            return []
        self._after_cr = chunk.endswith(b"\r")
        rest = b"" if chunk.endswith((b"\n", b"\r")) else lines.pop()
        if self._line and lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        events = self._events(lines)
        if rest and not self.overflowed:
            self._line += rest
            self.overflowed = self._held + len(self._line) > self._limit
        return events

    def close(self) -> list[str]:
        """The data of an event that the end of the input cut off behind its last character."""
        if self.overflowed:
            return []
        lines = [bytes(self._line), b""]
        self._line.clear()
        return self._events(lines)

    def _events(self, lines: Sequence[bytes]) -> list[str]:
        events = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                    self._data = []
                    self._held = 0
                continue
            size = self._held + len(line)
            if size > self._limit:
                self.overflowed = True
                break
            if line.startswith(b"data:"):
                self._held = size
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(_BOM + b"data:"):
                self._held = size
                self._data.append(line[len(_BOM) + 5 :].removeprefix(b" "))
            elif line.startswith(b"error:"):  # of llama.cpp until 2025: the bare error object
                self._held = size
                self._data.append(b'{"error":' + line[6:] + b"}")
        return events
