"""From a path as a model writes it to the path that is shown, judged and opened.

A path is resolved once, here; `turnstone.tools.files` then opens exactly the result, and
follows no link on the way. Compares whole components, never prefixes of text.
"""

from __future__ import annotations

import os
import unicodedata
from fnmatch import fnmatchcase
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.tool import Access, PathUse, ToolContext

#: Bytes; what Linux takes.
_MAX_PATH = 4096
_MAX_NAME = 255

#: Names of files and folders that hold credentials, wherever they are.
SECRET_NAMES = (
    ".env*",
    "*.pem",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".git-credentials",
    ".aws",
    ".azure",
    ".gnupg",
    ".kube",
    ".ssh",
    ".turnstone",
)

#: Names of files and folders from which something is started later, by itself, with the
#: person's rights: harmless to read, and asked about before they are written.
STARTER_NAMES = (
    ".bash*",
    ".zsh*",
    ".zprofile",
    ".profile",
    ".gitconfig",
    ".gitmodules",
    ".gitattributes",
    ".mcp.json",
    ".envrc",
    ".pre-commit-config.yaml",
    ".github",
    ".gitlab-ci.yml",
    ".circleci",
    ".vscode",
    ".idea",
    ".husky",
    ".ci",
    "jenkinsfile",
)

#: The same, by the folder that they lie in.
_STARTER_PLACES = ((".git", "config"), (".git", "hooks"))
_SECRET_PLACES = ((".git", "config"), (".config", "turnstone"), (".local", "share", "turnstone"))


def resolve(raw: str, context: ToolContext, access: Access) -> PathUse:
    """Links followed, `~` expanded, relative to the workspace.

    What is in a sensitive place counts as outside, so that it is asked about.
    Raises ToolRefused for what can be no path.
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
    path = Path(os.path.realpath(context.workspace / expanded))
    inside = path.is_relative_to(context.workspace) and not is_sensitive(path, access, context)
    return PathUse(path, access, inside)


def shown(path: Path, context: ToolContext) -> str:
    """Relative to the workspace where it is in there, otherwise absolute."""
    if path == context.workspace:
        return "."
    if path.is_relative_to(context.workspace):
        return str(path.relative_to(context.workspace))
    return str(path)


def is_sensitive(path: Path, access: Access, context: ToolContext) -> bool:
    """Whether reading it would show credentials, or writing it start something later.

    Case and Unicode form do not matter, since to some file systems they do not. Folders
    above the workspace do not count: the person has chosen to work below them.
    """
    base = context.workspace
    parts = path.relative_to(base).parts if path.is_relative_to(base) else path.parts
    folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
    writes = access == "write"
    names = (*SECRET_NAMES, *(STARTER_NAMES if writes else ()))
    places = (*_SECRET_PLACES, *(_STARTER_PLACES if writes else ()))
    return any(fnmatchcase(part, name) for part in folded for name in names) or any(
        tuple(folded[i : i + len(place)]) == place for place in places for i in range(len(folded))
    )
