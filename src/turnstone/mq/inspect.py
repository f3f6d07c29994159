"""Looking into a queue from outside: what waits where, who is there, and what will not be run.

The data, and the seam `Inspector`, with an implementation for Redis and one for the broker in
memory under one contract suite. Looking changes nothing; `replay`, `drop` and `purge` change dead
letters alone.
"""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

import msgspec

from turnstone.mq import entry as entries
from turnstone.mq.errors import LetterNotReplayed
from turnstone.mq.keys import Keys
from turnstone.mq.protocol import problem_of
from turnstone.mq.signing import Keyring, Untrusted


class ListView(msgspec.Struct, frozen=True, kw_only=True):
    """One list of the queue. `oldest`: seconds since the message at its head was written, on its
    sender's clock; None where the list is empty, or the message does not say."""

    name: str
    length: int
    oldest: float | None = None


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One process that takes work, or did: `left` seconds of its lease, less than 0 when over."""

    node: str
    boot: str
    left: float


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue at about one instant."""

    prefix: str
    lists: tuple[ListView, ...] = ()  # those that are not empty, by name
    leases: tuple[LeaseView, ...] = ()
    seats: dict[str, str] = {}  # by name of a node or server: the process that works for it
    inflight: dict[str, int] = {}  # by node: accepted, and not finished
    labels: dict[str, str] = {}  # by node, with spaces between them
    strays: dict[str, float] = {}  # nodes that never were: seconds since that was found
    unmet: dict[
        str, float
    ] = {}  # labels that no node has: seconds since one had, or this was asked
    dead: int = 0

    @property
    def waiting(self) -> int:
        """Messages that no node has accepted."""
        return sum(one.length for one in self.lists)

    @property
    def oldest(self) -> float | None:
        ages = [one.oldest for one in self.lists if one.oldest is not None]
        return max(ages, default=None)


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `time` in Unix seconds; `size` in bytes, of which `raw` has as many as are
    kept."""

    id: str
    time: float
    correlation_id: str
    ws_id: str
    reason: str
    tries: int
    node: str  # which gave it up
    size: int
    raw: bytes

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace")

    @property
    def cut(self) -> bool:
        return len(self.raw) < self.size


class Inspector(Protocol):
    """All methods raise QueueUnavailable while the queue cannot be asked."""

    place: str  # where the queue is, in words

    async def view(self) -> QueueView: ...

    async def letters(self, limit: int = 50, before: str = "") -> list[Letter]:
        """The newest first; those that are older than the letter `before`, if one is named."""

    async def letter(self, letter_id: str) -> Letter:
        """Raises UnknownLetter."""

    async def replay(self, letter_id: str, *, trust: bool = False) -> str:
        """Send its text once more as a message of its own, and take the letter out, in one step;
        the new correlation id, which is always the same for one letter. Raises UnknownLetter
        (also when it was replayed before), and LetterNotReplayed for one that cannot be: where
        there is a secret, also for one that nobody who may has signed, unless `trust`."""

    async def drop(self, letter_id: str) -> None:
        """Forget it. Raises UnknownLetter."""

    async def purge(self) -> int:
        """Forget all; how many."""

    async def others(self) -> list[str]:
        """Where there is no queue under this prefix: the prefixes that have one. Else empty."""

    async def aclose(self) -> None: ...


def is_list(keys: Keys, name: str) -> bool:
    """Whether this is the name of a list in which messages wait."""
    families = (keys.inbound_of(""), keys.directed_stage(""), keys.wait(""))
    own = (keys.processing_shared(""), keys.processing_directed(""))
    return name in {keys.inbound, keys.stage} or name.startswith((*families, *own))


def age(entry: bytes, now: float) -> float | None:
    """Seconds since the message of a list entry was written; None if it does not say."""
    raw = entries.read(entry).raw
    try:
        written = json.loads(raw).get("timestamp") if len(raw) <= entries.MESSAGE_MAX else None
    except (ValueError, RecursionError, AttributeError):
        return None
    if isinstance(written, bool) or not isinstance(written, int | float) or not 0 < written < 1e12:
        return None
    return max(0.0, now - written)


def again(
    letter: Letter, now: float, keyring: Keyring | None = None, *, trust: bool = False
) -> tuple[str, bytes]:
    """The new id and the new text of a dead letter, signed anew where there is a secret. It
    permits no more beforehand than its first sender might. Raises LetterNotReplayed."""
    if letter.cut:
        raise LetterNotReplayed(
            f"The dead letter {letter.id} cannot be sent again: it had {letter.size} bytes, and"
            f" only the first {len(letter.raw)} are kept.",
            hint="Have its sender send it again.",
        )
    problem = problem_of(letter.raw)
    if problem:
        raise LetterNotReplayed(
            f"The dead letter {letter.id} cannot be sent again: it would be one again. {problem}",
            hint="Correct its text, and send that as a new message.",
        )
    name = f"{letter.id}/{letter.correlation_id}"
    new_id = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:12]
    told = json.loads(letter.raw) | {"correlation_id": new_id, "timestamp": now}
    unwanted = ["signature", "key_id"]
    if keyring is not None and not _permits(letter, keyring, trust=trust):
        unwanted += ["auto_approve", "auto_approve_tools"]
    for field in unwanted:
        told.pop(field, None)
    message = json.dumps(told).encode()
    return new_id, message if keyring is None else keyring.signed(message)


def _permits(letter: Letter, keyring: Keyring, *, trust: bool) -> bool:
    """Whether the letter's signature lets it permit calls beforehand. Raises LetterNotReplayed
    for one that was not to be carried out when it died, unless `trust`."""
    try:
        return keyring.sender(letter.raw, letter.time).auto_approve
    except Untrusted as untrusted:
        if trust:
            return False
        raise LetterNotReplayed(
            f"The dead letter {letter.id} is not sent again under your secret: {untrusted}",
            hint="Look at its text (turnstone queue show). With --trust it is sent all the same,"
            " and permits nothing beforehand.",
        ) from untrusted
