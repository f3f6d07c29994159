"""What a search has found, within its limits, in the words in which it is told.

What a program prints is not believed: while it ran, somebody may have put a link in the place
of a folder. Each line is read again on a way that follows no link, and left out if it is not
there.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby, islice
from pathlib import Path
from typing import NamedTuple

from turnstone.core.file_text import marked_encoding
from turnstone.core.sensitive import is_plain_name
from turnstone.core.tool import ToolContext
from turnstone.tools.decoded import as_utf8, bounded_lines
from turnstone.tools.files import folder, opened, reading, root_for
from turnstone.tools.paths import shown, shown_name
from turnstone.tools.search_engines import PER_FILE, Order

#: Matches told: more than a model can use, less than hurts.
MAX_MATCHES = 1000

#: Characters of a matching line.
MAX_LINE = 400

#: Files named whose name contains the query.
MAX_NAMES = 50

#: Names of which the first are told: some of them may be secrets, or be gone.
_MAX_NAMED = 1000

#: Bytes of lines that are put in order here: some times as much as is told.
MAX_GATHERED = 4 * 1024 * 1024

#: Bytes of a line that are compared: at least those that are told.
_COMPARED = 4 * MAX_LINE

#: Bytes of a file that is read as a whole for its lines.
_SMALL = 256 * 1024

#: What ripgrep prints of a binary file in which something matches, with no NUL after the path.
_REMARK = re.compile(rb": binary file matches \(found .* byte around offset \d+\)$")

_NUMBERED = re.compile(rb"(\d+)([:-])(.*)", re.DOTALL)


class Folder(NamedTuple):
    """A folder in which something was found: looked at once, however many files are in it."""

    path: Path
    prefix: str  # of what is shown of a file in it
    told: bool  # whether any file in it may be told
    plain: bool  # whether it goes by the file's name alone which may


@dataclass(frozen=True, slots=True)
class _File:
    folder: Folder
    name: str
    shown: str
    told: bool

    @property
    def path(self) -> Path:
        return self.folder.path / self.name


@dataclass(frozen=True, slots=True)
class _Line:
    file: _File
    number: int  # of the line, or how many match
    text: str = ""
    mark: str = ":"  # `-` for a line around a match


class Findings:
    """Fed with what the programs print; then checked; then told."""

    def __init__(
        self,
        order: Order,
        base: Path,
        context: ToolContext,
        may_tell: Callable[[Path], bool],
        is_plain: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """`may_tell`: whether a file, or anything in a folder, may be told of. `is_plain`: of such
        a folder, whether that goes by the names in it alone (`sensitive.is_plain_name`)."""
        self.notes: list[str] = []
        self._order = order
        self._base = base
        self._context = context
        self._may_tell = may_tell
        self._is_plain = is_plain
        self._folders: dict[bytes, Folder] = {}
        query = order.query.casefold()
        self._query = query
        self._ascii_query = query.encode() if query.isascii() else b""
        self._room = context.max_output
        self._begun = b""
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._named: list[bytes] = []
        self._lines: list[_Line] = []
        self._names: list[_File] = []
        self._matches = 0
        self._path, self._of_path = b"", 0
        self._file = _File(Folder(base, "", told=True, plain=False), "", "", told=True)

    def gather(self, lines: bytes) -> bool:
        """Lines in any order of their files. Whether more can be put in order."""
        self._gathered.append(lines)
        self._gathered_size += len(lines)
        return self.gathered_all

    @property
    def gathered_all(self) -> bool:
        return self._gathered_size <= MAX_GATHERED

    def forget(self) -> None:
        """What was gathered: it comes again, in order."""
        self._gathered.clear()

    def add_lines(self, lines: bytes) -> bool:
        """Lines in the order of their files. Whether more is wanted."""
        return all(self._add_line(*parsed) for parsed in self._parsed(lines))

    def settle(self) -> None:
        """Take what was gathered, and the names, in the order of paths."""
        of_files: dict[bytes, list[bytes]] = {}
        lines = b"\n".join(self._gathered)
        for path, rest in self._parsed(lines) if lines else ():
            of_files.setdefault(path, []).append(rest)
        self._gathered.clear()
        all(
            self._add_line(path, rest)
            for path in sorted(of_files, key=_by_parts)
            for rest in of_files[path]
        )
        told = (found for path in self._first_names() if (found := self._found(path)).told)
        self._names = list(islice(told, MAX_NAMES + 1))

    def _parsed(self, lines: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The path of each line, and what follows it."""
        for line in lines.split(b"\n"):
            path, separator, rest = line.partition(b"\0")
            if separator:
                path, self._begun = self._begun + path, b""
                yield path, rest.removesuffix(b"\r")
            else:  # the name goes on in the next line, or it is ripgrep's remark about a binary file
                self._begun = b"" if _REMARK.search(line) else self._begun + line + b"\n"

    def _add_line(self, path: bytes, rest: bytes) -> bool:
        """Whether more is wanted."""
        if path != self._path:
            self._path, self._file, self._of_path = path, self._found(path), 0
        if self._order.count:
            entry = _Line(self._file, int(rest))
        elif numbered := _NUMBERED.match(rest):
            entry = _Line(self._file, int(numbered[1]), _told(numbered[3]), numbered[2].decode())
        else:
            return True
        if not self._counted(entry):
            return True
        self._lines.append(entry)
        self._matches += entry.mark == ":"
        self._room -= len(self._file.shown) + len(entry.text) + 8
        if self._matches < MAX_MATCHES and self._room > 0:
            return True
        what = "files" if self._order.count else "matches"
        self.notes.append(f"stopped at {self._matches:,} {what}; narrow the query or the path")
        return False

    def add_names(self, paths: bytes) -> bool:
        """Paths in any order, with NULs between them. Whether more are wanted."""
        # Of ten thousand names nearly none is meant; what is no ASCII may be folded to it.
        if self._ascii_query and paths.isascii() and self._ascii_query not in paths.lower():
            return True
        for path in paths.split(b"\0"):
            name = path.rpartition(b"/")[2].decode("utf-8", "replace")
            if self._query in name.casefold():
                self._named.append(path)
        if len(self._named) > 2 * _MAX_NAMED:
            self._named = self._first_names()
        return True

    def _first_names(self) -> list[bytes]:
        return sorted(self._named, key=_by_parts)[:_MAX_NAMED]

    @property
    def found_lines(self) -> bool:
        return bool(self._lines or self._gathered)

    def check(self, over: Callable[[], bool]) -> None:
        """Leave out what is not so. Blocks; until `over`."""
        kept: list[_Line] = []
        # Files of one folder follow each other: the way to it is gone once.
        for parent, some in groupby(self._lines, key=lambda line: line.file.folder.path):
            kept += [] if over() else self._checked(parent, list(some), over)
        if len(kept) < len(self._lines):
            count = len(self._lines) - len(kept)
            self.notes.append(f"{count:,} lines left out: their files changed meanwhile")
        self._lines = kept
        names = [file for file in self._names if self._is_file(file.path)]
        room = accumulate(len(file.shown) + 1 for file in names)
        self._names = [n for n, used in zip(names, room, strict=True) if used <= self._room]
        self._names = self._names[:MAX_NAMES]
        if len(self._names) < len(names):
            self.notes.append(f"stopped at {len(self._names)} file names")

    def text(self) -> str:
        parts: list[str] = []
        before: _Line | None = None
        for line in self._lines:
            name = line.file.shown
            apart = before and (before.file, before.number + 1) != (line.file, line.number)
            if apart and self._order.context:
                parts.append("--")
            before = line
            tail = f"{line.mark}{line.text}" if not self._order.count else ""
            parts.append(f"{name}{line.mark}{line.number}{tail}")
        if self._order.count and parts:
            total = sum(line.number for line in self._lines)
            parts.append(f"[{total:,} lines match, in {len(self._lines):,} files]")
        parts = parts or ["[no line matches]"]
        if self._names:
            parts += ["", f"Files whose name contains {self._order.query!r}:"]
            parts += [file.shown for file in self._names]
        return "\n".join([*parts, *(f"[{note}]" for note in self.notes)])

    def _found(self, path: bytes) -> _File:
        parent, _, last = path.rpartition(b"/")
        folder = self._folders.get(parent)
        if folder is None:
            folder = self._folders[parent] = self._folder(self._base / os.fsdecode(parent))
        name = os.fsdecode(last)
        told = folder.told and (
            (folder.plain and is_plain_name(name)) or self._may_tell(folder.path / name)
        )
        return _File(folder, name, folder.prefix + shown_name(name), told)

    def _folder(self, path: Path) -> Folder:
        name = shown(path, self._context)
        prefix = "" if name == "." else name if name == "/" else f"{name}/"
        told = self._may_tell(path)
        return Folder(path, prefix, told, told and self._is_plain(path))

    def _counted(self, entry: _Line) -> bool:
        """Whether this file may be told of."""
        self._of_path += entry.mark == ":"
        told = entry.file.told
        if told and self._of_path == PER_FILE and entry.mark == ":":
            name = entry.file.shown
            self.notes.append(f"{name}: the first {PER_FILE} matches; there may be more")
        return told

    def _checked(self, parent: Path, lines: list[_Line], over: Callable[[], bool]) -> list[_Line]:
        """Those of the lines of a folder's files that are there."""
        kept: list[_Line] = []
        try:
            with folder(root_for(parent, self._context.workspace), parent) as descriptor:
                for file, of_file in groupby(lines, key=lambda line: line.file):
                    kept += [] if over() else self._in_file(descriptor, file.name, [*of_file])
        except OSError:
            pass
        return kept

    def _in_file(self, parent: int, name: str, lines: list[_Line]) -> list[_Line]:
        try:
            with opened(parent, name) as descriptor:
                if self._order.count:
                    return lines
                start = os.pread(descriptor, _SMALL + 1, 0)
                if len(start) <= _SMALL and not marked_encoding(start)[1].startswith("utf-16"):
                    pieces = start.split(b"\n", lines[-1].number)
                    some = (line for line in lines if line.number <= len(pieces))
                    return [line for line in some if _is_line(pieces[line.number - 1], line)]
                with as_utf8(io.FileIO(descriptor, closefd=False), start) as file:
                    return _there((raw for raw, _ in _bounded(file)), lines)
        except OSError:
            return []

    def _is_file(self, path: Path) -> bool:
        try:
            with reading(root_for(path, self._context.workspace), path):
                return True
        except PermissionError:
            return True  # its folder was reached without a link
        except OSError:
            return False


def _by_parts(path: bytes) -> list[bytes]:
    return path.split(b"/")


def _bounded(file: io.BufferedReader) -> Iterator[tuple[bytes, int]]:
    return bounded_lines(file, _COMPARED, lambda: False)


def _there(there: Iterable[bytes], lines: list[_Line]) -> list[_Line]:
    """Those of the lines of a file that are among the lines it has."""
    wanted = {line.number: line for line in lines}
    found = []
    for number, raw in enumerate(islice(there, max(wanted)), 1):
        if number in wanted and _is_line(raw, wanted[number]):
            found.append(wanted[number])
    return found


def _is_line(raw: bytes, line: _Line) -> bool:
    text = raw[:_COMPARED]
    if line.number == 1:
        text = text.removeprefix(b"\xef\xbb\xbf")
    return _told(text.rstrip(b"\r\n")) == line.text


def _told(line: bytes) -> str:
    text = line[:_COMPARED].decode("utf-8", "replace")
    if len(text) > MAX_LINE or len(line) >= _COMPARED:
        return f"{text[:MAX_LINE]} [line cut]"
    return text
