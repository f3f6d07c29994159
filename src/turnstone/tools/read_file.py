"""The tool `read_file`: lines of a text file, numbered. Reads by range, never a file as a whole."""

from __future__ import annotations

import difflib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import is_own
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.files import reading, reason, root_for
from turnstone.tools.paths import resolve, shown
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line
from turnstone.tools.threads import in_thread

#: Bytes at the start of a file that are looked at to tell text from binary, as git does.
_SNIFF = 8000

#: Bytes of one line that are kept; what is longer is data rather than text.
_MAX_LINE = 10_000

#: Names that a model may have meant.
_NEAR = 3

_MAGIC = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive, or a document made of one"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x7fELF", "ELF program"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


class ReadFileArguments(msgspec.Struct, frozen=True):
    path: str
    offset: int | None = None
    limit: int | None = None


class ReadFile:
    """`hidden` are resolved folders and files of our own, which it refuses."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        self._hidden = tuple(hidden)
        self.spec = load_spec("read_file")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("read_file", ReadFileArguments, arguments)
        for name, value in (("offset", wanted.offset), ("limit", wanted.limit)):
            if value is not None and value < 1:
                raise ToolRefused(f"read_file: the argument `{name}` must be 1 or more.")
        use = resolve(wanted.path, context, "read", self._hidden)
        return Prepared(
            tool="read_file",
            arguments=msgspec.to_builtins(wanted),
            effect=self.spec.effect,
            header=f"read_file: {one_line(shown(use.path, context))}",
            paths=(use,),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        path = prepared.paths[0].path
        wanted = msgspec.convert(prepared.arguments, ReadFileArguments)
        try:
            return await in_thread(lambda stop: _read(path, wanted, context, stop))
        except OSError as error:
            hint = (
                _near(path, context, self._hidden) if isinstance(error, FileNotFoundError) else ""
            )
            return ToolResult("error", f"{shown(path, context)} {reason(error)}.{hint}")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def _read(
    path: Path, wanted: ReadFileArguments, context: ToolContext, stop: threading.Event
) -> ToolResult:
    with reading(root_for(path, context.workspace), path) as descriptor:
        file = os.fdopen(descriptor, "rb", closefd=False)
        start = file.peek(_SNIFF)[:_SNIFF]
        if kind := _binary(start):
            size = os.fstat(descriptor).st_size
            words = f"{shown(path, context)} is a binary file ({kind}, {size:,} bytes)"
            return ToolResult("error", f"{words}; read_file reads text.")
        deadline = time.monotonic() + context.timeout
        over = lambda: stop.is_set() or time.monotonic() > deadline  # noqa: E731
        return ToolResult("ok", _lines(file, wanted, context, over))


def _binary(start: bytes) -> str:
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    return "of unknown kind" if b"\0" in start else ""


def _lines(
    file: io.BufferedReader,
    wanted: ReadFileArguments,
    context: ToolContext,
    over: Callable[[], bool],
) -> str:
    first = wanted.offset or 1
    shown_lines: list[str] = []
    room, number = context.max_output, 0
    for number, raw in enumerate(_bounded(file, over), 1):
        if over():
            return f"[stopped at line {number}: the time limit of {context.timeout:g} s]"
        if number < first:
            continue
        if wanted.limit is not None and number >= first + wanted.limit:
            break
        line = f"{number:>4}\t{_text(raw, first=number == 1)}"
        room -= len(line) + 1
        if room < 0 and shown_lines:
            shown_lines.append(_go_on(number, context))
            break
        shown_lines.append(cut_middle(line, context.max_output))
    if shown_lines:
        return "\n".join(shown_lines)
    return f"[the file ends at line {number}, before line {first}]" if number else "[empty file]"


def _go_on(number: int, context: ToolContext) -> str:
    limit = f"{context.max_output:,} characters"
    return f"[cut off here at {limit}; go on with offset {number}]"


def _bounded(file: io.BufferedReader, over: Callable[[], bool]) -> Iterator[bytes]:
    """Lines, of each at most so much that a file of one line does not fill the memory."""
    while line := file.readline(_MAX_LINE):
        dropped = 0
        rest = line
        while not rest.endswith(b"\n") and not over() and (rest := file.readline(_MAX_LINE)):
            dropped += len(rest.removesuffix(b"\n"))
        if dropped:
            line += f" [{dropped:,} bytes of this line left out]".encode()
        yield line


def _text(raw: bytes, *, first: bool) -> str:
    encoding = "utf-8-sig" if first else "utf-8"
    return raw.decode(encoding, "replace").rstrip()


def _near(path: Path, context: ToolContext, hidden: Sequence[Path]) -> str:
    """Names beside the missing one that look like it; of the workspace only."""
    if not path.is_relative_to(context.workspace):
        return ""
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return ""
    near = [
        name
        for name in difflib.get_close_matches(path.name, names, n=_NEAR)
        if not is_own(path.with_name(name), hidden, context.workspace)
    ]
    if not near:
        return ""
    return " Did you mean " + " or ".join(shown(path.with_name(n), context) for n in near) + "?"
