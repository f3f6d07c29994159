"""One session file on disk: read whole, appended to a record at a time, never rewritten.

An append is one write under a lock, at the file's end as it is at that moment, so several
contexts and processes may share a file. A record that a crash cut short is moved to a file
beside it before anything is appended behind it; nothing is deleted.

The file is opened for each append and closed again: that costs microseconds, and no
descriptor is held for a conversation that rests, or is copied into a child process.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from io import FileIO
from pathlib import Path

from oturn.session_format import PREFIX, SessionFormatError
from oturn.session_format_read import Parsed, parse

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger(__name__)

_BEGIN = f"{PREFIX}begin".encode()
_WINDOW = 1 << 16  # bytes looked at first for the last record; more as needed


@dataclass(frozen=True)
class TornTail:
    """A record that the end of the file cuts short.

    `line` counts from 1, `offset` and `size` in bytes. `side_file` is where the piece was
    moved to; None while it stands where it was.
    """

    line: int
    offset: int
    size: int
    side_file: Path | None = None


class SessionFile:
    """What `torn` says is as of the last `read` or `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn: TornTail | None = None
        self._known: tuple[int, int, int] | None = None  # device, inode, size at our last append

    def read(self) -> Parsed:
        """The records; none for a missing file. Changes nothing on disk.

        Raises SessionFormatError, with the line, for what is broken before the end.
        """
        self.torn = None
        try:
            with FileIO(self.path) as file:
                _lock(file, shared=True)  # else a record that is being written looks torn
                raw = file.readall()
        except FileNotFoundError:
            return Parsed([])
        parsed = parse_bytes(raw, str(self.path))
        if parsed.torn_line is not None:
            offset = _byte_offset(raw, parsed.torn_at)
            self.torn = TornTail(parsed.torn_line, offset, len(raw) - offset)
            _log.warning(
                "%s, line %d: the last record is cut short and left out (%d bytes); "
                "it is moved to a file beside this one before the next record is written",
                self.path,
                self.torn.line,
                self.torn.size,
            )
        return parsed

    def create(self) -> None:
        """Make the file and its folders, where they are missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("ab").close()

    def append(self, text: str) -> None:
        """Write at the end. Raises OSError; the file is then as it was before."""
        data = text.encode()
        with self._opened() as file:
            _lock(file)
            lead = self._mend_end(file)
            end = file.seek(0, os.SEEK_END)
            try:
                _write(file, lead + data)
            except OSError:
                self._known = None
                with suppress(OSError):  # what stays of the record is a torn tail, and known as one
                    file.truncate(end)
                raise
            found = os.fstat(file.fileno())
            self._known = (found.st_dev, found.st_ino, found.st_size)

    def replace_with(self, data: bytes) -> None:
        """Put other content in the file's place, at once or not at all."""
        write_at_once(self.path, data)
        self._known = None
        self.torn = None

    def _opened(self) -> FileIO:
        try:
            return FileIO(self.path, "a+")
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return FileIO(self.path, "a+")

    def _mend_end(self, file: FileIO) -> bytes:
        """Move a torn tail aside; what has to stand before the next record."""
        found = os.fstat(file.fileno())
        if self._known == (found.st_dev, found.st_ino, found.st_size):
            return b""
        if self._known is not None and self._known[:2] != (found.st_dev, found.st_ino):
            _log.warning(
                "%s is another file than before: it holds only what is written from now on, "
                "and what it held when it was put there",
                self.path,
            )
        start, tail = _last_record(file, found.st_size)
        try:
            parsed = parse(tail.decode("utf-8", "surrogateescape"))
        except SessionFormatError:
            parsed = Parsed([])  # broken, and not torn: `read` says so; nothing is cut
        if parsed.torn_line is not None:
            cut = _byte_offset(tail, parsed.torn_at)
            self._move_aside(file, start + cut, tail[cut:])
            tail = tail[:cut]
        return b"\n" if tail and not tail.endswith(b"\n") else b""

    def _move_aside(self, file: FileIO, offset: int, piece: bytes) -> None:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        side = _write_beside(Path(os.path.realpath(self.path)), piece, mode)
        file.truncate(offset)
        line = self.torn.line if self.torn is not None and self.torn.offset == offset else None
        if line is None:
            line = self.path.read_bytes().count(b"\n") + 1
        self.torn = replace(TornTail(line, offset, len(piece)), side_file=side)
        _log.warning(
            "%s, line %d: a record that was cut short (%d bytes) was moved to %s",
            self.path,
            line,
            len(piece),
            side,
        )


def parse_bytes(raw: bytes, file: str) -> Parsed:
    """The records of a file's content. Raises SessionFormatError that names file and line."""
    try:
        try:
            return parse(raw.decode())
        except UnicodeDecodeError as error:
            parsed = parse(raw.decode("utf-8", "surrogateescape"))
            if parsed.torn_line is not None and error.start >= _byte_offset(raw, parsed.torn_at):
                return parsed
            line = raw.count(b"\n", 0, error.start) + 1
            raise SessionFormatError("this is not UTF-8; save the file as UTF-8", line) from None
    except SessionFormatError as error:
        raise SessionFormatError(error.reason, error.line, file) from None


def write_at_once(path: Path, data: bytes) -> None:
    """Write a file whole, in the place of what was there; its folders are made. Raises OSError."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = None
    beside = path.with_name(f".{path.name}.{os.getpid()}.{_now():%Y%m%d%H%M%S%f}")
    try:
        with FileIO(beside, "x") as file:
            _write(file, data)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _now() -> datetime:
    return datetime.now().astimezone()


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _write_beside(path: Path, piece: bytes, mode: int) -> Path:
    """A new file `<name>.torn-<YYYYmmddHHMMSS>` that holds the piece, safe on disk."""
    name = f"{path.name}.torn-{_now():%Y%m%d%H%M%S}"
    number = 0
    while True:
        side = path.with_name(f"{name}-{number}" if number else name)
        try:
            with FileIO(side, "x") as file:
                _write(file, piece)
                os.fsync(file.fileno())
        except FileExistsError:
            number += 1
            continue
        side.chmod(mode)
        return side


def _last_record(file: FileIO, size: int) -> tuple[int, bytes]:
    """Where the line of the last marker that begins a record starts, and all from there on."""
    window = _WINDOW
    while True:
        start = max(0, size - window)
        file.seek(start)
        chunk = file.read(size - start) or b""
        line = chunk.rfind(b"\n", 0, max(0, chunk.rfind(_BEGIN))) + 1
        if start == 0 or (line and _BEGIN in chunk[line:]):
            return start + line, chunk[line:]
        window *= 8


def _byte_offset(raw: bytes, characters: int) -> int:
    """Where the character of that number is in the bytes."""
    text = raw.decode("utf-8", "surrogateescape")
    return len(text[:characters].encode("utf-8", "surrogateescape"))


def _lock(file: FileIO, *, shared: bool = False) -> None:
    """One appender at a time, and no reader meanwhile; the lock goes with the descriptor."""
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks: one write is still one write
            fcntl.flock(file.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
