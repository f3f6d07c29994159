"""What readers and the model are given of a tool call: masked, fenced, cut. Pure.

Whatever a tool prints or returns passes through here once, before it is told or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


class ShownOutput:
    """The output of one call while it runs, piece by piece, as readers may see it."""

    def __init__(self, masking: Masking) -> None:
        self._stream = masking.stream()
        self._shown = 0

    def piece(self, text: str) -> str:
        """What to show now that this was printed; often nothing, or more than this."""
        if self._shown > MAX_SHOWN:
            return ""
        return self._cut(self._stream.piece(text))

    def rest(self) -> str:
        """What was held back, once nothing more is printed."""
        return "" if self._shown > MAX_SHOWN else self._cut(self._stream.rest())

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


def masked(item: ToolItem, masking: Masking, *, exactly: bool) -> ToolItem:
    """A call as people are shown it and the journal keeps it: a diff shows what a file holds.

    `exactly`: a command is shown as the model wrote it, and as it is run; its header sums it up.
    Only the values that this process was given are masked there too, with a mark that is seen.
    """
    mask = masking.known if exactly else masking.text
    return msgspec.structs.replace(
        item,
        header=masking.text(item.header),
        preview=mask(item.preview),
        arguments=_masked(item.arguments, mask),
        rule=masking.text(item.rule),
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
