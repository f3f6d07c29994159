"""The tool `write_file`: a whole file, new or instead of the old one, at once or not at all.

What is approved is a diff against the content at that time; if the content has changed since,
nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.file_text import marked_encoding
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.files import (
    ABSENT,
    digest,
    digest_of,
    reading,
    replace,
    root_for,
)
from turnstone.tools.paths import resolve, shown
from turnstone.tools.preview import added, difference, other_names
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line
from turnstone.tools.threads import in_thread
from turnstone.tools.writing import attempt, has_become, refusing

#: Bytes of the old and the new content up to which a diff is computed: beyond it takes
#: seconds, and nobody reads it.
_MAX_DIFF = 400_000


_OVERWRITE = "overwrite_file"


class WriteFileArguments(msgspec.Struct, frozen=True):
    path: str
    content: str


class WriteFile:
    """`hidden` are resolved folders and files of our own, which it refuses."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        self._hidden = tuple(hidden)
        self.spec = load_spec("write_file")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("write_file", WriteFileArguments, arguments)
        content = _encoded(wanted.content)
        use = resolve(wanted.path, context, "write", self._hidden)
        name = shown(use.path, context)
        if wanted.path.endswith("/"):
            raise ToolRefused(f"write_file: {name} is a directory.", hint="Name a file in it.")
        with refusing("write_file", name):
            expects, preview = await in_thread(lambda _: _look(use.path, content, context))
        return Prepared(
            tool="write_file",
            arguments=msgspec.to_builtins(wanted),
            effect=self.spec.effect,
            header=f"write_file: {one_line(name)}",
            preview=preview,
            paths=(use,),
            expects=expects,
            label="" if expects == ABSENT or _known(use.path, expects, context) else _OVERWRITE,
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        path = prepared.paths[0].path
        content = str(prepared.arguments["content"])
        root, name = root_for(path, context.workspace), shown(path, context)

        def work() -> str:
            data = _encoded(content)
            replace(root, path, data, expects=prepared.expects)
            context.reads.seen(path, digest_of(data))
            return f"Wrote {len(content):,} characters to {name}."

        return await attempt(name, work)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        wanted = digest_of(_encoded(str(prepared.arguments["content"])))
        return await has_become(prepared.paths[0].path, wanted, prepared.expects, context)


def _known(path: Path, digest: str, context: ToolContext) -> bool:
    """Whether this workstream has seen the whole of this content."""
    return context.reads.digest(path) == digest and context.reads.has_seen_all(path)


def _encoded(content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise ToolRefused(
            "write_file: the argument `content` contains half of a character pair."
        ) from None


def _look(path: Path, content: bytes, context: ToolContext) -> tuple[str, str]:
    """The digest of what is there, and what will become of it. Raises OSError."""
    root = root_for(path, context.workspace)
    try:
        with reading(root, path) as descriptor:
            found = os.fstat(descriptor)
            if found.st_size + len(content) > _MAX_DIFF:
                old = None
            else:
                old = os.fdopen(descriptor, "rb", closefd=False).read()
    except FileNotFoundError:
        return ABSENT, f"new file, {len(content):,} bytes\n{added(content)}"
    note = other_names(found.st_nlink)
    if old is None:
        words = f"replaces {found.st_size:,} bytes by {len(content):,}; too long to compare"
        return digest(root, path), f"{words}\n{note}{added(content)}"
    return digest_of(old), note + _difference(old, content, shown(path, context))


def _difference(old: bytes, new: bytes, name: str) -> str:
    if old == new:
        return "no change: the file has this content already"
    if b"\0" in old and not marked_encoding(old)[1]:
        return f"replaces a binary file of {len(old):,} bytes\n{added(new)}"
    return difference(old, new, name)
