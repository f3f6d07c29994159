"""Finds secrets in text, and puts the mark in their place: in a whole text, or in a stream. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from turnstone.core.masking import shapes
from turnstone.core.masking.blocks import blocks, key_goes_on, open_block
from turnstone.core.masking.fields import fields, open_field
from turnstone.core.masking.shapes import HELD
from turnstone.core.masking.values import SHORTEST, spelled
from turnstone.core.untrusted import hidden, open_escape

#: What stands for a secret.
MASK = "[secret masked]"

#: Characters of a stream that were shown and are still looked at, for what begins in them.
_BEFORE = 200

#: What tools and previews write where they have cut something out.
_CUT = re.compile(
    r"\n?\[[\d,]+ characters cut out here; the limit is [\d,]+\]\n?"
    r"| \[[\d,]+ bytes of this line left out\]"
    r"| …$",
    re.MULTILINE,
)

#: What tells where something begins that is not ended yet.
_OPENED = (
    *(shapes.open_shape, shapes.open_address, shapes.open_body),
    open_block,
    open_field,
)

Span = tuple[int, int]


class Masking:
    """What one process hides. Data only after it was made; safe to share."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = {text for secret in secrets if len(secret) >= SHORTEST for text in spelled(secret)}
        longest_first = sorted(values, key=len, reverse=True)
        known = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._known = re.compile(known)
        self._secrets = re.compile(f"{known}|{shapes.KEYS}")
        self._values = values
        self._longest = max(map(len, values), default=0)
        self._by_first: dict[str, list[str]] = {}
        for value in longest_first:
            self._by_first.setdefault(value[0], []).append(value)

    def text(self, text: str) -> str:
        """The text with every known secret replaced, and what a cut has left of one."""
        spans = self.spans(text)[0]
        if _CUT.search(text):
            for view in _views(text):
                spans += (view.span(*part) for part in self._beside_cuts(view.text, shaped=True))
            spans = _merged(spans)
        return _replaced(text, spans, 0, len(text))

    def known(self, text: str) -> str:
        """The text with the values of this process replaced, and what a cut has left of one; all
        else exactly as it is."""
        spans = [found.span() for found in self._known.finditer(text)]
        return _replaced(text, _merged([*spans, *self._beside_cuts(text)]), 0, len(text))

    def stream(self) -> StreamMasking:
        """For text that comes in pieces: a secret may be parted between two of them."""
        return StreamMasking(self)

    def spans(self, text: str) -> tuple[list[Span], int]:
        """Where secrets are, in order; and where a private key goes on that has no end there, or
        -1: what follows has to be looked at together with what comes next."""
        spans: list[Span] = []
        goes_on: list[int] = []
        for view in _views(text):
            spans += (view.span(*found.span()) for found in self._secrets.finditer(view.text))
            for parts in (shapes.passwords(view.text), shapes.bodies(view.text), fields(view.text)):
                spans += (view.span(*part) for part in parts)
            for start, end, again in blocks(view.text):
                spans.append(view.span(start, end))
                goes_on += [view.place(again)] if again >= 0 else []
        return _merged(spans), min(goes_on, default=-1)

    def unfinished(self, text: str, spans: Sequence[Span]) -> int:
        """From where on the end of the text may be the beginning of a secret."""
        start = open_escape(text)
        for view in _views(text[:start]):
            at = min(self._open_value(view.text), *(begins(view.text) for begins in _OPENED))
            start = min(start, view.place(at))
        for first, end in reversed(_merged([*spans, *hidden(text)])):
            if first < start < end:
                return first
        return start

    def _open_value(self, text: str) -> int:
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            values = self._by_first.get(text[at], ())
            if values and any(value.startswith(text[at:]) for value in values):
                return at
        return len(text)

    def _beside_cuts(self, text: str, *, shaped: bool = False) -> Iterator[Span]:
        """Parts of secrets at the edges of what was cut out: at least `SHORTEST` characters of a
        value; of a key by its shape only its beginning, since its end looks like any word."""
        for cut in _CUT.finditer(text):
            start, end = cut.span()
            head = text[max(0, start - max(self._longest, HELD)) : start]
            left = self._left_before(head, shaped=shaped)
            yield start - left, start
            yield end, end + self._left_after(text[end : end + self._longest])

    def _left_before(self, head: str, *, shaped: bool) -> int:
        """Characters at the end of this that are the beginning of a secret."""
        lengths = [len(head) - shapes.open_shape(head) if shaped else 0]
        for value in self._values:
            at = head.find(value[:SHORTEST], max(0, len(head) - len(value)))
            while at >= 0 and not value.startswith(head[at:]):
                at = head.find(value[:SHORTEST], at + 1)
            lengths.append(len(head) - at if at >= 0 else 0)
        return max((length for length in lengths if length >= SHORTEST), default=0)

    def _left_after(self, tail: str) -> int:
        """Characters at the beginning of this that are the end of a secret."""
        longest = 0
        for value in self._values:
            at = tail.rfind(value[-SHORTEST:], 0, len(value))
            while at >= 0 and not value.endswith(tail[: at + SHORTEST]):
                at = tail.rfind(value[-SHORTEST:], 0, at + SHORTEST - 1)
            longest = max(longest, at + SHORTEST if at >= 0 else 0)
        return longest


class StreamMasking:
    """One stream of text. What may be the beginning of a secret is held back, up to `HELD`
    characters; more of that is no key, and is let through. Of a private key nothing is let
    through until its end was seen, however long it is."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._before = ""  # was shown
        self._held = ""
        self._in_key = False  # a private one, of which more may come
        self._tail = ""  # of what was left out of it, to be looked at again

    def piece(self, text: str) -> str:
        """What of the stream can be shown, now that this came too."""
        if self._in_key:
            text = self._after_key(text)
        whole, first = self._before + self._held + text, len(self._before)
        spans, goes_on = self._masking.spans(whole)
        if goes_on >= 0:
            self._in_key = True
            self._tail, self._before, self._held = whole[goes_on:], "", ""
            return _replaced(whole, spans, first, goes_on)
        at = max(self._masking.unfinished(whole, spans), len(whole) - HELD, first)
        self._held, self._before = whole[at:], whole[max(0, at - _BEFORE) : at]
        return _replaced(whole, spans, first, at)

    def rest(self) -> str:
        """What was held back, at the end of the stream."""
        if self._in_key:
            tail = _without(self._tail)
            self._in_key, self._held = False, tail[key_goes_on(tail)[0] :]
        whole, first = self._before + self._held, len(self._before)
        self._before = self._held = self._tail = ""
        return _replaced(whole, self._masking.spans(whole)[0], first, len(whole))

    def _after_key(self, text: str) -> str:
        """What follows the private key; nothing while it has not ended."""
        text = self._tail + text
        escape = open_escape(text)
        seen = _without(text[:escape])
        end, again = key_goes_on(seen)
        if again >= 0:
            self._tail = seen[again:][-HELD:] + text[escape:]
            return ""
        self._in_key, self._tail = False, ""
        return seen[end:] + text[escape:]


class _View:
    """A text as somebody may read it, and where its characters are in the text as it is."""

    def __init__(self, text: str, whole: int, kept: Sequence[Span] = ()) -> None:
        self.text = text
        self._whole = whole
        self._kept = kept
        self._starts: list[int] = []
        at = 0
        for start, end in kept:
            self._starts.append(at)
            at += end - start

    def place(self, at: int) -> int:
        if at >= len(self.text):
            return self._whole
        if not self._kept:
            return at
        part = bisect_right(self._starts, at) - 1
        return self._kept[part][0] + at - self._starts[part]

    def span(self, start: int, end: int) -> Span:
        return (self.place(start), self.place(end - 1) + 1) if end > start else (0, 0)


def _views(text: str) -> list[_View]:
    """The text as it is; and where there is something unseen, without it, and with blanks there:
    a key may be parted by it, or begin after it."""
    plain = _View(text, len(text))
    unseen = list(hidden(text))
    if not unseen:
        return [plain]
    kept, blanked, at = [], [], 0
    for start, end in unseen:
        if start > at:
            kept.append((at, start))
        blanked += [text[at:start], " " * (end - start)]
        at = end
    if at < len(text):
        kept.append((at, len(text)))
    blanked.append(text[at:])
    shown = "".join(text[start:end] for start, end in kept)
    views = [plain, _View("".join(blanked), len(text))]
    return [*views, _View(shown, len(text), kept)] if shown else views


def _without(text: str) -> str:
    parts, at = [], 0
    for start, end in hidden(text):
        parts.append(text[at:start])
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def _replaced(text: str, spans: Iterable[Span], first: int, last: int) -> str:
    """The text from `first` to `last`, with the mask where these places are, or a part of them."""
    parts, at = [], first
    for start, end in spans:
        if max(start, first) >= min(end, last):
            continue
        parts += [text[at : max(start, at)], MASK]
        at = min(end, last)
    return "".join([*parts, text[at:last]])
