"""From a path as a model writes it to the path that is shown, judged and opened.

A path is resolved once, here; `turnstone.tools.files` then opens exactly the result, and
follows no link on the way. Compares whole components, never prefixes of text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import is_own, is_secret, is_starter
from turnstone.core.tool import Access, PathUse, ToolContext
from turnstone.tools.text import visible

#: Bytes; what Linux takes.
_MAX_PATH = 4096
_MAX_NAME = 255

#: How often links are followed anew that change meanwhile.
_TRIES = 100


def resolve(raw: str, context: ToolContext, access: Access, hidden: Sequence[Path] = ()) -> PathUse:
    """Links followed, `~` expanded, relative to the workspace.

    What is in a sensitive place counts as outside, so that it is asked about.
    Raises ToolRefused for what can be no path, and for what is in one of `hidden`.
    """
    if not raw.strip():
        raise ToolRefused("The argument `path` is empty.")
    if "\0" in raw:
        raise ToolRefused("The argument `path` contains a NUL character, which no path has.")
    try:
        size = len(os.fsencode(raw))
        longest = max(len(os.fsencode(part)) for part in raw.split("/"))
    except UnicodeEncodeError:
        raise ToolRefused("The argument `path` contains half of a character pair.") from None
    if size > _MAX_PATH or longest > _MAX_NAME:
        raise ToolRefused(f"The argument `path` is too long: {size} bytes.")
    # `~` and `~/…` alone: `~other` names somebody else's home, and is a fine file name too.
    expanded = os.path.expanduser(raw) if raw == "~" or raw.startswith("~/") else raw
    path = _followed(context.workspace / expanded)
    if access == "read" and in_outputs(path, context):
        return PathUse(path, access, inside=True)
    if is_own(path, hidden, context.workspace):
        raise ToolRefused(
            f"{shown(path, context)} belongs to turnstone itself; no tool may use it."
        )
    base = context.workspace
    secret = shows_secrets(path, base)
    starts = access == "write" and not secret and is_starter(_below(path, base))
    inside = path.is_relative_to(base) and not secret and not starts
    return PathUse(path, access, inside, secret or starts, starts=starts)


def in_outputs(path: Path, context: ToolContext) -> bool:
    """Whether it is among the whole outputs of this workstream, which it may read."""
    return context.outputs is not None and path.is_relative_to(context.outputs)


def _followed(path: Path) -> Path:
    """Links followed. Somebody may be changing one at this moment: then it is tried again."""
    for _ in range(_TRIES):
        try:
            return Path(os.path.realpath(path))
        except OSError:
            continue
    raise ToolRefused("The argument `path` leads through links that keep changing.")


def shown(path: Path, context: ToolContext) -> str:
    """Relative to the workspace where it is in there, otherwise absolute; on one line, visible."""
    if path == context.workspace:
        return "."
    if path.is_relative_to(context.workspace):
        return shown_name(str(path.relative_to(context.workspace)))
    return shown_name(str(path))


def shown_name(name: str) -> str:
    """A name in which nothing is unseen, and that takes one line."""
    return visible(name).replace("\n", "\\n").replace("\t", "\\t")


def shows_secrets(path: Path, base: Path) -> bool:
    """Whether reading it would show credentials. Folders above `base` do not count: the person
    has chosen to work below them."""
    return is_secret(_below(path, base))


def _below(path: Path, base: Path) -> Sequence[str]:
    return path.relative_to(base).parts if path.is_relative_to(base) else path.parts
