"""Why nobody works on a message, as far as Redis says it: read once, when its sender has waited.

It changes nothing there, and asks no node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from turnstone.mq import protocol as p
from turnstone.mq.keys import Keys
from turnstone.mq.labels import missing, requirement

Ask = Callable[..., Awaitable[Any]]
Heartbeats = Sequence[Mapping[str, object]]


async def absence(
    ask: Ask, keys: Keys, db: int, heartbeats: Heartbeats, sent: p.SendMessage
) -> str:
    """Which node, or what kind of node, is not there, in a sentence; empty if none is missing.
    Raises QueueUnavailable."""
    seconds, micros = await ask("TIME")
    now = float(seconds) + float(micros) / 1_000_000
    living = await _living(ask, keys, now, heartbeats)
    node = await _meant(ask, keys, sent)
    if node and node not in living:
        return await _gone(ask, keys, node, now)
    if not living:
        return f"No node takes work from the queue `{keys.prefix}` in db {db}."
    wanted = requirement(sent.requires)
    if wanted and not sent.ws_id and not node:
        labels = [_text(await ask("HGET", keys.labels, one)) for one in sorted(living)]
        if all(missing(wanted, one.split()) for one in labels):
            return f"No node has the labels {', '.join(sent.requires)}."
    return ""


async def _living(ask: Ask, keys: Keys, now: float, heartbeats: Heartbeats) -> set[str]:
    """Nodes with a lease, and those of 0.2, which have heartbeats only."""
    members = await ask("ZRANGEBYSCORE", keys.alive, repr(now), "+inf")
    living = {_text(one).rpartition("|")[0] for one in members}
    return living | {str(one["node_id"]) for one in heartbeats if "boot" not in one}


async def _meant(ask: Ask, keys: Keys, sent: p.SendMessage) -> str:
    """The node that has it, or else must have it; empty for any."""
    state, holder = await ask("HMGET", keys.message(sent.correlation_id), "s", "n")
    if holder and _text(state) in {"claimed", "accepted"}:
        return _text(holder)
    owner = sent.ws_id and await ask("GET", keys.owner(sent.ws_id))
    return sent.target_node or _text(owner)


async def _gone(ask: Ask, keys: Keys, node: str, now: float) -> str:
    last = await ask("ZSCORE", keys.seen, node)
    if last is None:
        return f"There is no node {node}."
    return f"Node {node} has not renewed its lease for {max(0.0, now - float(last)):.0f} s."


def _text(found: Any) -> str:
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found or "")
