"""From a record's values and its layout to the text of a session file. Pure.

Every value is written so that it is read back exactly, by this package, by 0.1 and by
chronml. What its place in the layout cannot carry goes to another:

- text of several lines in a place within a line becomes a block on lines of its own;
- text with a carriage return, half a surrogate pair or a marker in another spelling is kept
  in the skeleton, which is JSON, and its place says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from oturn.session_format import (
    LITERAL,
    PREFIX,
    Path,
    escape,
    fits_utf8,
    json_line,
    parse_path,
    spell,
)

#: What stands in the place of a value that only the skeleton carries.
ELSEWHERE = "(kept in the skeleton)"


Form: TypeAlias = Literal["inline", "block", "code-block"]


class Place(NamedTuple):
    """Where a layout shows a value, and how."""

    path: Path
    form: Form = "inline"
    language: str = ""


Layout: TypeAlias = tuple[str | Place, ...]

_PLACE = re.compile(
    r"\{(\$?(?:\.[^\W\d]\w*|\[\d+\])+)(?::(inline|block|code-block)(?:-([\w+#.-]+))?)?\}"
)
_FORMS: dict[str | None, Form] = {
    None: "inline",
    "inline": "inline",
    "block": "block",
    "code-block": "code-block",
}
# Wider than any reader's idea of a marker: every kind of white space, not only a space.
_OTHER_SPELLING = re.compile(rf"<!--(?! {re.escape(PREFIX)})\s*{re.escape(PREFIX)}")


def layout_text(item: object) -> str:
    """The layout that a record brings along in `__chronml_template__`; else an empty string."""
    template = getattr(item, "__chronml_template__", "")
    return template if isinstance(template, str) else ""


def layout_of(item: object, otherwise: str = "") -> Layout:
    """The layout of a record, or `otherwise`; that of a model within it is put in its place."""
    layout = compile_layout(layout_text(item) or otherwise)
    nested: list[str | Place] = []
    for part in layout:
        inner = _model_at(item, part) if isinstance(part, Place) else None
        if inner is None or isinstance(part, str):
            nested.append(part)
        else:
            nested += (
                deeper
                if isinstance(deeper, str)
                else Place(part.path + deeper.path, deeper.form, deeper.language)
                for deeper in layout_of(inner)
            )
    return tuple(nested)


@lru_cache(maxsize=256)
def compile_layout(template: str) -> Layout:
    """A template as literal text and places. What is no placeholder is text."""
    parts: list[str | Place] = []
    at = 0
    for found in _PLACE.finditer(template):
        place = Place(parse_path(found[1]), _FORMS[found[2]], found[3] or "")
        parts += [template[at : found.start()], place]
        at = found.end()
    return tuple(part for part in (*parts, template[at:]) if part != "")


def write_record(kind: str, data: dict[str, Any], layout: Layout) -> str:
    """One record, with the empty line behind it. Takes out of `data` what the layout shows.

    `kind` is what the file says about the type. Raises ValueError for data that holds itself.
    """
    body = _Body()
    shown: list[Path] = []
    for part in layout:
        if isinstance(part, str):
            body.text(escape(part))
            continue
        found, value = _look_up(data, part.path)
        if not found:
            continue
        if body.value(part, value):
            shown.append(part.path)
    for path in shown:
        _take_out(data, path)
    skeleton = json_line(data).replace("-->", "--\\u003e")
    return (
        f"{LITERAL}begin type={kind} skeleton={skeleton} -->\n\n{body.lines()}{LITERAL}end -->\n\n"
    )


class _Body:
    """The lines of a record: markers of blocks stand alone on theirs."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._after_block = False

    def text(self, text: str) -> None:
        if self._after_block and not text.startswith("\n"):
            self._parts.append("\n")
        self._after_block = False
        self._parts.append(text)

    def value(self, place: Place, value: object) -> bool:
        """Show a value. False when this cannot be done exactly: the skeleton has to keep it."""
        kind, text = spell(value)
        # chronml fails on indexes of lists, so no marker ever names one.
        if any(isinstance(step, int) for step in place.path) or not _fits_block(text):
            self.text(ELSEWHERE)
            return False
        about = f"type={kind} " if kind else ""
        about += f"json-path={_path_text(place.path)} -->"
        text = escape(text)
        if place.form == "code-block":
            language = f"lang={place.language} " if place.language else ""
            fenced = [f"```{place.language}", *([text] if text else []), "```"]
            self._block("code-block", language + about, fenced)
        elif place.form == "block" or "\n" in text or "<!--" in text:
            self._block("multi-line-value", about, [text] if text else [])
        else:
            self.text(f"{LITERAL}value-begin {about} {text} {LITERAL}value-end -->")
        return True

    def lines(self) -> str:
        text = "".join(self._parts)
        return text if not text or text.endswith("\n") else f"{text}\n"

    def _block(self, name: str, about: str, lines: list[str]) -> None:
        if self._after_block or (self._parts and not self._parts[-1].endswith("\n")):
            self._parts.append("\n")
        marked = [f"{LITERAL}{name}-begin {about}", *lines, f"{LITERAL}{name}-end -->"]
        self._parts.append("\n".join(marked))
        self._after_block = True


def _fits_block(text: str) -> bool:
    if "\r" in text or not fits_utf8(text):
        return False
    return PREFIX not in text or _OTHER_SPELLING.search(text) is None


def _model_at(item: object, place: Place) -> object | None:
    """The model at a place, if it brings a layout of its own and the place is a plain one."""
    if place.form != "inline":
        return None
    for step in place.path:
        if isinstance(step, int):
            return None
        item = item.get(step) if isinstance(item, Mapping) else getattr(item, step, None)
    return item if layout_text(item) else None


def _look_up(data: Any, path: Path) -> tuple[bool, Any]:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, data


def _take_out(data: Any, path: Path) -> None:
    found, inner = _look_up(data, path[:-1])
    if found and isinstance(inner, dict):
        inner.pop(path[-1], None)


@lru_cache(maxsize=256)
def _path_text(path: Path) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
