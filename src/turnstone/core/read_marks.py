"""What a workstream has seen of files, and where its own edits have moved the text. Pure.

In memory alone: after a restart, and after a long sleep, every file is unread again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

#: Edits of one file that are remembered; whoever waits longer is asked to read again.
_REMEMBERED = 1000

#: As a last line: to the end.
TO_THE_END = 1 << 62


@dataclass(frozen=True, slots=True)
class OwnEdit:
    """One edit of this workstream: between which contents (digests), and where.

    `start` and the sizes are characters of the text with line feeds alone; `line` and `lines`
    are the first line of what was replaced and how many lines it touched, `by` how many lines
    stand there now.
    """

    before: str
    after: str
    start: int
    removed: int
    added: int
    line: int
    lines: int
    by: int


@dataclass(slots=True)
class _Mark:
    digest: str
    lines: list[tuple[int, int]]
    edits: list[OwnEdit] = field(default_factory=list)
    cut: bool = False  # a part of one of the lines was not shown


class ReadMarks:
    """Which lines of which content of a file this workstream has seen: read, or written itself."""

    def __init__(self) -> None:
        self._marks: dict[Path, _Mark] = {}

    def seen(
        self,
        path: Path,
        digest: str,
        first: int = 1,
        last: int = TO_THE_END,
        *,
        cut: bool = False,
    ) -> None:
        """These lines of this content, beside those of the same content that were seen before.

        `cut`: of one of them a part only. Enough to edit it, and not to overwrite the file."""
        mark = self._marks.get(path)
        if mark is None or mark.digest != digest:
            mark = self._marks[path] = _Mark(digest, [])
        whole = (first, last) == (1, TO_THE_END)
        mark.cut = cut or (mark.cut and not whole)
        mark.lines.append((first, last))

    def edited(self, path: Path, edit: OwnEdit) -> None:
        """It was changed from a content that was seen, and what came of it is seen as far."""
        mark = self._marks.get(path)
        if mark is None or mark.digest != edit.before:
            mark = _Mark(edit.before, [])
        lines = [(edit.line, edit.line + edit.by - 1)]
        for first, last in mark.lines:
            lines.append((first, min(last, edit.line - 1)))
            below = max(first, edit.line + edit.lines)
            moved = edit.by - edit.lines
            lines.append((below + moved, last if last == TO_THE_END else last + moved))
        kept = [(first, last) for first, last in lines if first <= last]
        self._marks[path] = _Mark(edit.after, kept, [*mark.edits, edit][-_REMEMBERED:], mark.cut)

    def digest(self, path: Path) -> str:
        """Of the content of which something was seen last; empty if nothing was."""
        mark = self._marks.get(path)
        return mark.digest if mark else ""

    def has_seen_all(self, path: Path) -> bool:
        """Whether the whole of that content was."""
        mark = self._marks.get(path)
        return mark is not None and not mark.cut and self.has_seen(path)

    def has_seen(self, path: Path, first: int = 1, last: int = TO_THE_END) -> bool:
        """Whether all these lines of that content were, or parts of them."""
        mark = self._marks.get(path)
        for begin, end in sorted(mark.lines) if mark else ():
            if begin > first:
                return False
            first = max(first, end + 1)
            if first > last:
                return True
        return False

    def carried(self, path: Path, before: str, now: str, start: int, size: int) -> int | None:
        """Where the `size` characters at `start` of the content `before` stand in `now`.

        None if they do not stand anywhere: an edit has changed some of them, or not this
        workstream's edits alone lead from one content to the other.
        """
        if before == now:
            return start
        mark = self._marks.get(path)
        for edit in _leading(mark.edits if mark else [], before, now):
            if edit.start + edit.removed <= start:
                start += edit.added - edit.removed
            elif edit.start < start + size:
                return None
            before = edit.after
        return start if before == now else None


def _leading(edits: list[OwnEdit], before: str, now: str) -> list[OwnEdit]:
    """The last edits in a row from the content `before` to `now`; none if there are no such."""
    if not edits or edits[-1].after != now:
        return []
    for at in range(len(edits) - 1, -1, -1):
        if at + 1 < len(edits) and edits[at].after != edits[at + 1].before:
            return []
        if edits[at].before == before:
            return edits[at:]
    return []
