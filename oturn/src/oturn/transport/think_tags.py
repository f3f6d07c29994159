"""Reasoning that a server leaves in the text between `<think>` tags: told apart while it streams.

Only at the beginning of an answer: a tag that comes later is text, as models write about tags
too. Pure; holds back no more than what may still become a tag, and knows no wire format.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal, TypeAlias

from oturn.transport.base import ReasoningDelta, StreamItem, TextDelta

ThinkTags: TypeAlias = Literal["auto", "opened", "off"]
"""`auto`: an answer that begins with an opening tag begins with reasoning. `opened`: every
answer does, also without the opening tag (it stands in the prompt that some servers make).
`off`: tags are text."""

#: Opening tag → closing tag: most open models; some fine-tunes; Gemini's OpenAI endpoint.
TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
}
#: Blanks before an opening tag are passed over; after this many, there is none to come.
MAX_BLANKS = 64

_LONGEST = max(len(tag) for pair in TAGS.items() for tag in pair)


class _Phase(Enum):
    START = auto()  # an opening tag may come
    OPENED = auto()  # it has come, and nothing but blanks since
    THINKING = auto()  # reasoning, until the closing tag
    CLOSED = auto()  # that has come, and nothing but blanks since
    OVER = auto()  # text, whatever it holds


class ThinkTagFilter:
    """Feed it the text of one answer. Once `over`, everything is text, and it may be left out."""

    def __init__(self, mode: ThinkTags = "auto") -> None:
        self._phase = _Phase.OVER if mode == "off" else _Phase.START
        self._expected = mode == "opened"
        self._closing = tuple(TAGS.values())
        self._held = ""

    @property
    def over(self) -> bool:
        return self._phase is _Phase.OVER

    def feed(self, text: str) -> list[StreamItem]:
        """The text and the reasoning that are certain by now."""
        self._held += text
        items: list[StreamItem] = []
        if self._phase is _Phase.START:
            self._start()
        if self._phase is _Phase.OPENED:
            self._skip_blanks(_Phase.THINKING)
        if self._phase is _Phase.THINKING:
            self._think(items)
        if self._phase is _Phase.CLOSED:
            self._skip_blanks(_Phase.OVER)
        if self._phase is _Phase.OVER and self._held:
            items.append(TextDelta(self._held))
            self._held = ""
        return items

    def close(self) -> list[StreamItem]:
        """What was held back, when the answer has ended. An unclosed tag leaves no text."""
        held, self._held = self._held, ""
        thinking = self._phase is _Phase.THINKING or self._expected
        self._phase = _Phase.OVER
        if not held:
            return []
        return [ReasoningDelta(held) if thinking else TextDelta(held)]

    def _start(self) -> None:
        begun = self._held.lstrip()
        blanks = len(self._held) - len(begun)
        if blanks <= MAX_BLANKS:
            for opening, closing in TAGS.items():
                if begun.startswith(opening):
                    self._held, self._closing = begun[len(opening) :], (closing,)
                    self._phase = _Phase.OPENED
                    return
            if any(opening.startswith(begun) for opening in TAGS):
                return
        self._phase = _Phase.OPENED if self._expected else _Phase.OVER

    def _skip_blanks(self, then: _Phase) -> None:
        self._held = self._held.lstrip()
        if self._held:
            self._phase = then

    def _think(self, items: list[StreamItem]) -> None:
        ends = [(at, tag) for tag in self._closing if (at := self._held.find(tag)) >= 0]
        if ends:
            at, tag = min(ends)
            rest, self._phase = at + len(tag), _Phase.CLOSED
        else:
            rest = at = self._certain()
        if at:
            items.append(ReasoningDelta(self._held[:at]))
        self._held = self._held[rest:]

    def _certain(self) -> int:
        """How much of what is held is no beginning of a closing tag."""
        at = self._held.rfind("<", max(0, len(self._held) - _LONGEST))
        if at >= 0 and any(tag.startswith(self._held[at:]) for tag in self._closing):
            return at
        return len(self._held)
