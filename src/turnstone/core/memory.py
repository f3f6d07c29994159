"""What the tools that remember and recall are given by the engine: protocol and data. Pure.

What is remembered outlives conversations, and is read by others: of the person's, in every
workspace (`user`), or in one (`workspace`). What was said is found in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Memory, Passage, SearchHit

ScopeKind: TypeAlias = Literal["user", "workspace"]

USER = "user"
_WORKSPACE = "workspace:"

#: Characters of a key, and of a value.
MAX_KEY, MAX_VALUE = 200, 20_000

#: What no database keeps in a text: NUL, and halves of characters.
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def key_of(text: str) -> str:
    """The key that is meant (contract, section 7.3). Raises InvalidRequest for what is none."""
    key = text.strip().lower().replace("-", "_").replace(" ", "_")
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise InvalidRequest(
            f"key: {text[:40]!r} is no key.",
            hint=f"A key is a short name of up to {MAX_KEY} characters, such as test_command.",
        )
    return key


def checked_value(value: str) -> str:
    """Raises InvalidRequest: nothing, or too much to be remembered."""
    if not value.strip():
        raise InvalidRequest("value: there is nothing to remember.")
    if len(value) > MAX_VALUE:
        raise InvalidRequest(
            f"value: {len(value):,} characters are too many to remember; {MAX_VALUE:,} may be.",
            hint="Write it into a file, and remember where that is.",
        )
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)


def workspace_scope(workspace: str) -> str:
    """The scope of a workspace, by its absolute, resolved path."""
    return f"{_WORKSPACE}{workspace}"


def checked_scope(scope: str) -> str:
    """Raises InvalidRequest for what is no scope."""
    if scope == USER or (scope.startswith(f"{_WORKSPACE}/") and scope.isprintable()):
        return scope
    raise InvalidRequest(
        f"scope: {scope!r} is none.",
        hint=f"It is `{USER}`, or `{_WORKSPACE}` and the whole path of a workspace.",
    )


@dataclass(frozen=True, slots=True)
class Hit:
    """`outside`: why the text may not be the person's nor the model's own; empty: it is."""

    found: SearchHit
    outside: str = ""


@dataclass(frozen=True, slots=True)
class Recalled:
    memories: Sequence[Memory] = ()
    hits: Sequence[Hit] = ()
    tainted: tuple[str, ...] = ()  # what this conversation has read from outside by it


@dataclass(frozen=True, slots=True)
class Opened:
    passage: Passage
    outside: str = ""
    tainted: tuple[str, ...] = ()


class MemoryStore(Protocol):
    """Memory and history, as one workstream sees them."""

    async def remember(self, key: str, value: str, scope: ScopeKind) -> Memory | None:
        """Keep it; what was there before is given back."""

    async def get(self, key: str, scope: ScopeKind) -> Memory | None: ...

    async def forget(self, key: str, scope: ScopeKind) -> bool:
        """False: nothing is remembered under this key."""

    async def recall(self, query: str, limit: int) -> Recalled:
        """Memories with every word of the query, and where all of them were said, but for
        what the model reads in the turn in progress. Without a word: all memories."""

    async def read(self, message: str) -> Opened | None:
        """A message, named as in a hit. None: there is none. Raises InvalidRequest."""
