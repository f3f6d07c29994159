"""The tool `search`: lines of files that match, then files whose name does.

The work is done by a program (ripgrep, or our own), which can be stopped at any time; here
is what it may look at, how much of it is told, and in which words.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import is_own
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.files import NotAFile, folder, reason, root_for
from turnstone.tools.paths import is_sensitive, resolve, shown
from turnstone.tools.search_engines import INVALID, PER_FILE, Engine, find_engine
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line

#: Matches told: more than a model can use, less than hurts.
MAX_MATCHES = 1000

#: Characters of a matching line.
MAX_LINE = 400

#: Files named whose name contains the query.
MAX_NAMES = 50

#: What ripgrep prints of a binary file in which something matches, with no NUL after the path.
_REMARK = re.compile(rb": binary file matches \(found .* byte around offset \d+\)$")

#: Bytes. A query is an argument of a program.
_MAX_QUERY = 10_000


class SearchArguments(msgspec.Struct, frozen=True):
    query: str
    path: str | None = None


class Search:
    """`engine` is the program that looks through the files; by default the best there is.

    `hidden` are resolved folders and files of our own: refused, and left out of what is found.
    """

    def __init__(self, engine: Engine | None = None, *, hidden: Sequence[Path] = ()) -> None:
        self._hidden = tuple(hidden)
        self.spec = load_spec("search")
        self._engine = engine or find_engine()

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("search", SearchArguments, arguments)
        _check(wanted.query)
        use = resolve(wanted.path or ".", context, "read", self._hidden)
        place = "" if use.path == context.workspace else f" in {shown(use.path, context)}"
        return Prepared(
            tool="search",
            arguments=msgspec.to_builtins(wanted),
            effect=self.spec.effect,
            header=f"search: {one_line(wanted.query + place)}",
            paths=(replace(use, tree=True),),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        path = prepared.paths[0].path
        query = str(prepared.arguments["query"])
        findings = _Findings(
            query, context, lambda found: self._may_tell(found, path, context.workspace)
        )
        try:
            with _place(path, context) as place:
                findings.base = place.base
                async with asyncio.timeout(context.timeout):
                    await self._search(findings, place)
        except TimeoutError:
            findings.notes.append(f"stopped after {context.timeout:g} s, the time limit")
        except OSError as error:
            return ToolResult("error", f"{shown(path, context)} {reason(error)}.")
        return ToolResult("ok", findings.text())

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None

    def _may_tell(self, found: Path, searched: Path, workspace: Path) -> bool:
        """Whether a file that was found is neither our own nor, by its name, a secret.

        Who has permitted the search of a secret folder has permitted what is in it.
        """
        base = workspace if searched.is_relative_to(workspace) else Path("/")
        if is_sensitive(searched, "read", base):
            base = searched
        return not is_own(found, self._hidden, workspace) and not is_sensitive(found, "read", base)

    async def _search(self, findings: _Findings, place: _Place) -> None:
        query, target = findings.query, place.target
        trial = self._engine.lines(query, os.devnull, literal=False)
        async with _started(trial, place.directory) as process:
            literal = await process.wait() == INVALID
        if literal:
            findings.notes.append("the query is no regular expression; it was taken as text")
        lines = self._engine.lines(query, target, literal=literal)
        await _each(lines, place.directory, b"\n", findings.add_line)
        await _each(self._engine.files(target), place.directory, b"\0", findings.add_name)


@dataclass(frozen=True, slots=True)
class _Place:
    directory: str  # where the program starts
    target: str  # what it looks through, from there
    base: Path  # where that is


class _Findings:
    """What a search has found, within the limits, and what was left out."""

    def __init__(self, query: str, context: ToolContext, may_tell: Callable[[Path], bool]) -> None:
        self.query = query
        self.base = context.workspace
        self.notes: list[str] = []
        self._context = context
        self._may_tell = may_tell
        self._room = context.max_output
        self._begun = b""
        self._lines: list[str] = []
        self._names: list[str] = []
        self._path, self._told, self._of_path = b"", True, 0

    def add_line(self, line: bytes) -> bool:
        """Whether more is wanted."""
        path, separator, rest = line.partition(b"\0")
        if not separator:
            # The name goes on in the next line, or it is ripgrep's remark about a binary file.
            self._begun = b"" if _REMARK.search(line) else self._begun + line
            return True
        path, self._begun = self._begun + path, b""
        if not self._count(path):
            return True
        rest = rest.rstrip(b"\r\n")
        number, _, text = rest.decode("utf-8", "replace").partition(":")
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]} [line cut]"
        self._add(self._lines, f"{self._shown(path)}:{number}:{text}")
        if len(self._lines) < MAX_MATCHES and self._room > 0:
            return True
        self.notes.append(f"stopped at {len(self._lines):,} matches; narrow the query or the path")
        return False

    def add_name(self, line: bytes) -> bool:
        path = line.rstrip(b"\0")
        name = path.rpartition(b"/")[2].decode("utf-8", "replace")
        if self.query.casefold() in name.casefold() and self._may_tell(self._found(path)):
            if len(self._names) == MAX_NAMES or self._room <= 0:
                self.notes.append(f"stopped at {len(self._names)} file names")
                return False
            self._add(self._names, self._shown(path))
        return True

    def text(self) -> str:
        parts = list(self._lines) or ["[no line matches]"]
        if self._names:
            parts += ["", f"Files whose name contains {self.query!r}:", *self._names]
        return "\n".join([*parts, *(f"[{note}]" for note in self.notes)])

    def _shown(self, path: bytes) -> str:
        return shown(self._found(path), self._context)

    def _found(self, path: bytes) -> Path:
        return self.base / os.fsdecode(path)

    def _add(self, to: list[str], text: str) -> None:
        to.append(text)
        self._room -= len(text) + 1

    def _count(self, path: bytes) -> bool:
        """Whether this file may be told of."""
        if path != self._path:
            self._path, self._told, self._of_path = path, self._may_tell(self._found(path)), 0
        self._of_path += 1
        if self._told and self._of_path == PER_FILE:
            self.notes.append(
                f"{self._shown(path)}: the first {PER_FILE} matches; there may be more"
            )
        return self._told


def _check(query: str) -> None:
    if not query:
        raise ToolRefused("search: the argument `query` is empty.")
    if "\n" in query or "\0" in query:
        raise ToolRefused("search: the argument `query` must be one line.")
    try:
        size = len(query.encode())
    except UnicodeEncodeError:
        raise ToolRefused("search: the argument `query` contains half of a character.") from None
    if size > _MAX_QUERY:
        raise ToolRefused(f"search: the argument `query` has {size:,} bytes, which is too long.")


@contextmanager
def _place(path: Path, context: ToolContext) -> Iterator[_Place]:
    """Opened on the way down like any file, so that the program starts in the right folder."""
    root = root_for(path, context.workspace)
    if path == root or _is_folder(root, path):
        base, target = path, "./"
    else:
        base, target = path.parent, f"./{path.name}"
    with folder(root, base) as descriptor:
        held = f"/proc/self/fd/{descriptor}"
        yield _Place(held if os.path.isdir(held) else str(base), target, base)


def _is_folder(root: Path, path: Path) -> bool:
    with folder(root, path.parent) as parent:
        mode = os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise NotAFile("is neither a file nor a folder")
        return stat.S_ISDIR(mode)


async def _each(argv: list[str], directory: str, end: bytes, take: Callable[[bytes], bool]) -> None:
    """Give what a program prints to `take`, piece by piece, until it has enough."""
    async with _started(argv, directory) as process:
        assert process.stdout is not None
        while piece := await _until(end, process.stdout):
            if not take(piece):
                break


async def _until(end: bytes, stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(end)
    except asyncio.IncompleteReadError as rest:
        return rest.partial


@asynccontextmanager
async def _started(argv: list[str], directory: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is gone when this is left, in whichever way."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=directory,
        env={"LC_ALL": "C.UTF-8"},  # no settings of a person's ripgrep, and no secrets
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.shield(process.communicate())
