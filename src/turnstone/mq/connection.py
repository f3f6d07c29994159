"""Where Redis is, how it is reached, and what it means when it refuses, in one sentence each.

It keeps no state and never retries: whoever uses the queue has a loop of its own for that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from turnstone.core.errors import TurnstoneError
from turnstone.mq.errors import QueueBroken, QueueRefuses, QueueUnavailable

#: Seconds for Redis to take a connection, or to answer a step that never waits.
PATIENCE = 10.0

#: How its answers begin where it has no such database.
_NO_DATABASE = ("DB index is out of range", "invalid DB index")

#: How the answers of a Redis begin that will do the same later.
_PASSING = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "LOADING")

#: How the driver says that the other side has ended a connection, or speaks no TLS.
_CUT = re.compile(r"while reading|reset|closed|WRONG_VERSION", re.IGNORECASE)

_NO_WAY = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis listens. `unix_socket`, where given, wins over host and port.

    `by_arguments`: a program gave it, and is told of its arguments; else of the settings.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    unix_socket: str | None = None
    by_arguments: bool = field(default=False, repr=False, compare=False)

    def __str__(self) -> str:
        return self.unix_socket or f"{self.host}:{self.port}"

    def named(self, what: str) -> str:
        """What a person calls these parts of the address, where they gave it."""
        return what if self.by_arguments else f"[redis] {what}"

    def client(self) -> redis.asyncio.Redis:
        """A client of its own connections. It has no time limit: see `asking`."""
        return redis.asyncio.Redis(
            host=self.host,
            port=self.port,
            db=self.db,
            username=self.username,
            password=self.password,
            ssl=self.tls,
            unix_socket_path=self.unix_socket,
            # The driver keeps its limit by asyncio.wait_for, which before Python 3.12 swallows a
            # cancellation that comes at the wrong moment; and it would cut off what blocks.
            socket_timeout=None,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )


@asynccontextmanager
async def asking(
    address: RedisAddress, seconds: float = PATIENCE, what: str = ""
) -> AsyncIterator[None]:
    """For one call: Redis has so long to answer. Raises as `translated`."""
    with translated(address, what):
        async with asyncio.timeout(seconds):
            yield


@contextmanager
def translated(address: RedisAddress, what: str = "") -> Iterator[None]:
    """Turns what the driver raises for a Redis that cannot be used into QueueUnavailable, and
    for one that can, but not do this, into QueueBroken. `what`: the command and its names."""
    try:
        yield
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        raise _explained(address, error, what) from error


def _explained(address: RedisAddress, error: Exception, what: str) -> TurnstoneError:
    text = str(error).rstrip(".") or type(error).__name__
    wrong = type(error) is exceptions.ResponseError and not text.startswith(_PASSING)
    if text.startswith(_NO_DATABASE):
        return QueueUnavailable(
            f"Redis at {address} has no database {address.db}.",
            hint=f"Choose another {address.named('db')}; most have 0 to 15.",
        )
    if (wrong and not _of_login(text)) or isinstance(error, exceptions.DataError):
        return QueueBroken(
            f"Redis at {address} cannot do {what or 'what it was asked for'}: {text}.",
            hint="If another program uses one of these names there, give Turnstone a"
            f" {address.named('prefix')} or db of its own; otherwise this is a fault of Turnstone.",
        )
    return _unavailable(address, error, text)


def hopeless(error: QueueUnavailable) -> bool:
    """Not a matter of waiting: a wrong password, a database or rights that are missing."""
    why = error.__cause__
    return isinstance(why, _NO_WAY) or str(why).startswith(_NO_DATABASE)


def _place(address: RedisAddress) -> str:
    return address.named("unix_socket" if address.unix_socket else "host and port")


def _perhaps(address: RedisAddress, text: str) -> str:
    """What TLS may have to do with a connection that was cut: each side speaks another language."""
    if address.unix_socket or not _CUT.search(text):
        return ""
    if address.tls:
        return f" {_no_tls(address)}"
    return f" If it has never answered here, it may want TLS: then set {address.named('tls')}."


def _no_tls(address: RedisAddress) -> str:
    return f"It may speak no TLS at this port: then leave out {address.named('tls')}."


def _login(address: RedisAddress) -> QueueUnavailable:
    user = "username" if address.by_arguments else "user"
    where = f"{address.named('password')}, and {user} if it has users"
    if address.password is None:
        return QueueUnavailable(
            f"Redis at {address} asks for a password, and none was given.", hint=f"Set {where}."
        )
    of = f" for the user {address.username}" if address.username else ""
    return QueueUnavailable(
        f"Redis at {address} does not accept the password{of}.", hint=f"Correct {where}."
    )


def _of_login(text: str) -> bool:
    return text.startswith(("NOAUTH", "WRONGPASS", "invalid username-password", "invalid password"))


def _unavailable(address: RedisAddress, error: Exception, text: str) -> QueueUnavailable:
    if isinstance(error, exceptions.BusyLoadingError):
        return QueueUnavailable(f"Redis at {address} is still loading its data.", hint="Wait.")
    if isinstance(error, exceptions.AuthenticationError) or _of_login(text):
        return _login(address)
    if isinstance(error, exceptions.NoPermissionError):
        return QueueRefuses(
            f"The user of Redis at {address} may not do this: {text}.",
            hint="Give it all commands and channels on the keys of the prefix.",
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return QueueRefuses(f"Redis at {address} is full.", hint="Give it more memory (maxmemory).")
    if isinstance(error, exceptions.ReadOnlyError):
        return QueueUnavailable(
            f"Redis at {address} is a replica, and takes no writes.", hint="Name the primary."
        )
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return QueueUnavailable(
            f"Redis at {address} did not answer in time.",
            hint="It may be paused, or not be there."
            + (f" {_no_tls(address)}" if address.tls else ""),
        )
    if isinstance(error, exceptions.ConnectionError | OSError):
        return QueueUnavailable(
            f"Redis at {address} cannot be reached: {text}.",
            hint=f"Start it, or correct {_place(address)}.{_perhaps(address, text)}",
        )
    return QueueUnavailable(f"Redis at {address} refuses: {text}.", hint="See its log.")
