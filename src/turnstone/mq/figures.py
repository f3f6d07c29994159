"""What a worker has done, counted: the figures that `metrics` shows. It decides nothing."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

#: Upper bounds of the seconds that a turn waits for its start.
WAITS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0)


@dataclass
class Waits:
    """How long turns waited: counts by upper bound (the last one has none), and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(WAITS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(WAITS, seconds)] += 1
        self.total += seconds


@dataclass
class Figures:
    """Counts since the worker began. `beaten`: when its last good beat was sent, on the clock of
    the loop; None before the first."""

    claimed: int = 0  # messages taken in hand
    accepted: int = 0  # written into the journal, and taken out of Redis' lists
    done: int = 0  # brought to an ending that was stored
    dead: int = 0  # given up
    redelivered: int = 0  # admitted for another time than the first
    lease_losses: int = 0
    reconnects: int = 0
    beaten: float | None = None
    waits: Waits = field(default_factory=Waits)
