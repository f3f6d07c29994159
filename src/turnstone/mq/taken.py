"""How the content of our lists becomes what a worker sees, in both implementations.

It asks nobody, and keeps nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from turnstone.mq import entry as entries
from turnstone.mq.protocol import problem_of
from turnstone.mq.work import Claimed, Lane, Seat, Unfinished

log = logging.getLogger(__name__)


def log_dead(correlation_id: str, reason: str) -> None:
    """One line for a message that will not be run."""
    log.warning("message %s is a dead letter: %s", correlation_id or "without an id", reason)


def batched(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """What a script returned one after the other, in pairs."""
    return zip(values[::2], values[1::2], strict=True)


def seats(node_id: str, seat: Seat | None) -> list[str]:
    """The names that one process alone may work for: its server's, and its node's. Whoever has
    both is told by the first."""
    return list(dict.fromkeys([seat.server_id, node_id])) if seat is not None else []


def claimed(lane: Lane, entry: bytes) -> Claimed:
    """What is in a processing list, as the worker gets it."""
    found = entries.read(entry)
    return Claimed(
        lane,
        entry,
        found.raw,
        found.correlation_id,
        found.ws_id,
        found.target_node,
        problem_of(found.raw),
    )


def inflight(lane: Lane, ws_id: str, entry: bytes) -> bytes:
    """What is kept of an accepted message: the entry, after `s` for shared work that may go to
    another node if this one is lost before effects begin, `w` for a workstream's, `d` for
    directed work."""
    code = b"d" if lane == "directed" else b"w" if ws_id else b"s"
    return code + entry


def unfinished(correlation_id: bytes, held: bytes, epoch: int) -> Unfinished:
    """What `inflight` kept."""
    lane: Lane = "directed" if held.startswith(b"d") else "shared"
    return Unfinished(correlation_id.decode(), epoch, lane, entries.read(held[1:]).raw)
