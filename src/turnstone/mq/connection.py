"""Where Redis is, how it is reached, and what it means when it refuses, in one sentence each.

It keeps no state and never retries: whoever uses the queue has a loop of its own for that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from turnstone.core.errors import ConfigurationError, TurnstoneError
from turnstone.mq.errors import QueueBroken, QueueRefuses, QueueUnavailable
from turnstone.mq.reach import (
    SENTINEL_PATIENCE,
    Client,
    Nodes,
    NoPlace,
    Place,
    Places,
    Sentinels,
    Spread,
    found_by,
    tls_problem,
)

#: Seconds for Redis to take a connection, or to answer a step that never waits.
PATIENCE = 10.0

#: On a cluster, what stands in braces decides the slot of a name.
TAGGED = re.compile(r"\{[^}]+\}")

#: How its answers begin where it has no such database.
_NO_DATABASE = ("DB index is out of range", "invalid DB index")

#: How the answers of a Redis begin that will do the same later.
_PASSING = (
    *("MISCONF", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "LOADING"),
    "UNBLOCKED",  # what waited, where a primary has become a replica
)

#: How it begins where a script met something that the user may not do.
_NO_RIGHT = re.compile(r"(ERR )?ACL failure|.*can't run this command|NOPERM", re.IGNORECASE)

#: The port of a Sentinel that is named without one, and how they are named.
SENTINEL_PORT = 26_379
_SENTINEL = re.compile(r"(\[[^\[\]]+\]|[^:\s]+)(?::([0-9]{1,5}))?")

#: Cluster states in which the keys of the queue are on their way from one node to another.
_MOVING = (exceptions.AskError, exceptions.TryAgainError)

#: How the driver says that the other side has ended a connection, or speaks no TLS.
_CUT = re.compile(r"while reading|reset|closed|WRONG_VERSION", re.IGNORECASE)

_NO_WAY = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
    Spread,
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis listens. `unix_socket`, where given, wins over host and port, and `sentinels`
    (each host:port) over both: they say where the primary `sentinel_name` is.

    `wait_replicas`, `wait_ms`: see `Pushes`. `by_arguments`: a program gave it, and is told of
    its arguments; else of the settings.
    """

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    unix_socket: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    sentinels: tuple[str, ...] = ()
    sentinel_name: str = "mymaster"
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    wait_replicas: int = 1
    wait_ms: int = 500
    by_arguments: bool = field(default=False, repr=False, compare=False)

    def __str__(self) -> str:
        if self.sentinels:
            return f"{self.sentinel_name} (by Sentinel {', '.join(self.sentinels)})"
        return self.unix_socket or f"{self.host}:{self.port}"

    def named(self, what: str) -> str:
        """What a person calls these parts of the address, where they gave it."""
        return what if self.by_arguments else f"[redis] {what}"

    def client(self, prefix: str = "") -> redis.asyncio.Redis:
        """A client of its own connections, which go to where the queue is just then. It has no
        time limit: see `asking`. With a `prefix` that has no hash tag, no cluster will do.

        Raises ConfigurationError for parts that cannot be used.
        """
        client = self._connecting(self.host, self.port, db=self.db, path=self.unix_socket)
        tagged = not prefix or TAGGED.search(prefix) is not None
        if self.sentinels:
            found_by(client, Sentinels(self.sentinel_name, self._asking_sentinels()), self.tls)
        elif not self.unix_socket:
            places: Places = Nodes((self.host, self.port), tagged)
            found_by(client, places, self.tls)
        return client

    def _connecting(
        self, host: str, port: int, db: int = 0, path: str | None = None, *, sentinel: bool = False
    ) -> redis.asyncio.Redis:
        self._check_tls()
        return Client(
            host=host,
            port=port,
            db=db,
            username=self.sentinel_username if sentinel else self.username,
            password=self.sentinel_password if sentinel else self.password,
            ssl=self.tls,
            ssl_ca_certs=self.tls_ca_file,
            ssl_certfile=self.tls_cert_file,
            ssl_keyfile=self.tls_key_file,
            unix_socket_path=None if self.sentinels else path,
            # The driver keeps its limit by asyncio.wait_for, which before Python 3.12 swallows a
            # cancellation that comes at the wrong moment; and it would cut off what blocks.
            socket_timeout=None,
            socket_connect_timeout=SENTINEL_PATIENCE if sentinel else PATIENCE,
            retry=Retry(NoBackoff(), 0),
            # A user of few rights would be refused what it asks for, and Redis would log that.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )

    def _asking_sentinels(self) -> dict[Place, Callable[[], redis.asyncio.Redis]]:
        return {
            place: partial(self._connecting, *place, sentinel=True)
            for place in map(self._sentinel, self.sentinels)
        }

    def _sentinel(self, named: str) -> Place:
        found = _SENTINEL.fullmatch(named.strip())
        if found is None or int(found[2] or 0) > 65_535:
            raise ConfigurationError(
                f"{self.named('sentinels')} has {named!r}, which is no address of a Sentinel.",
                hint="Write each as host:port.",
            )
        return found[1].strip("[]"), int(found[2] or SENTINEL_PORT)

    def _check_tls(self) -> None:
        files = (self.tls_ca_file, self.tls_cert_file, self.tls_key_file)
        if any(files) and not self.tls:
            raise ConfigurationError(
                f"Files for TLS are given for Redis at {self}, and TLS is not asked for.",
                hint=f"Set {self.named('tls')} too, or leave them out.",
            )
        if self.tls_key_file and not self.tls_cert_file:
            raise ConfigurationError(
                f"{self.named('tls_key_file')} is set without the certificate that it belongs to.",
                hint=f"Set {self.named('tls_cert_file')} too.",
            )
        problem = tls_problem(*files) if any(files) else None
        if problem is not None:
            what, why = problem
            path = self.tls_ca_file if what == "ca" else self.tls_cert_file
            also = f" (with the key {self.tls_key_file})" if what == "cert" else ""
            raise ConfigurationError(
                f"{self.named(f'tls_{what}_file')} cannot be used: {path}{also}: {why}.",
                hint="It must be a file in PEM form that this program may read.",
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
    if wrong and _NO_RIGHT.match(text):
        return _no_right(address, text)
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
    if address.sentinels:
        return address.named("sentinels")
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


def _no_right(address: RedisAddress, text: str) -> QueueRefuses:
    return QueueRefuses(
        f"The user of Redis at {address} may not do this: {text}.",
        hint="Give it the commands, keys and channels that docs/redis.md lists.",
    )


def _no_place(address: RedisAddress, error: NoPlace) -> QueueUnavailable:
    if isinstance(error, Spread):
        return QueueUnavailable(
            f"Redis at {address} is a cluster, where all keys of a queue must be in one slot; this"
            " prefix spreads them.",
            hint=f"Put {address.named('prefix')} in braces, as in {{turnstone}}, in every program"
            " that uses the queue.",
        )
    return QueueUnavailable(
        f"Redis cannot be found: {error}.",
        hint=f"Look whether the Sentinels run, or correct {address.named('sentinels')} and"
        f" {address.named('sentinel_name')}.",
    )


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
        return _no_right(address, text)
    if isinstance(error, exceptions.OutOfMemoryError):
        return QueueRefuses(f"Redis at {address} is full.", hint="Give it more memory (maxmemory).")
    if isinstance(error, NoPlace):
        return _no_place(address, error)
    if isinstance(error, _MOVING):
        return QueueUnavailable(
            f"The cluster of Redis at {address} is moving the keys of the queue to another node.",
            hint="Wait.",
        )
    if isinstance(error, exceptions.InvalidResponse):
        return QueueUnavailable(
            f"What answers at {address} does not speak as Redis does: {text[:200]!r}.",
            hint=f"Look what is there or in between, or correct {_place(address)}.",
        )
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
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return QueueUnavailable(
            f"The certificate of Redis at {address} is not trusted: {text}.",
            hint=f"Name who signed it: {address.named('tls_ca_file')}. Its name must be the host's.",
        )
    if isinstance(error, exceptions.ConnectionError | OSError):
        return QueueUnavailable(
            f"Redis at {address} cannot be reached: {text}.",
            hint=f"Start it, or correct {_place(address)}.{_perhaps(address, text)}",
        )
    return QueueUnavailable(f"Redis at {address} refuses: {text}.", hint="See its log.")
