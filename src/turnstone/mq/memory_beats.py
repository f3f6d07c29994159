"""What one beat means for all, in this process: the twin of that part of `scripts/beat.lua`.

It notices a gap in all beats, and a queue that has lost what it knew. Renews no lease. Also the
twin of `scripts/tidies.lua`.
"""

from __future__ import annotations

from collections.abc import Sequence

from turnstone.mq.memory_broker import MemoryBroker


def note_beat(
    broker: MemoryBroker, incarnation: str, lease: float, known: tuple[str, int]
) -> tuple[bool, tuple[str, int]]:
    """Whether the queue has lost something since this process beat last, and its life and count
    of beats now; `known` is what it heard of them then (life empty: this is its first)."""
    beats, now = broker.beats, broker.clock.now()
    life, count = known
    lost = life != "" and (beats.life != life or beats.count < count)
    if not beats.life or (lost and beats.life == life):
        beats.life, beats.hold = f"{now:.6f}|{incarnation}", None
    if lost and beats.hold is None:
        beats.hold = now + lease
    if now - beats.last > lease * 2 / 3 and broker.leases:
        beats.since = now + lease
        broker.gone.clear()
        broker.strays.clear()
        for requirement in broker.waits:
            broker.waits[requirement] = beats.since
    beats.last = now
    beats.count += 1
    return lost, (beats.life, beats.count)


def turns_of(
    broker: MemoryBroker, incarnation: str, what: Sequence[str], seconds: float
) -> set[str]:
    """What of it this process sees to, for so long."""
    now = broker.clock.now()
    if broker.alive(incarnation) is None:
        return set()
    mine = {one for one in what if not 0 <= now - broker.turns.get(one, 0.0) < seconds}
    broker.turns |= dict.fromkeys(mine, now)
    return mine
