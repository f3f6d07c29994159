"""What a search has found, within its limits, in the words in which it is told.

What a program prints is not believed: while it ran, somebody may have put a link in the place
of a folder. Each line is read again on a way that follows no link, and left out if it is not
there.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path

from turnstone.core.tool import ToolContext
from turnstone.tools.decoded import as_utf8, bounded_lines
from turnstone.tools.files import folder, opened, reading, root_for
from turnstone.tools.paths import shown
from turnstone.tools.search_engines import PER_FILE, Order

#: Matches told: more than a model can use, less than hurts.
MAX_MATCHES = 1000

#: Characters of a matching line.
MAX_LINE = 400

#: Files named whose name contains the query.
MAX_NAMES = 50

#: Bytes of a line that are compared: at least those that are told.
_COMPARED = 4 * MAX_LINE

#: What ripgrep prints of a binary file in which something matches, with no NUL after the path.
_REMARK = re.compile(rb": binary file matches \(found .* byte around offset \d+\)$")

_NUMBERED = re.compile(rb"(\d+)([:-])(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    number: int  # of the line, or how many match
    text: str = ""
    mark: str = ":"  # `-` for a line around a match


class Findings:
    """Fed with what the programs print; then checked; then told."""

    def __init__(
        self, order: Order, base: Path, context: ToolContext, may_tell: Callable[[Path], bool]
    ) -> None:
        self.notes: list[str] = []
        self._order = order
        self._base = base
        self._context = context
        self._may_tell = may_tell
        self._room = context.max_output
        self._begun = b""
        self._lines: list[_Line] = []
        self._names: list[Path] = []
        self._matches = 0
        self._path, self._told, self._of_path = b"", True, 0

    def add_line(self, line: bytes) -> bool:
        """Whether more is wanted."""
        path, separator, rest = line.partition(b"\0")
        if not separator:
            # The name goes on in the next line, or it is ripgrep's remark about a binary file.
            self._begun = b"" if _REMARK.search(line) else self._begun + line + b"\n"
            return True
        path, self._begun = self._begun + path, b""
        rest = rest.removesuffix(b"\r")
        found = self._found(path)
        if self._order.count:
            entry = _Line(found, int(rest))
        elif numbered := _NUMBERED.match(rest):
            entry = _Line(found, int(numbered[1]), _told(numbered[3]), numbered[2].decode())
        else:
            return True
        if not self._counted(path, entry):
            return True
        self._lines.append(entry)
        self._matches += entry.mark == ":"
        self._room -= len(shown(found, self._context)) + len(entry.text) + 8
        if self._matches < MAX_MATCHES and self._room > 0:
            return True
        what = "files" if self._order.count else "matches"
        self.notes.append(f"stopped at {self._matches:,} {what}; narrow the query or the path")
        return False

    def add_name(self, path: bytes) -> bool:
        """Whether more is wanted."""
        name = path.rpartition(b"/")[2].decode("utf-8", "replace")
        if self._order.query.casefold() in name.casefold() and self._may_tell(self._found(path)):
            self._names.append(self._found(path))
        return len(self._names) <= MAX_NAMES

    @property
    def found_lines(self) -> bool:
        return bool(self._lines)

    def check(self, over: Callable[[], bool]) -> None:
        """Leave out what is not so. Blocks; until `over`."""
        kept: list[_Line] = []
        # Files of one folder follow each other: the way to it is gone once.
        for parent, some in groupby(self._lines, key=lambda line: line.path.parent):
            kept += [] if over() else self._checked(parent, list(some), over)
        if len(kept) < len(self._lines):
            count = len(self._lines) - len(kept)
            self.notes.append(f"{count:,} lines left out: their files changed meanwhile")
        self._lines = kept
        names = [path for path in self._names if self._is_file(path)]
        room = accumulate(len(shown(path, self._context)) + 1 for path in names)
        self._names = [n for n, used in zip(names, room, strict=True) if used <= self._room]
        self._names = self._names[:MAX_NAMES]
        if len(self._names) < len(names):
            self.notes.append(f"stopped at {len(self._names)} file names")

    def text(self) -> str:
        parts: list[str] = []
        before: _Line | None = None
        for line in self._lines:
            name = shown(line.path, self._context)
            apart = before and (before.path, before.number + 1) != (line.path, line.number)
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
            parts += [shown(path, self._context) for path in self._names]
        return "\n".join([*parts, *(f"[{note}]" for note in self.notes)])

    def _found(self, path: bytes) -> Path:
        return self._base / os.fsdecode(path)

    def _counted(self, path: bytes, entry: _Line) -> bool:
        """Whether this file may be told of."""
        if path != self._path:
            self._path, self._told, self._of_path = path, self._may_tell(entry.path), 0
        self._of_path += entry.mark == ":"
        if self._told and self._of_path == PER_FILE and entry.mark == ":":
            name = shown(entry.path, self._context)
            self.notes.append(f"{name}: the first {PER_FILE} matches; there may be more")
        return self._told

    def _checked(self, parent: Path, lines: list[_Line], over: Callable[[], bool]) -> list[_Line]:
        """Those of the lines of a folder's files that are there."""
        kept: list[_Line] = []
        try:
            with folder(root_for(parent, self._context.workspace), parent) as descriptor:
                for path, of_file in groupby(lines, key=lambda line: line.path):
                    kept += [] if over() else self._in_file(descriptor, path.name, [*of_file])
        except OSError:
            pass
        return kept

    def _in_file(self, parent: int, name: str, lines: list[_Line]) -> list[_Line]:
        try:
            with opened(parent, name) as descriptor:
                if self._order.count:
                    return lines
                start = os.pread(descriptor, 4, 0)
                with as_utf8(io.FileIO(descriptor, closefd=False), start) as file:
                    return _there(file, lines)
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


def _there(file: io.BufferedReader, lines: list[_Line]) -> list[_Line]:
    wanted = {line.number: line for line in lines}
    last, found = max(wanted), []
    for number, (raw, _) in enumerate(bounded_lines(file, _COMPARED, lambda: False), 1):
        if number in wanted:
            raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw  # noqa: PLW2901
            if _told(raw.rstrip(b"\r\n")) == wanted[number].text:
                found.append(wanted[number])
        if number >= last:
            break
    return found


def _told(line: bytes) -> str:
    text = line[:_COMPARED].decode("utf-8", "replace")
    if len(text) > MAX_LINE or len(line) >= _COMPARED:
        return f"{text[:MAX_LINE]} [line cut]"
    return text
