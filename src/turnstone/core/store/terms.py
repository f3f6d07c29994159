"""The words by which what was said is found: the same for text and query, on every database. Pure.

Letters are folded (compatibility forms, case, accents), words end at whatever is no letter or
digit. Writing that has no spaces is taken by single characters and by pairs of neighbours: so
a query needs no place in the text, only the presence of all its words.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from turnstone.core.events import (
    ConversationSet,
    Event,
    MessageAccepted,
    StepFinished,
    Titled,
    ToolFinished,
)

SaidRole: TypeAlias = Literal["user", "assistant", "tool", "title"]

#: Characters of a tool's output that are found; what else it printed is in the record.
OUTPUT = 8_000

#: Characters of a snippet, and how many of them may stand before the first word that was found.
SNIPPET, _BEFORE = 500, 150

#: Bytes of all words of one text: PostgreSQL takes no more than a megabyte.
_MOST = 400_000

#: Characters of one word; longer ones (hashes, base64) are known by their beginning.
_LONGEST = 64

_WORD = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"\S+")

# Han, kana, bopomofo, and the scripts of South East Asia that write without spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]+"
)


class Said(NamedTuple):
    """A message, or a title. `part` counts those that came with one record."""

    role: SaidRole
    text: str
    part: int = 0


def terms(text: str) -> list[str]:
    """The words of a text, each once, in the order in which they first come."""
    found: dict[str, None] = {}
    size = 0
    for word in _WORD.findall(_folded(text)):
        for term in _parts(word):
            if term not in found:
                size += len(term.encode())
                if size > _MOST:
                    return list(found)
                found[term] = None
    return list(found)


def wanted(query: str) -> list[str]:
    """The words that a text must have to be found. Of a run that is written without spaces,
    its pairs."""
    found: dict[str, None] = {}
    for word in _WORD.findall(_folded(query)):
        parts = _parts(word)
        pairs = {p for p in parts if len(p) == 2}
        single = [
            p for p in parts if len(p) > 1 or not (_UNSPACED.fullmatch(p) and _paired(p, pairs))
        ]
        found.update(dict.fromkeys(single))
    return list(found)


def snippet(text: str, words: list[str]) -> str:
    """At most `SNIPPET` characters of the text, from a little before the first word found."""
    if len(text) <= SNIPPET:
        return text
    start = max(0, min(_place(text, set(words)) - _BEFORE, len(text) - SNIPPET))
    end = min(len(text), start + SNIPPET)
    head, tail = "…" if start else "", "…" if end < len(text) else ""
    return head + text[start + len(head) : end - len(tail)] + tail


def said_in(event: Event) -> list[Said]:
    """What was said with a record, as it is found later. A conversation that was taken over
    has many parts: of one that was only wound back, all is in the journal already."""
    match event:
        case MessageAccepted():
            said = [_said("user", event.message)]
        case StepFinished():
            said = [_said("assistant", event.text)]
        case ToolFinished():
            said = [_said("tool", event.output)]
        case Titled():
            said = [_said("title", event.title)]
        case ConversationSet() if event.why in ("imported", "forked", "resumed"):
            said = [_said(m.role, m.content, n) for n, m in enumerate(event.history)]
        case _:
            said = []
    return [one for one in said if one.text.strip()]


def findable(said: Said) -> str:
    """What of it is searched."""
    return said.text[:OUTPUT] if said.role == "tool" else said.text


def _said(role: SaidRole, text: str, part: int = 0) -> Said:
    return Said(role, text, part)


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in plain if unicodedata.category(c)[0] != "M")


def _parts(word: str) -> list[str]:
    """A word itself; its runs of unspaced writing by characters and pairs."""
    if word.isascii():
        return [word[:_LONGEST]]
    parts: list[str] = []
    at = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > at:
            parts.append(word[at : run.start()][:_LONGEST])
        characters = run.group()
        parts += characters
        parts += map("".join, pairwise(characters))
        at = run.end()
    if at < len(word):
        parts.append(word[at:][:_LONGEST])
    return parts


def _paired(character: str, pairs: set[str]) -> bool:
    return any(character in pair for pair in pairs)


def _place(text: str, words: set[str]) -> int:
    """Where the first of the words stands; 0 if none does."""
    for piece in _PIECE.finditer(text):
        if words.intersection(terms(piece.group())):
            return piece.start()
    return 0
