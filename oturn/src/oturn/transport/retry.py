"""When a request that failed is sent again, and after which wait. Pure: no clock, no chance.

Says nothing about what has reached the reader: who asks knows that nothing has.
"""

from __future__ import annotations

from dataclasses import dataclass

from oturn.errors import ModelError

#: What passes by itself: too many requests, a server that restarts, loads a model, is overloaded.
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504, 529})
#: Each wait is this many times the one before.
GROWTH = 2.0
#: By how much of itself a wait is cut at random, so that clients do not come back together.
JITTER = 0.25


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long it is tried: three requests in all, half a second and a second apart.

    A server's own Retry-After goes before the waits here. A wait that would go beyond `total`
    is not begun. Who waits itself, for many requests together, takes statuses out of `statuses`.
    """

    requests: int = 3  # in all, the first one too
    first_wait: float = 0.5  # seconds
    longest_wait: float = 8.0  # seconds
    total: float = 60.0  # seconds from the first request to the last one's start
    statuses: frozenset[int] = RETRIED_STATUSES  # that are tried again

    def wait(
        self, error: ModelError, *, lost: bool, sent: int, elapsed: float, chance: float
    ) -> float | None:
        """Seconds to wait before the next request, or None when there is none.

        `lost`: the connection failed or broke. `sent`: requests so far. `elapsed`: seconds
        since the first. `chance`: a random number from 0 to 1.
        """
        if not (lost or error.status in self.statuses) or sent >= self.requests:
            return None
        wait = error.retry_after
        if wait is None:
            grown = min(self.longest_wait, self.first_wait * GROWTH ** (sent - 1))
            wait = grown * (1 - JITTER * chance)
        return wait if elapsed + wait <= self.total else None


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """What is told when a request will be sent again: why, after which wait, and which one."""

    error: ModelError
    wait: float  # seconds
    request: int  # the number of the one to come, from 2
    requests: int  # how many there may be


ONE_REQUEST = RetryPolicy(requests=1)
"""No retries."""
