"""Whether a command may write what other programs start later: `.envrc`, `.git`, `.vscode`. Pure.

Looks at names in the text alone, so it is a reason to ask and no protection: a name that is put
together at run time, or that a program makes by itself, is not seen. What a command has made is
told after it.
"""

from __future__ import annotations

import re

from turnstone.core import shell
from turnstone.core.sensitive import is_starter
from turnstone.core.shell_options import without_global_options
from turnstone.core.shell_programs import (
    ALWAYS_OPAQUE,
    INTERPRETERS,
    SHELLS,
    TEXT_RUNNERS,
    WRAPPERS,
    base_name,
)
from turnstone.core.shell_readers import why_not

#: Take away, or look, with whatever options; beside what `shell_readers` knows. Not `cd`: what
#: follows it writes there without the name.
_HARMLESS = frozenset("rm rmdir test [ [[ which type grep egrep fgrep cat ls head tail wc".split())
_HARMLESS_OF_GIT = frozenset("add commit rm check-ignore check-attr".split())

_APART = re.compile(r"[\s'\"\\;&|<>(){}`$=:,!]+")
_WRITTEN = re.compile(r">[|&]?\s*([^\s;&|<>()]+)")
_PARTS = re.compile(r"[=:,]")

#: Are given programs as text, in which a name stands among others.
_GIVEN_TEXT = SHELLS | TEXT_RUNNERS | INTERPRETERS | WRAPPERS | ALWAYS_OPAQUE


def planted(script: str) -> str:
    """What the script names and may write, as it stands there; empty for nothing."""
    names = [word for word in _APART.split(script) if _is_starter(word)]
    read = shell.read(script)
    for words in read.commands:
        apart = _APART if words[0] and base_name(words[0]) in _GIVEN_TEXT else _PARTS
        found = [part for word in words[1:] if word for part in apart.split(word)]
        names_one = next(filter(_is_starter, found), "")
        if names_one and not _only_looks(words):
            return names_one
    written = (part.strip("'\"") for part in _WRITTEN.findall(script))
    if name := next(filter(_is_starter, written), ""):
        return name
    return names[0] if names and not read.commands else ""


def _is_starter(word: str) -> bool:
    return is_starter([part for part in word.split("/") if part not in ("", ".", "..")])


def _only_looks(words: tuple[shell.Word, ...]) -> bool:
    known = [word for word in words if word is not None]
    if words[0] is None or len(known) < len(words):
        return False
    if base_name(words[0]) == "git":
        subcommand = without_global_options(words)[1:2]
        if subcommand and subcommand[0] in _HARMLESS_OF_GIT:
            return True
    return base_name(words[0]) in _HARMLESS or not why_not(known)
