"""The tool `read_file`: lines of a text file, numbered; pages of a PDF; what another file is.

Never holds a file as a whole. Of a text up to a certain size all is read, so that it is known
exactly of which content the workstream has seen the lines that are shown; the others stay unseen.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from turnstone.core.attachments import MAX_IMAGE, MAX_SIDE
from turnstone.core.errors import ToolRefused
from turnstone.core.file_text import marked_encoding
from turnstone.core.outputs import keep_image
from turnstone.core.read_marks import TO_THE_END
from turnstone.core.sensitive import is_own
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.decoded import as_utf8, bounded_lines
from turnstone.tools.described import kind_of, pixels, read_at_most
from turnstone.tools.files import MAX_EDITED, reading, reason, root_for
from turnstone.tools.foreign import ForeignReader, Found, TookTooLong
from turnstone.tools.paths import resolve, shown
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line
from turnstone.tools.threads import in_thread

#: Bytes at the start of a file that are looked at to tell text from binary, as git does.
_SNIFF = 8000

#: Bytes of one line that are kept; what is longer is data rather than text.
_MAX_LINE = 10_000

#: Bytes of one read of what is not shown.
_CHUNK = 256 * 1024

#: Bytes of a PDF.
_MAX_PDF = 200_000_000

#: The images that models take, and how their files are called.
_ENDINGS = {"PNG image": "png", "JPEG image": "jpg", "GIF image": "gif", "WebP image": "webp"}

#: Names that a model may have meant.
_NEAR = 3


class ReadFileArguments(msgspec.Struct, frozen=True):
    path: str
    offset: int | None = None
    limit: int | None = None


class ReadFile:
    """`hidden` are resolved folders and files of our own, which it refuses. `reader` reads PDFs;
    by default without a sandbox."""

    def __init__(self, hidden: Sequence[Path] = (), reader: ForeignReader | None = None) -> None:
        self._hidden = tuple(hidden)
        self._reader = reader or ForeignReader()
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
            with tempfile.TemporaryFile() as copy:
                result = await in_thread(lambda stop: _read(path, wanted, context, copy, stop))
                if result is None:
                    name = shown(path, context)
                    return await _pdf(self._reader, copy, name, wanted, context)
                return result
        except OSError as error:
            hint = (
                _near(path, context, self._hidden) if isinstance(error, FileNotFoundError) else ""
            )
            return ToolResult("error", f"{shown(path, context)} {reason(error)}.{hint}")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def _read(
    path: Path,
    wanted: ReadFileArguments,
    context: ToolContext,
    copy: IO[bytes],
    stop: threading.Event,
) -> ToolResult | None:
    """What is told of the file; None of a PDF, which is put into `copy`."""
    deadline = time.monotonic() + context.timeout
    over = lambda: stop.is_set() or time.monotonic() > deadline  # noqa: E731 - two conditions, one name
    with reading(root_for(path, context.workspace), path) as descriptor:
        start = os.pread(descriptor, _SNIFF, 0)
        kind = "" if marked_encoding(start)[1] else kind_of(start)
        if kind == "PDF document":
            return _copied(descriptor, copy, shown(path, context), over)
        if kind:
            return _described(kind, descriptor, shown(path, context), context)
        hashed = _Hashed(descriptor)
        text, last, cut = _lines(as_utf8(hashed, start), wanted, context, over)
        if digest := hashed.rest(MAX_EDITED, over):
            context.reads.seen(path, digest, wanted.offset or 1, last, cut=cut)
        return ToolResult("ok", text)


class _Hashed(io.RawIOBase):
    """A file that remembers what was read of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sum = hashlib.sha256()
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.readv(self._descriptor, [buffer])
        self._sum.update(memoryview(buffer)[:count])
        self._size += count
        return count

    def rest(self, most: int, over: Callable[[], bool]) -> str:
        """Read on to the end. The digest of all; empty if that is too much, or takes too long."""
        buffer = bytearray(_CHUNK)
        while self._size <= most and not over():
            if not self.readinto(buffer):
                return self._sum.hexdigest()
        return ""


def _described(kind: str, descriptor: int, name: str, context: ToolContext) -> ToolResult:
    size = f"{os.fstat(descriptor).st_size:,} bytes"
    if kind.endswith("image"):
        return _image(kind, descriptor, name, size, context)
    words = f"{name} is a binary file ({kind}, {size})"
    return ToolResult("error", f"{words}; read_file reads text.")


def _copied(
    descriptor: int, copy: IO[bytes], name: str, over: Callable[[], bool]
) -> ToolResult | None:
    """None once all is copied: what reads a PDF is not given the file itself, which it could
    open again by its descriptor, and change."""
    size = 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    while not over() and (data := os.read(descriptor, _CHUNK)):
        size += len(data)
        if size > _MAX_PDF:
            words = f"{name} is a PDF larger than the {_MAX_PDF:,} bytes that are read of one"
            return ToolResult("error", f"{words}.")
        copy.write(data)
    return None


async def _pdf(
    reader: ForeignReader,
    file: IO[bytes],
    name: str,
    wanted: ReadFileArguments,
    context: ToolContext,
) -> ToolResult:
    file.seek(0, os.SEEK_END)
    size, first = f"{file.tell():,} bytes", wanted.offset or 1
    task = {"task": "pdf", "first": first, "count": wanted.limit, "room": context.max_output}
    try:
        found = await reader.read(task, file, context.timeout)
    except TookTooLong:
        found = Found(error="takes longer to read than the time limit")
    if found.error:
        return ToolResult("error", f"{name} is a PDF ({size}) that {found.error}.")
    return ToolResult("ok", _pages(found, first, wanted.limit, f"{name}: PDF, {size}", context))


def _image(kind: str, descriptor: int, name: str, size: str, context: ToolContext) -> ToolResult:
    """What an image is; and itself, where the model takes images and this one is of a kind and
    a size that providers take."""
    found = pixels(descriptor)
    told = f"{kind}, {found[0]} x {found[1]} pixels" if found else kind
    words = f"{name} is an image ({told}, {size})."
    if not context.images or context.outputs is None:
        return ToolResult("ok", f"{words} Only this can be told of it: the model takes no images.")
    ending = _ENDINGS.get(kind)
    if ending is None or found is None:
        return ToolResult("ok", f"{words} It is not shown: models take {', '.join(_ENDINGS)}.")
    data = read_at_most(descriptor, MAX_IMAGE)
    if len(data) > MAX_IMAGE or min(found) < 1 or max(found) > MAX_SIDE:
        most = f"{MAX_IMAGE:,} bytes and {MAX_SIDE:,} pixels a side"
        return ToolResult("ok", f"{words} It is not shown: the limit is {most}.")
    kept = keep_image(context.outputs, data, ending)
    return ToolResult("ok", f"{words} It is shown below.", images=(kept,))


def _pages(found: Found, first: int, limit: int | None, title: str, context: ToolContext) -> str:
    parts = [f"[{title}, {found.pages} pages; offset and limit count pages]"]
    if first > found.pages:
        parts.append(f"[it ends at page {found.pages}, before page {first}]")
    parts += [
        f"[page {number}]\n{text or '[no text on this page; it may be an image]'}"
        for number, text in enumerate(found.texts, first)
    ]
    last = min(found.pages, first + limit - 1) if limit else found.pages
    following = first + len(found.texts)
    if len(found.texts) == 1 and len(found.texts[0]) >= context.max_output:
        parts.append(f"[this page is cut off here at {context.max_output:,} characters]")
    if following <= last:
        parts.append(_go_on(following, context))
    return "\n\n".join(parts)


def _lines(
    file: io.BufferedReader,
    wanted: ReadFileArguments,
    context: ToolContext,
    over: Callable[[], bool],
) -> tuple[str, int, bool]:
    """The text that is told, the last line of the file that is in it, and whether a part of a
    line was left out."""
    first = wanted.offset or 1
    last = TO_THE_END
    cut = False
    shown_lines: list[str] = []
    room, number = context.max_output, 0
    for number, (raw, dropped) in enumerate(bounded_lines(file, _MAX_LINE, over), 1):
        if over():
            return f"[stopped at line {number}: the time limit of {context.timeout:g} s]", 0, False
        if number < first:
            continue
        if wanted.limit is not None and number >= first + wanted.limit:
            last = number - 1
            break
        line = f"{number:>4}\t{_text(raw, first=number == 1)}"
        if dropped:
            line += f" [{dropped:,} bytes of this line left out]"
        room -= len(line) + 1
        if room < 0 and shown_lines:
            shown_lines.append(_go_on(number, context))
            last = number - 1
            break
        cut |= bool(dropped) or len(line) > context.max_output
        shown_lines.append(cut_middle(line, context.max_output))
    if shown_lines:
        return "\n".join(shown_lines), last, cut
    ends = f"[the file ends at line {number}, before line {first}]"
    return ends if number else "[empty file]", last, cut


def _go_on(number: int, context: ToolContext) -> str:
    limit = f"{context.max_output:,} characters"
    return f"[cut off here at {limit}; go on with offset {number}]"


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
