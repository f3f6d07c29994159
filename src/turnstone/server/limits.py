"""How often: requests of one token in a minute, and failures of one address.

Counts in memory, and forgets who has been quiet. Refuses nothing itself.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

#: Callers remembered; beyond, the one that has been quiet for longest is forgotten.
_CALLERS = 1024


class Attempts:
    """Failures of each client within a window of time, and whether it may try again."""

    def __init__(self, limit: int, window: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def may(self, client: str) -> bool:
        failures = self._failures.get(client)
        if failures is None:
            return True
        while failures and failures[0] <= self._clock() - self._window:
            failures.popleft()
        return len(failures) < self._limit

    def failed(self, client: str) -> None:
        failures = self._failures.pop(client, deque(maxlen=self._limit))
        failures.append(self._clock())
        self._failures[client] = failures
        if len(self._failures) > _CALLERS:
            del self._failures[next(iter(self._failures))]


class Rates:
    """A minute's worth of requests for each caller, which fills up again evenly.

    `per_minute` 0: no limit. `clock` is monotonic, in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # requests, and when that was so

    def wait(self, caller: str) -> int:
        """Seconds after which this caller may make its request; 0: now, and it counts."""
        if not self._most:
            return 0
        now = self._clock()
        left, then = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._most / 60)
        taken = left >= 1
        self._left[caller] = (left - taken, now)
        if len(self._left) > _CALLERS:
            del self._left[next(iter(self._left))]
        return 0 if taken else max(1, math.ceil((1 - left) * 60 / self._most))
