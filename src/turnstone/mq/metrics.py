"""The queue's figures for `/metrics`: what a worker has counted, and what waits in Redis. It
changes nothing, and never keeps a look at the other figures waiting for a Redis that is away."""

from __future__ import annotations

import asyncio
from collections import Counter

from turnstone.core.metrics import Labels, Samples, Spread
from turnstone.mq.errors import QueueBroken, QueueUnavailable
from turnstone.mq.figures import WAITS, Figures
from turnstone.mq.inspect import Inspector, QueueView
from turnstone.mq.keys import Keys

#: Seconds for Redis, before it counts as away.
_PATIENCE = 2.0


class QueueFigures:
    """Those of one worker, and of the queue that it works from."""

    def __init__(self, figures: Figures, inspector: Inspector) -> None:
        self._figures, self._inspector = figures, inspector

    async def samples(self) -> Samples:
        return self._counted() | await self._waiting()

    def _counted(self) -> Samples:
        made = self._figures
        counts = {
            "claimed": made.claimed,
            "accepted": made.accepted,
            "done": made.done,
            "dead": made.dead,
            "redelivered": made.redelivered,
            "lease_losses": made.lease_losses,
            "reconnects": made.reconnects,
        }
        found: Samples = {f"turnstone_queue_{n}_total": {(): c} for n, c in counts.items()}
        waits = Spread(WAITS, list(made.waits.counts), made.waits.total)
        found["turnstone_queue_turn_wait_seconds"] = {(): waits}
        if made.beaten is not None:
            age = asyncio.get_running_loop().time() - made.beaten
            found["turnstone_queue_beat_age_seconds"] = {(): age}
        return found

    async def _waiting(self) -> Samples:
        try:
            async with asyncio.timeout(_PATIENCE):
                view = await self._inspector.view()
        except (QueueUnavailable, QueueBroken, TimeoutError):
            return {"turnstone_queue_up": {(): 0}}
        return {
            "turnstone_queue_up": {(): 1},
            "turnstone_queue_depth": _depths(view),
            "turnstone_queue_oldest_seconds": {(): view.oldest or 0},
            "turnstone_queue_dead_letters": {(): view.dead},
        }


def _depths(view: QueueView) -> dict[Labels, float]:
    """By kind of list: their names are others' to choose."""
    keys = Keys(view.prefix)
    kinds = {
        keys.inbound_of(""): "directed",
        keys.directed_stage(""): "directed",
        keys.wait(""): "aside",
        keys.processing_shared(""): "claimed",
        keys.processing_directed(""): "claimed",
    }
    found: Counter[str] = Counter(dict.fromkeys(("shared", "staged", *kinds.values()), 0))
    for one in view.lists:
        kind = {keys.inbound: "shared", keys.stage: "staged"}.get(one.name)
        kind = kind or next(kind for name, kind in kinds.items() if one.name.startswith(name))
        found[kind] += one.length
    return {(kind,): count for kind, count in found.items()}
