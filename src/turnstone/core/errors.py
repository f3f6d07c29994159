"""The errors of turnstone: one tree, one file, one line of meaning each.

An error has a stable `code` (for programs), a message (one sentence for a person: what was
wrong, and where), a `hint` (what to do), and the HTTP status that fits it. Adapters print
or encode these; they never invent their own.
"""

from __future__ import annotations

from typing import ClassVar, Self


class TurnstoneError(Exception):
    """Base of everything that turnstone raises on purpose."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(TurnstoneError):
    """The request does not have the right shape; the message names the field."""

    code = "invalid_request"
    status = 422


class EmptyMessage(TurnstoneError):
    """There is no text in the message."""

    code = "empty_message"
    status = 400


class NotAuthenticated(TurnstoneError):
    """No token, or one that this node does not know."""

    code = "not_authenticated"
    status = 401


class NotPermitted(TurnstoneError):
    """The token is good, but its role does not cover this."""

    code = "not_permitted"
    status = 403


class UnknownWorkstream(TurnstoneError):
    """There is no workstream of this id on this node."""

    code = "unknown_workstream"
    status = 404


class Erased(TurnstoneError):
    """The message was accepted once, and its workstream erased since; it is not run again."""

    code = "erased"
    status = 410

    @classmethod
    def of(cls, correlation_id: str) -> Self:
        return cls(
            f"Message {correlation_id} was accepted before, and its workstream was erased.",
            hint="It is not run again. Send it under another correlation id if it should be.",
        )


class CorrelationIdUsed(TurnstoneError):
    """Another text was accepted under this correlation id before."""

    code = "correlation_id_used"
    status = 409


class UnknownRequest(TurnstoneError):
    """No question of this id is waiting for an answer."""

    code = "unknown_request"
    status = 409


class OtherArguments(TurnstoneError):
    """The answer was given to something else than what the question asks."""

    code = "other_arguments"
    status = 409


class WorkstreamBusy(TurnstoneError):
    """A turn is running, and the sender wanted to be refused rather than queued."""

    code = "busy"
    status = 409


class TooManyWorkstreams(TurnstoneError):
    """The node holds as many workstreams as its settings allow."""

    code = "too_many_workstreams"
    status = 429


class NodeUnavailable(TurnstoneError):
    """The node cannot be reached, is shutting down, or does not answer as a node does."""

    code = "node_unavailable"
    status = 503


class StoreError(TurnstoneError):
    """The store cannot be opened, read or written; nothing half-written is left behind."""

    code = "store"
    status = 503


class NotOwner(StoreError):
    """Another process has taken the workstream over; this one may not write it any more."""

    code = "not_owner"
    status = 409


class Unsettled(StoreError):
    """Whether it was written is not known: the answer to the commit is missing."""


class NameTaken(TurnstoneError):
    """The name belongs to another session; a name means one of them."""

    code = "name_taken"
    status = 409


class UnknownSession(TurnstoneError):
    """No session has this name or id, or several ids begin like it."""

    code = "unknown_session"
    status = 404


class UnknownTimer(TurnstoneError):
    """There is no timer of this id, or it has been over for long."""

    code = "unknown_timer"
    status = 404


class UnknownImage(TurnstoneError):
    """There is no image of this name, or it is not kept any more."""

    code = "unknown_image"
    status = 404


class UnknownMemory(TurnstoneError):
    """Nothing is remembered under this key."""

    code = "unknown_memory"
    status = 404


class ConfigurationError(TurnstoneError):
    """A setting is wrong; the message names it and where it was set."""

    code = "configuration"
    status = 500


class ModelUnavailable(TurnstoneError):
    """No model answers at the configured endpoint."""

    code = "model_unavailable"
    status = 503


class UnknownModel(TurnstoneError):
    """No model of this name is in the settings of the node; the message lists those that are."""

    code = "unknown_model"
    status = 422


class ToolRefused(TurnstoneError):
    """A tool call cannot be carried out as asked; the message is for the model and the person."""

    code = "tool_refused"
    status = 422


class BlockedDestination(ToolRefused):
    """An address that may not be fetched from, however it was reached; nothing was sent there."""

    code = "blocked_destination"
    status = 403
