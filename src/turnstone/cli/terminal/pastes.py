"""What is pasted into the input: short texts as they are, long ones as a mark that stands for them.

The mark is what a person sees and may delete. The text goes along with the message as a file that
is called as the mark; one that does not fit there is sent in the place of its mark. A paste never
sends, runs or answers anything, whatever it holds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from turnstone.cli.plain import sendable
from turnstone.core.attachments import MAX_TEXT, MAX_TEXTS_TOTAL
from turnstone.core.host import Attachment

#: Lines and characters from which a paste is shown as a mark.
LINES, CHARACTERS = 10, 2_000
#: Seconds for which keys that come behind a paste are taken for a part of it.
AFTER = 0.05

_MARK = re.compile(r"\[pasted (?:[\d,]+) (?:lines|characters) #(\d+)\]")
_NUMBER = re.compile(r"(\[pasted [\d,]+ (?:lines|characters)) #\d+\]")


class Pastes:
    """The long pastes of one run of the program, by their numbers."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}  # by their marks

    def shown(self, text: str) -> str:
        """What stands in the input for this paste."""
        text = sendable(text).replace("\r\n", "\n").replace("\r", "\n")
        lines = text.rstrip("\n").count("\n") + 1
        if lines <= LINES and len(text) <= CHARACTERS:
            return text
        size = f"{lines:,} lines" if lines > LINES else f"{len(text):,} characters"
        mark = f"[pasted {size} #{len(self._texts) + 1}]"
        self._texts[mark] = text
        return mark

    def beside(self, typed: str, most: int) -> tuple[str, list[Attachment]]:
        """The message, and the pastes that go along with it: `most` of them at most."""
        files: dict[str, Attachment] = {}
        left = MAX_TEXTS_TOTAL

        def placed(found: re.Match[str]) -> str:
            nonlocal left
            mark = found[0]
            text = self._texts.get(mark, "")
            if not text or mark in files:
                return mark
            if len(text) > min(left, MAX_TEXT) or len(files) >= most:
                return text
            left -= len(text)
            files[mark] = Attachment(name=mark[1:-1], text=text)
            return mark

        return _MARK.sub(placed, typed), list(files.values())

    def whole(self, typed: str) -> str:
        """The text in the place of each mark; a mark that was only typed stays as it is."""
        return _MARK.sub(lambda found: self._texts.get(found[0], found[0]), typed)


def kept(typed: str) -> str:
    """As it is remembered for the next run, which does not know what was pasted in this one."""
    return _NUMBER.sub(r"\1]", typed)


class Moment:
    """The moment after a paste, in which no key sends, runs or answers anything.

    Text that holds the sequence that ends a paste goes on, for the terminal, as keys: whoever
    wrote it could have them struck. They come at once; a person needs longer than that.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = 0.0

    def begin(self) -> None:
        self._until = self._now() + AFTER

    def goes_on(self) -> bool:
        """A key came: whether it was one of the moment, which it makes last longer."""
        if self._now() >= self._until:
            return False
        self.begin()
        return True
