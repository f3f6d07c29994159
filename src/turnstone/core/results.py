"""What readers and the model are given of a tool call: masked, fenced, cut. Pure.

Whatever a tool prints or returns passes through here once, before it is told or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec

from turnstone.core.events import ToolItem
from turnstone.core.masking import MASK, Masking
from turnstone.core.tool import Prepared, ToolResult
from turnstone.core.untrusted import fenced, stripped

#: Characters of a call's output that readers are shown while it runs. What the model is given
#: in the end is cut by the tool itself, and tells what was left out.
MAX_SHOWN = 256_000

_NOT_SHOWN = "\n[it has printed more, which is not shown while it runs]\n"


#: Characters that are looked at together at least, where no pause comes before: each look is at
#: what is held back too, and some programs print a character at a time.
GATHERED = 4096


class ShownOutput:
    """The output of one call while it runs, piece by piece, as readers may see it."""

    def __init__(self, masking: Masking) -> None:
        self._stream = masking.stream()
        self._shown = 0
        self._gathered: list[str] = []
        self._size = 0

    def piece(self, text: str) -> str:
        """What to show now that this was printed; nothing while it is little, then all of it."""
        if self._shown <= MAX_SHOWN:
            self._gathered.append(text)
            self._size += len(text)
        return self.pause() if self._size >= GATHERED else ""

    def pause(self) -> str:
        """What to show of all that was printed, now that nothing has come for a moment."""
        text = "".join(self._gathered)
        self._gathered, self._size = [], 0
        return self._cut(self._stream.piece(text)) if text else ""

    def rest(self) -> str:
        """What was held back, once nothing more is printed."""
        if self._shown > MAX_SHOWN:
            return ""
        shown = self.pause()
        return shown if self._shown > MAX_SHOWN else shown + self._cut(self._stream.rest())

    def _cut(self, text: str) -> str:
        self._shown += len(text)
        over = self._shown - MAX_SHOWN
        return text if over <= 0 else text[: len(text) - over] + _NOT_SHOWN


def given(result: ToolResult, masking: Masking, *, source: str, nonce: str) -> ToolResult:
    """The result as the model reads it. `source`: where text from outside comes from, in words;
    empty for a result that is none."""
    output = stripped(result.output) if source else result.output
    output = masking.text(output)
    if source:
        output = fenced(output, masking.text(stripped(source)), nonce)
    return ToolResult(result.status, output, images=result.images)


def masked(item: ToolItem, masking: Masking, *, diff: bool) -> ToolItem:
    """A call as people are asked about it and the journal keeps it: what the model wrote, exactly.

    Only the values that this process was given are masked, with a mark that is seen: what merely
    looks like a secret may be what a person has to see before they permit it. `diff`: the preview
    shows a file around a change; what stays there as it is, is masked as all that a file holds.
    """
    preview = masking.known(item.preview)
    return msgspec.structs.replace(
        item,
        header=masking.known(item.header),
        preview=_unchanged_masked(preview, masking) if diff else preview,
        arguments=_masked(item.arguments, masking.known),
        rule=masking.text(item.rule),
    )


def _unchanged_masked(diff: str, masking: Masking) -> str:
    """Nothing that begins in a line that stays can hide one that changes."""
    parts = groupby(diff.split("\n"), lambda line: line.startswith(" "))
    return "\n".join(
        masking.text("\n".join(lines)) if stays else "\n".join(lines) for stays, lines in parts
    )


def writes_mask(prepared: Prepared) -> bool:
    """Whether a call would write the mark of a secret that was there, and so destroy the secret.

    A file that has the mark as its own text may be written with it: its diff shows that.
    """
    if not prepared.commands and all(use.access == "read" for use in prepared.paths):
        return False
    had = not prepared.commands and any(
        MASK in line for line in prepared.preview.split("\n") if line[:1] in ("-", " ")
    )
    return not had and any(MASK in text for text in _texts(prepared.arguments))


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {_masked(key, mask): _masked(inner, mask) for key, inner in value.items()}
        case list() | tuple():
            return [_masked(inner, mask) for inner in value]
    return value


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
