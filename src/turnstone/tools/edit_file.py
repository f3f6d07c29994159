"""The tool `edit_file`: one piece of a file replaced by another. Where is said by `core.edit`.

Only lines that this workstream has seen as they are now are replaced. What is approved is the diff
at that time. If the file has changed since then by edits of this workstream alone, and not there,
the same lines are replaced where they stand by now; otherwise nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.edit import Edit, Refusal, change
from turnstone.core.errors import ToolRefused
from turnstone.core.read_marks import OwnEdit
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.files import (
    MAX_EDITED,
    Changed,
    content,
    digest_of,
    replace,
    root_for,
)
from turnstone.tools.paths import resolve, shown
from turnstone.tools.preview import difference, other_names
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line
from turnstone.tools.threads import in_thread
from turnstone.tools.writing import attempt, has_become, refusing

_AGAIN = "Read it again, then edit it."


class EditFileArguments(msgspec.Struct, frozen=True):
    path: str
    old_string: str
    new_string: str
    near_line: int | None = None


class EditFile:
    """`hidden` are resolved folders and files of our own, which it refuses."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        self._hidden = tuple(hidden)
        self.spec = load_spec("edit_file")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("edit_file", EditFileArguments, arguments)
        use = resolve(wanted.path, context, "write", self._hidden)
        name = shown(use.path, context)
        preview, expects = "", context.decided
        if not expects:
            with refusing("edit_file", name):
                expects, preview = await in_thread(lambda _: _look(use.path, wanted, context))
        return Prepared(
            tool="edit_file",
            arguments=msgspec.to_builtins(wanted),
            effect=self.spec.effect,
            header=f"edit_file: {one_line(name)}",
            preview=preview,
            paths=(use,),
            expects=expects,
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        name = shown(prepared.paths[0].path, context)

        def work() -> str:
            edit = _make(prepared, context)
            note = f" ({edit.note()})" if edit.how != "exact" else ""
            return f"Replaced 1 occurrence in {name}, at line {edit.line}{note}."

        return await attempt(name, work)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        before, after, *_ = prepared.expects.split()
        return await has_become(prepared.paths[0].path, after, before, context)


def _look(path: Path, wanted: EditFileArguments, context: ToolContext) -> tuple[str, str]:
    """What must be there, and come of it; and the preview. Raises OSError, ToolRefused."""
    name = shown(path, context)
    old, found = content(root_for(path, context.workspace), path, MAX_EDITED)
    before = digest_of(old)
    seen = context.reads.digest(path)
    if not seen:
        raise ToolRefused(
            f"edit_file: {name} has not been read in this workstream since it was last"
            " started. Read it first, then edit it."
        )
    if seen != before:
        raise ToolRefused(f"edit_file: {name} has changed since it was read. {_AGAIN}")
    edit = change(old, wanted.old_string, wanted.new_string, wanted.near_line)
    if isinstance(edit, Refusal):
        raise ToolRefused(f"edit_file: {name}: {edit.reason}")
    last = edit.line + _lines(edit.removed) - 1
    if not context.reads.has_seen(path, edit.line, last):
        which = f"line {last}" if last == edit.line else f"lines {edit.line} to {last}"
        raise ToolRefused(f"edit_file: {which} of {name} have not been read. {_AGAIN}")
    note = f"[{edit.note()}]\n" if edit.how != "exact" else ""
    preview = note + other_names(found.st_nlink) + difference(old, edit.data, name)
    place = f"{edit.start} {len(edit.removed)}"
    return f"{before} {digest_of(edit.data)} {_replacement(edit)} {place}", preview


def _make(prepared: Prepared, context: ToolContext) -> Edit:
    """Raises Changed, or OSError."""
    path = prepared.paths[0].path
    root = root_for(path, context.workspace)
    before, _, replacement, start, size = prepared.expects.split()
    wanted = msgspec.convert(prepared.arguments, EditFileArguments)
    old, _ = content(root, path, MAX_EDITED)
    now = digest_of(old)
    at = context.reads.carried(path, before, now, int(start), int(size))
    if at is None:
        raise Changed
    edit = change(old, wanted.old_string, wanted.new_string, at=at)
    if isinstance(edit, Refusal) or _replacement(edit) != replacement:
        raise Changed
    replace(root, path, edit.data, expects=now)
    context.reads.edited(path, _own(edit, now))
    return edit


def _own(edit: Edit, before: str) -> OwnEdit:
    lines = _lines(edit.removed)
    return OwnEdit(
        before=before,
        after=digest_of(edit.data),
        start=edit.start,
        removed=len(edit.removed),
        added=len(edit.added),
        line=edit.line,
        lines=lines,
        by=lines + edit.added.count("\n") - edit.removed.count("\n"),
    )


def _lines(text: str) -> int:
    """How many lines this is, or is part of."""
    return text.count("\n") + (not text.endswith("\n"))


def _replacement(edit: Edit) -> str:
    """What is replaced by what, wherever it stands."""
    return digest_of(f"{len(edit.removed)}\0{edit.removed}\0{edit.added}".encode())
