"""What readers and the model are given of a tool call: masked, fenced, cut. Pure.

Whatever a tool prints or returns passes through here once, before it is told or kept.
"""

from __future__ import annotations

import msgspec

from turnstone.core.events import ToolItem
from turnstone.core.masking import Masking
from turnstone.core.tool import ToolResult
from turnstone.core.untrusted import fenced

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
    output = masking.text(result.output)
    if source and result.status in ("ok", "error"):
        output = fenced(output, source, nonce)
    return ToolResult(result.status, output)


def masked(item: ToolItem, masking: Masking) -> ToolItem:
    """A call as people are shown it and the journal keeps it: a diff shows what a file holds."""
    return msgspec.structs.replace(item, preview=masking.text(item.preview))
