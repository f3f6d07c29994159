"""A clock that a test sets, for everything that takes one."""

from __future__ import annotations


class SetClock:
    """Implements `turnstone.core.clock.Clock`; stands still until `advance`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
