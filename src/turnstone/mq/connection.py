"""Where Redis is, how it is reached, and what it means when it refuses, in one sentence each.

It keeps no state and never retries: whoever uses the queue has a loop of its own for that.
"""

from __future__ import annotations

import asyncio
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

#: How the answers of a Redis begin that will do the same later.
_PASSING = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "LOADING")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis listens. `unix_socket`, where given, wins over host and port."""

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    unix_socket: str | None = None

    def __str__(self) -> str:
        return self.unix_socket or f"{self.host}:{self.port}"

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
    if (wrong and not _of_login(text)) or isinstance(error, exceptions.DataError):
        return QueueBroken(
            f"Redis at {address} cannot do {what or 'what it was asked for'}: {text}.",
            hint="If another program uses one of these names there, give Turnstone a [redis]"
            " prefix or db of its own; otherwise this is a fault of Turnstone.",
        )
    return _unavailable(address, error, text)


def _login(address: RedisAddress) -> QueueUnavailable:
    where = "[redis] password, and user if it has users"
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
            f"Redis at {address} did not answer in time.", hint="Is it there, and not paused?"
        )
    if isinstance(error, exceptions.ConnectionError | OSError):
        return QueueUnavailable(
            f"Redis at {address} cannot be reached: {text}.",
            hint="Start it, or correct [redis] host and port.",
        )
    return QueueUnavailable(f"Redis at {address} refuses: {text}.", hint="See its log.")
