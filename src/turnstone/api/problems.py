"""Errors on their way over HTTP: one shape, and back to the same classes on the other side.

Also the errors that exist only because there is HTTP between. Nothing here knows a server.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from turnstone.core.errors import NodeUnavailable, TurnstoneError


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is no success. `error` alone is what 0.2 had."""

    error: str
    code: str = ""
    hint: str = ""


class UnknownPath(TurnstoneError):
    """There is nothing at this path."""

    code = "unknown_path"
    status = 404


class WrongMethod(TurnstoneError):
    """The path is there, but does not take this method."""

    code = "wrong_method"
    status = 405


class BodyTooLarge(TurnstoneError):
    """The body is longer than any request needs."""

    code = "body_too_large"
    status = 413


class WrongMediaType(TurnstoneError):
    """The body is not declared as JSON, and the sender is no program with a token of its own."""

    code = "wrong_media_type"
    status = 415


class ForeignHost(TurnstoneError):
    """The request was made to a name under which this node is not reached."""

    code = "foreign_host"
    status = 421


class ForeignOrigin(TurnstoneError):
    """The request was made by a page of somebody else."""

    code = "foreign_origin"
    status = 403


class TooManyAttempts(TurnstoneError):
    """Too many wrong tokens or login codes in a short time."""

    code = "too_many_attempts"
    status = 429


class TooManyRequests(TurnstoneError):
    """One token, or one address without, made more requests than the settings allow.
    `retry_after`: seconds."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, *, hint: str = "", retry_after: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class KeyUsed(TurnstoneError):
    """The `Idempotency-Key` was used for another request before."""

    code = "idempotency_key_used"
    status = 409


class TooSlow(TurnstoneError):
    """The body of a request did not come in time."""

    code = "too_slow"
    status = 408


class BadRequest(TurnstoneError):
    """What was sent is not HTTP, or its head is longer than any request needs."""

    code = "bad_request"
    status = 400


class InternalError(TurnstoneError):
    """A fault of the node itself."""

    code = "internal"
    status = 500


def body_of(error: TurnstoneError) -> ErrorBody:
    """The error as it goes over the wire."""
    return ErrorBody(error=error.message, code=error.code, hint=error.hint)


def error_of(body: ErrorBody) -> TurnstoneError:
    """The error that `body` tells of, of the class that has its code.

    A code that this version does not know becomes a plain TurnstoneError, its words kept.
    """
    for kind in _kinds(TurnstoneError):
        if kind.code == body.code:
            error = kind.__new__(kind)  # some are made of other things than their words
            TurnstoneError.__init__(error, body.error, hint=body.hint)
            return error
    return TurnstoneError(body.error, hint=body.hint)


def read_error(status: int, content: bytes, where: str) -> TurnstoneError:
    """The error of an answer that was no success; one of another shape comes from no node."""
    try:
        return error_of(msgspec.json.decode(content, type=ErrorBody))
    except msgspec.DecodeError:
        return not_a_node(where, f"status {status}")


def not_a_node(where: str, detail: str) -> NodeUnavailable:
    return NodeUnavailable(
        f"What answers at {where} is not a Turnstone node ({detail}).",
        hint="Check the address: it is the one that turnstone-server printed at its start.",
    )


def _kinds(kind: type[TurnstoneError]) -> Iterator[type[TurnstoneError]]:
    yield kind
    for lower in kind.__subclasses__():
        yield from _kinds(lower)
