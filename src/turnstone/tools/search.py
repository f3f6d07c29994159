"""The tool `search`: lines of files that match, then files whose name does.

The work is done by a program (ripgrep, or our own), which can be stopped at any time; here
is what it may look at, how much of it is told, and in which words.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import folded_names, is_own
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.files import NotAFile, folder, reason, root_for
from turnstone.tools.globs import GlobError, expression
from turnstone.tools.paths import in_outputs, resolve, shown, shows_secrets
from turnstone.tools.search_engines import INVALID, Engine, Order, find_engine
from turnstone.tools.search_findings import Findings
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line
from turnstone.tools.threads import in_thread

_AS_TEXT = "the query is no regular expression; it was taken as text"

#: Seconds to look again at what was found until the time was over.
_CHECK = 1.0

#: Lines around a match that can be asked for.
_MAX_CONTEXT = 20

#: Bytes of a program's output that are taken at once.
_CHUNK = 64 * 1024

#: Bytes. A query is an argument of a program.
_MAX_QUERY = 10_000


class SearchArguments(msgspec.Struct, frozen=True):
    query: str
    path: str | None = None
    glob: str | None = None
    context: int | None = None
    count: bool | None = None
    gitignore: bool | None = None


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
        _check(wanted)
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
        wanted = msgspec.convert(prepared.arguments, SearchArguments)
        try:
            with _place(path, context) as place:
                order = Order(
                    query=wanted.query,
                    target=place.target,
                    glob=wanted.glob or "",
                    context=wanted.context or 0,
                    count=bool(wanted.count),
                    gitignore=bool(wanted.gitignore),
                )
                findings = Findings(
                    order,
                    place.base,
                    context,
                    lambda found: (
                        in_outputs(found, context) or self._may_tell(found, path, context.workspace)
                    ),
                    lambda found: not self._holds_own(found),
                )
                await self._search(findings, order, place, context.timeout)
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
        if shows_secrets(searched, base):
            base = searched
        return not is_own(found, self._hidden, workspace) and not shows_secrets(found, base)

    def _holds_own(self, folder: Path) -> bool:
        """Whether something of our own may lie in this folder itself."""
        parts = folded_names(folder.parts)
        own = [folded_names(entry.parts) for entry in self._hidden]
        return any(parts in (entry, entry[:-1]) for entry in own)

    async def _search(
        self, findings: Findings, order: Order, place: _Place, timeout: float
    ) -> None:
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as both:
                names = self._engine.files(order)
                both.create_task(_each(names, place.directory, b"\0", findings.add_names))
                await self._search_lines(findings, order, place)
        except TimeoutError:
            findings.notes.append(f"stopped after {timeout:g} s, the time limit")
            deadline = time.monotonic() + _CHECK
        findings.settle()
        await in_thread(
            lambda stop: findings.check(lambda: stop.is_set() or time.monotonic() > deadline)
        )

    async def _search_lines(self, findings: Findings, order: Order, place: _Place) -> None:
        code = await self._gather(findings, order, place)
        if code != INVALID or findings.found_lines:
            return
        # It may also be that a file could not be read: that the query is the reason shows where
        # there is none.
        trial = self._engine.lines(replace(order, target=os.devnull))
        if await _each(trial, place.directory, b"\n", lambda _: True) == INVALID:
            findings.notes.append(_AS_TEXT)
            await self._gather(findings, replace(order, literal=True), place)

    async def _gather(self, findings: Findings, order: Order, place: _Place) -> int | None:
        """All lines on all cores, to be put in order; where they are too many for that, the
        first ones in order on one."""
        lines = self._engine.lines(order)
        code = await _each(lines, place.directory, b"\n", findings.gather)
        if findings.gathered_all:
            return code
        findings.forget()
        lines = self._engine.lines(replace(order, in_order=True))
        return await _each(lines, place.directory, b"\n", findings.add_lines)


@dataclass(frozen=True, slots=True)
class _Place:
    directory: str  # where the program starts
    target: str  # what it looks through, from there
    base: Path  # where that is


def _check(wanted: SearchArguments) -> None:
    query, glob = wanted.query, wanted.glob or ""
    for name, text in (("query", query), ("glob", glob)):
        if "\n" in text or "\0" in text:
            raise ToolRefused(f"search: the argument `{name}` must be one line.")
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            words = f"search: the argument `{name}` contains half of a character."
            raise ToolRefused(words) from None
        if size > _MAX_QUERY:
            raise ToolRefused(f"search: the argument `{name}` has {size:,} bytes: too long.")
    if not query:
        raise ToolRefused("search: the argument `query` is empty.")
    try:
        expression(glob.removeprefix("!"))
    except GlobError as error:
        raise ToolRefused(f"search: the argument `glob` cannot be used: {error}.") from None
    if not 0 <= (wanted.context or 0) <= _MAX_CONTEXT:
        raise ToolRefused(f"search: the argument `context` must be 0 to {_MAX_CONTEXT}.")


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


async def _each(
    argv: list[str], directory: str, end: bytes, take: Callable[[bytes], bool]
) -> int | None:
    """Give what a program prints to `take`, some whole pieces at a time, until it has enough.

    A piece ends with `end`, of which the last one is left out. The exit code, if it came to its
    end.
    """
    async with _started(argv, directory) as process:
        assert process.stdout is not None
        rest = b""
        while data := await process.stdout.read(_CHUNK):
            whole, ended, last = data.rpartition(end)
            if not ended:
                rest += last
                continue
            pieces, rest = rest + whole, last
            if not take(pieces):
                return None
        if rest:
            take(rest)
        return await process.wait()


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
