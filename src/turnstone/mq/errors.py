"""What can go wrong at the queue: one line of meaning each, in the tree of turnstone.core."""

from __future__ import annotations

from typing import ClassVar

from turnstone.core.errors import ConfigurationError, TurnstoneError


class QueueUnavailable(TurnstoneError):
    """Redis does not do what it was asked for now; it may have, and may be asked again."""

    code: ClassVar[str] = "queue_unavailable"
    status: ClassVar[int] = 503


class QueueBroken(TurnstoneError):
    """Redis answers, and cannot do what it was asked for: a name of the queue is used for
    something else there, or a step is wrong. Asking again changes nothing by itself."""

    code: ClassVar[str] = "queue_broken"
    status: ClassVar[int] = 500


class QueueRefuses(QueueUnavailable):
    """Redis answers, and refuses this until somebody changes it (it is full, its user may not);
    other steps may go on."""


class AnotherWorker(ConfigurationError):
    """Another process takes work for this server, or under this node's name.

    `server_id`: whose work is meant; `holder`: the incarnation that takes it; `seat`: what it has,
    the server's name, or that which this node wants to be called by.
    """

    code: ClassVar[str] = "another_worker"
    status: ClassVar[int] = 409

    def __init__(self, server_id: str, holder: str, seat: str) -> None:
        node = holder.rpartition("|")[0]
        if seat != server_id:
            super().__init__(
                f"The name {seat} is used already, by another node or by a worker of another server.",
                hint="Give this one another name: [bridge] node_id, or --node-id.",
            )
            return
        super().__init__(
            f"Another worker takes work for the server {server_id} already, as node {node}.",
            hint="One is enough: stop that one, or do not start this one.",
        )


class LeaseOver(TurnstoneError):
    """This process has not beaten for too long: what it held is others' now. Beat, then sweep."""

    code: ClassVar[str] = "lease_over"
    status: ClassVar[int] = 409


class UnknownMessage(TurnstoneError):
    """No node knows a message of this id, and it waits in no list."""

    code: ClassVar[str] = "unknown_message"
    status: ClassVar[int] = 404


class UnknownLetter(TurnstoneError):
    """There is no dead letter of this id (any more)."""

    code: ClassVar[str] = "unknown_letter"
    status: ClassVar[int] = 404


class LetterNotReplayed(TurnstoneError):
    """The text of this dead letter cannot be sent again."""

    code: ClassVar[str] = "letter_not_replayed"
    status: ClassVar[int] = 409


class MalformedMessage(ValueError):
    """A message that cannot be read; its text says why, in a form that a sender may be told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
