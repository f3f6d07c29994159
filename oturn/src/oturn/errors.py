"""The errors of oturn: one tree, one line of meaning each. Messages are sentences for people.

Two kinds, as in any protocol: the caller's (`OturnError` and its kin, raised) and the model
server's (`ModelError`, a value: it travels inside a stream and is never raised by one).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


class OturnError(Exception):
    """Base of everything that oturn raises on purpose."""


class ConfigError(OturnError, ValueError):
    """A setting or argument is wrong; the message names it and says what would be right."""


class SessionNotLoadedError(OturnError):
    """A session's file could not be read, so nothing is added to it; the message says why."""


class MissingExtraError(OturnError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


ModelErrorKind: TypeAlias = Literal[
    "unreachable",  # no connection: wrong address, server down, DNS, TLS
    "timeout",  # connected, and then nothing for too long
    "auth",  # 401, 403: the key is missing or refused
    "not_found",  # 404: no such path or model there
    "rate_limited",  # 429; `retry_after` if the server said
    "too_long",  # the request does not fit the model's context
    "refused",  # any other 4xx
    "server",  # 5xx, or an error object in the stream
    "broken",  # the stream ended early, or was no chat-completions stream
]


@dataclass(frozen=True, slots=True)
class ModelError:
    """Why a model gave no answer. `message` is one sentence that says what to do."""

    kind: ModelErrorKind
    message: str
    status: int | None = None  # HTTP status, if there was one
    retry_after: float | None = None  # seconds
    context_window: int | None = None  # tokens, where a `too_long` request was told it
    lost: bool = field(default=False, compare=False)  # a connection that may be whole next time
    rephrased: bool = field(default=False, compare=False)  # sent again, it is in another dialect

    def __str__(self) -> str:
        return self.message


class ModelServerError(OturnError):
    """A question to a model server, other than a stream, was not answered; `error` says why."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error
