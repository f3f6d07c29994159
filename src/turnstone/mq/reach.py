"""Where the Redis that keeps the queue is just now: asked of Sentinels, or of a cluster's nodes.

Every new connection asks first, so that who is cut off by a failover comes back to the new
primary. It never retries by itself, and moves no data.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import redis.asyncio
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection

Place: TypeAlias = tuple[str, int]

#: Seconds for one Sentinel to answer, before the next is asked.
SENTINEL_PATIENCE = 1.0

#: What the driver raises where something else than Redis answers, beside InvalidResponse.
_NO_PROTOCOL = (ValueError, LookupError, TypeError, AttributeError)
_NOT_REDIS = "what came is not of its protocol"

#: How often one command follows the keys to another node of a cluster.
_FOLLOWED = 3


class NoPlace(exceptions.ConnectionError):
    """Nobody says where the queue is; the text says who was asked."""


class Spread(NoPlace):
    """This is a cluster, and the prefix of the queue keeps its keys in no one slot."""


class Places(Protocol):
    """What one client knows of where to go."""

    async def find(self) -> Place:
        """Where to connect now. Raises NoPlace."""

    def failed(self, place: Place) -> None:
        """Nobody answered there."""


@dataclass
class Nodes:
    """One Redis, or the nodes of a cluster that were named so far: the first is tried next.

    `tagged`: whether all keys of the queue are in one slot. `clustered` is None until a
    connection has asked.
    """

    start: Place
    tagged: bool = True
    clustered: bool | None = None
    _known: list[Place] = field(default_factory=list)

    async def find(self) -> Place:
        return self._known[0] if self._known else self.start

    def failed(self, place: Place) -> None:
        if self._known and self._known[0] == place:
            self._known.append(self._known.pop(0))

    def moved(self, place: Place) -> None:
        """The keys are there now."""
        self._known = [place, *(known for known in self._known if known != place)]

    def know(self, first: Place, others: Iterable[Place]) -> None:
        """All nodes that a cluster has; `first` answers."""
        self._known = list(dict.fromkeys((first, *others, self.start)))


@dataclass
class Sentinels:
    """Those that watch one primary: asked in turn, beginning with the one that last answered."""

    name: str
    ask: dict[Place, Callable[[], redis.asyncio.Redis]]

    async def find(self) -> Place:
        problem: str = ""
        for place, client in list(self.ask.items()):
            try:
                found = await self._asked(client())
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                said = str(error) or "nothing in time"
                problem = problem or f"{place[0]}:{place[1]} says: {said}"
                continue
            if found is not None:
                self.ask = {place: client} | self.ask
                return found
            problem = f"{place[0]}:{place[1]} knows no primary of the name {self.name}"
        raise NoPlace(f"no Sentinel tells where the primary {self.name} is; {problem}")

    def failed(self, place: Place) -> None:
        """The Sentinels find that out themselves."""

    async def _asked(self, client: Any) -> Place | None:
        try:
            async with asyncio.timeout(SENTINEL_PATIENCE):
                found = await client.execute_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name
                )
        finally:
            await client.aclose()
        return None if found is None else (found[0].decode(), int(found[1]))


class Client(redis.asyncio.Redis):
    """A client that follows the keys of the queue when a cluster has moved them."""

    # Any: the commands of the driver are not typed.
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        execute: Any = super().execute_command
        for _ in range(_FOLLOWED):
            try:
                return await execute(*args, **options)
            except exceptions.MovedError:
                continue  # it was not carried out, and the connection knows the other node now
        return await execute(*args, **options)


class _Finding(Connection):
    """A connection that asks where to go, each time it connects."""

    def __init__(self, *, places: Places, **options: Any) -> None:
        self._places = places
        super().__init__(**options)

    async def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        if self.is_connected:
            return
        place = self.host, self.port = await self._places.find()
        try:
            await super().connect_check_health(check_health, retry_socket_connect)
        except BaseException as error:
            self._places.failed(place)
            await self.disconnect(nowait=True)
            if isinstance(error, _NO_PROTOCOL):
                raise exceptions.InvalidResponse(f"{_NOT_REDIS}: {error}") from error
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        if isinstance(self._places, Nodes):
            await self._look_around(self._places)

    async def _look_around(self, nodes: Nodes) -> None:
        """Whether this is a cluster, and which nodes it has. Asks nothing of a single Redis but
        the first time; what a user may not ask is learned when the keys move."""
        if nodes.clustered is None:
            nodes.clustered = _mode(await self._answer("HELLO")) == b"cluster"
        if not nodes.clustered:
            return
        if not nodes.tagged:
            raise Spread("it is a cluster")
        told = await self._answer("CLUSTER", "SLOTS") or ()
        here = (self.host, self.port)
        named = [(self._named(node[0]), int(node[1])) for slots in told for node in slots[2:]]
        nodes.know(here, named)

    async def _answer(self, *command: str) -> Any:
        await self.send_command(*command, check_health=False)
        try:
            return await self.read_response()
        except exceptions.ResponseError:
            return None

    def _named(self, host: bytes | str | None) -> str:
        """A node that does not know its own address is where it was asked."""
        name = host.decode() if isinstance(host, bytes) else host
        return name if name and name != "?" else self.host

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except exceptions.MovedError as moved:
            if isinstance(self._places, Nodes):
                self._places.moved((self._named(moved.host), moved.port))
            await self.disconnect(nowait=True)
            raise
        except exceptions.ReadOnlyError:
            await self.disconnect(nowait=True)  # the name may mean another server by now
            raise
        except _NO_PROTOCOL as error:
            # What the driver's parser stumbles over; it has let go of the connection.
            raise exceptions.InvalidResponse(f"{_NOT_REDIS}: {error}") from error


class Finding(_Finding):
    """Without TLS."""


class FindingTls(_Finding, SSLConnection):
    """With TLS."""


def found_by(client: redis.asyncio.Redis, places: Places, tls: bool) -> None:
    """Let all connections that this client makes ask `places` first."""
    pool = client.connection_pool
    pool.connection_class = FindingTls if tls else Finding
    pool.connection_kwargs["places"] = places


def tls_problem(ca: str | None, cert: str | None, key: str | None) -> tuple[str, str] | None:
    """Which of these files cannot be used for TLS (`ca`, `cert`), and why; None if all can."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        return "ca", _why(error)
    try:
        if cert:
            context.load_cert_chain(cert, key)
    except OSError as error:
        return "cert", _why(error)
    return None


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _mode(hello: Any) -> bytes:
    pairs = hello if isinstance(hello, dict) else dict(zip(*[iter(hello or ())] * 2, strict=True))
    return bytes(pairs.get(b"mode", b""))
