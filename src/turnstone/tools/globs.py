"""Patterns of file names, as in `.gitignore`, turned into regular expressions. Pure.

Used by `search`, and by its program, which loads this file by its path: the standard library
alone. A `*` and a `?` stay within a name, `**` is any number of folders, `{a,b}` is a choice.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"\*+|\?|\\.|\[|\{|\}|,|[^*?\\\[{},]+|\\", re.DOTALL)


class GlobError(ValueError):
    """The pattern is none; the message says why."""


def expression(glob: str) -> re.Pattern[str]:
    """Matches paths relative to the folder of the pattern, without `./` and without a last `/`.

    A pattern without `/` is about names in any folder below. Raises GlobError.
    """
    anchored = "/" in glob
    parts = glob.removeprefix("/").split("/") if anchored else ["**", glob]
    out = ""
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if part == "**":
            out += ".+" if last else "(?:.*/)?"
        else:
            out += _name(part) + ("" if last else "/")
    try:
        return re.compile(out, re.DOTALL)
    except re.error as error:
        raise GlobError(f"it is no pattern ({error})") from None


def _name(part: str) -> str:
    out, depth, at = "", 0, 0
    while at < len(part):
        found = _SPECIAL.match(part, at)
        assert found is not None  # every character is one or the other
        piece = found[0]
        at = found.end()
        if piece[0] == "*":
            out += "[^/]*"
        elif piece == "?":
            out += "[^/]"
        elif piece == "[":
            end = part.find("]", at + (2 if part[at : at + 1] in ("!", "^") else 1))
            if end < 0:
                raise GlobError("a [ is not closed")
            inside = part[at:end]
            negated = inside[0] in "!^"
            body = re.sub(r"([\[\\&~|^])", r"\\\1", inside[negated:])
            out += f"[{'^' if negated else ''}{body}]"
            at = end + 1
        elif piece == "{":
            out, depth = out + "(?:", depth + 1
        elif piece == "}" and depth:
            out, depth = out + ")", depth - 1
        elif piece == "," and depth:
            out += "|"
        elif piece == "\\":
            raise GlobError("it ends with a backslash")
        else:
            out += re.escape(piece[1:] if piece[0] == "\\" else piece)
    if depth:
        raise GlobError("a { is not closed")
    return out


class Ignored:
    """What the lines of one `.gitignore` say about the paths below its folder."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[re.Pattern[str], bool, bool]] = []
        for raw in text.removeprefix("\ufeff").splitlines():
            line = raw if raw.endswith("\\ ") else raw.rstrip(" ")
            if not line or line.startswith("#"):
                continue
            kept = line.startswith("!")
            line = line[1:] if kept else line
            folders = line.endswith("/")
            line = line.rstrip("/") if folders else line
            try:
                self._rules.append((expression(line), kept, folders))
            except GlobError:
                continue

    def says(self, path: str, *, folder: bool) -> bool | None:
        """Whether `path` is ignored; None if no line is about it. The last one counts."""
        for pattern, kept, folders in reversed(self._rules):
            if (folder or not folders) and pattern.fullmatch(path):
                return not kept
        return None
