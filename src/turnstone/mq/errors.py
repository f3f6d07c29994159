"""What can go wrong at the queue: one line of meaning each, in the tree of turnstone.core."""

from __future__ import annotations

from typing import ClassVar

from turnstone.core.errors import TurnstoneError


class QueueUnavailable(TurnstoneError):
    """Redis does not do what it was asked for now; it may have, and may be asked again."""

    code: ClassVar[str] = "queue_unavailable"
    status: ClassVar[int] = 503


class LeaseOver(TurnstoneError):
    """This process has not beaten for too long: what it held is others' now. Beat, then sweep."""

    code: ClassVar[str] = "lease_over"
    status: ClassVar[int] = 409


class MalformedMessage(ValueError):
    """A message that cannot be read; its text says why, in a form that a sender may be told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
