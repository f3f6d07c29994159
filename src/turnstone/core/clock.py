"""Time and identity as seams: everything that needs either takes these as arguments.

The system's own implementations are here too; the simulator brings others. Forms of the ids
are those of the wire (contract, section 0.1).
"""

from __future__ import annotations

import secrets
import time
import uuid
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the Unix epoch, for records that people read."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back, for durations and deadlines."""


class Ids(Protocol):
    def workstream(self) -> str:
        """8 lower-case hex digits."""

    def session(self) -> str:
        """12 lower-case hex digits."""

    def correlation(self) -> str:
        """12 lower-case hex digits: one message, and the turn that answers it."""

    def request(self) -> str:
        """12 lower-case hex digits: one question to a person."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class RandomIds:
    def workstream(self) -> str:
        return uuid.uuid4().hex[:8]

    def session(self) -> str:
        return secrets.token_hex(6)

    def correlation(self) -> str:
        return secrets.token_hex(6)

    def request(self) -> str:
        return secrets.token_hex(6)
