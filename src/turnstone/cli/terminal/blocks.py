"""Markdown as it streams, cut into blocks that can be printed for good while the rest still
comes. Pure: text in, blocks out; nothing is read twice, however long the answer is.

A block ends where what follows cannot change how it looks: at a blank line, a heading, a fence.
A list goes on over blank lines; a long one, and a long fence, are given in pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

#: Lines of a fence, and of a list, behind which what is there is given.
CODE_PIECE, LIST_PIECE = 24, 12
#: Lines of anything else: a table, or text without an end.
MOST_LINES = 200

_FENCE = re.compile(r"( *)(`{3,}(?=[^`]*$)|~{3,})(.*)")
_HEADING = re.compile(r"#{1,6}(\s|$)")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Block:
    """Markdown; or code, without its fence, in `language` (the word behind the fence, or empty).

    `joined`: it goes on what was given before it, with no blank line between.
    """

    text: str
    code: bool = False
    language: str = ""
    joined: bool = False


@dataclass(frozen=True, slots=True)
class _Fence:
    mark: str
    language: str
    own: bool  # a block of its own; else it stands in a list
    begun: bool = False  # a piece of it was given

    def closed_by(self, line: str) -> bool:
        line = line.strip()
        return line.startswith(self.mark) and not line.strip(self.mark[0])


@dataclass(frozen=True, slots=True)
class Blocks:
    """What of an answer has not been given yet: whole lines, and the one that is coming."""

    lines: tuple[str, ...] = ()
    rest: str = ""
    fence: _Fence | None = None
    listing: bool = False  # the lines are a list
    blank: bool = False  # and a blank line was the last of them
    joined: bool = False  # what is given next goes on what was given last

    @property
    def empty(self) -> bool:
        return not (self.lines or self.rest)

    @property
    def in_code(self) -> _Fence | None:
        return self.fence if self.fence is not None and self.fence.own else None

    @property
    def joins(self) -> bool:
        """What comes goes on what was given last, without a blank line."""
        return self.joined or (self.fence is not None and self.fence.begun)

    def tail(self, count: int) -> Block:
        """The last `count` lines of it, for a look at what is coming."""
        lines = (*self.lines, self.rest)[-count:]
        fence = self.in_code
        language = "" if fence is None else fence.language
        return Block("\n".join(lines), fence is not None, language, self.joins)


def feed(state: Blocks, text: str) -> tuple[Blocks, list[Block]]:
    """With this text behind what has come: what is left now, and what can be printed."""
    *whole, rest = (state.rest + text).split("\n")
    given: list[Block] = []
    for line in whole:
        state = _line(state, line.removesuffix("\r"), given)
    return replace(state, rest=rest), given


def finish(state: Blocks) -> list[Block]:
    """The answer is over: all that is left."""
    given: list[Block] = []
    if state.rest:
        state = _line(state, state.rest, given)
    _given(state, given)
    return given


def _line(state: Blocks, line: str, given: list[Block]) -> Blocks:
    if state.fence is not None:
        return _in_fence(state, state.fence, line, given)
    if not line.strip():
        if state.listing:
            return replace(state, lines=(*state.lines, ""), blank=True)
        return _given(state, given)
    indented = line.startswith((" ", "\t"))
    item = _ITEM.match(line) is not None
    if state.listing and not indented and _list_ends(state, item=item):
        state = replace(_given(state, given), joined=item)
    if (found := _FENCE.fullmatch(line)) is not None:
        return _fence(state, found, line, given)
    if not indented and _HEADING.match(line):
        state = _given(state, given)
        return _given(replace(state, lines=(line,)), given)
    if len(state.lines) >= MOST_LINES:
        state = replace(_given(state, given), joined=True)
    return replace(state, lines=(*state.lines, line), listing=state.listing or item, blank=False)


def _list_ends(state: Blocks, *, item: bool) -> bool:
    """Before a line that is not indented; the next item goes on the list, unless it is long."""
    return len(state.lines) >= LIST_PIECE if item else state.blank


def _fence(state: Blocks, found: re.Match[str], line: str, given: list[Block]) -> Blocks:
    own = not (state.listing and found[1])
    words = found[3].split()
    fence = _Fence(found[2], words[0] if words else "", own)
    if own:
        return replace(_given(state, given), fence=fence)
    return replace(state, lines=(*state.lines, line), fence=fence, blank=False)


def _in_fence(state: Blocks, fence: _Fence, line: str, given: list[Block]) -> Blocks:
    if fence.closed_by(line):
        if not fence.own:
            return replace(state, lines=(*state.lines, line), fence=None)
        return _given(state, given, last=True)
    state = replace(state, lines=(*state.lines, line))
    if fence.own and len(state.lines) >= CODE_PIECE:
        return _given(state, given)
    return state


def _given(state: Blocks, given: list[Block], *, last: bool = False) -> Blocks:
    """All whole lines become a block. `last`: and the fence that they stand in ends."""
    fence = state.in_code
    lines = state.lines if fence is not None else _without_blanks(state.lines)
    if lines or (last and fence is not None and not fence.begun):
        language = "" if fence is None else fence.language
        given.append(Block("\n".join(lines), fence is not None, language, state.joins))
    if fence is None or last:
        return Blocks(rest=state.rest)
    return Blocks(rest=state.rest, fence=replace(fence, begun=fence.begun or bool(lines)))


def _without_blanks(lines: tuple[str, ...]) -> tuple[str, ...]:
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    return lines[:end]
