"""A queue in this process: what Redis keeps for a cluster, as plain Python.

Several nodes of one process share one, each with its own `MemoryWork`; so do programs that push
messages and listen. It has lists with waiters, channels and streams, and knows no steps. Nothing
in it is kept beyond the process. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from turnstone.core.clock import Clock, SystemClock
from turnstone.core.events import EventId
from turnstone.mq import entry as entries
from turnstone.mq.errors import QueueBroken
from turnstone.mq.keys import EVENTS_MAX, Keys


@dataclass
class Record:
    """What is known of one message: the fields of the hash `P:x:cid:<cid>`."""

    state: str = ""
    node: str = ""
    incarnation: str = ""
    until: float = 0.0
    epoch: int = 0
    fx: bool = False
    tries: int = 0
    ws_id: str = ""
    result: bytes | None = None
    ending: list[bytes] = field(default_factory=list)
    attempt: str = ""  # the last one, and whether an earlier one was bound to a node
    was_bound: bool = False
    digest: str = ""


@dataclass(frozen=True)
class DeadLetter:
    correlation_id: str
    ws_id: str
    reason: str
    tries: int
    node: str
    raw: bytes
    size: int = 0  # bytes of the whole message
    id: str = ""
    time: float = 0.0


@dataclass
class Beats:
    """The fields of the hash `P:x:beats`."""

    life: str = ""
    count: int = 0
    last: float = 0.0
    since: float = 0.0  # `from` there
    hold: float | None = None


@dataclass(eq=False)
class _Waiter:
    target: str
    served: asyncio.Future[None]


class MemoryBroker:
    """The state that the steps work on. `clock` is the one clock of all leases."""

    def __init__(self, *, clock: Clock | None = None, prefix: str = "turnstone") -> None:
        self.clock: Clock = clock or SystemClock()
        self.keys = Keys(prefix)
        self.lists: dict[str, deque[bytes]] = {}
        self.records: dict[str, Record] = {}
        self.inflight: dict[str, dict[str, bytes]] = {}
        self.leases: dict[str, float] = {}
        self.seats: dict[str, str] = {}  # incarnation
        self.heartbeats: dict[str, tuple[float, bytes]] = {}
        self.seen: dict[str, float] = {}  # when that was last
        self.strays: dict[str, float] = {}
        self.gone: dict[str, float] = {}  # since when that is known
        self.labels: dict[str, tuple[str, ...]] = {}  # of nodes
        self.waits: dict[str, float] = {}  # by requirement
        self.behind: dict[str, tuple[int, str]] = {}  # of workstreams
        self.beats = Beats()
        self.turns: dict[str, float] = {}  # when somebody last saw to it
        self.owners: dict[str, str] = {}
        self.epochs: dict[str, int] = {}
        self.floor = 0  # the highest of those that were forgotten
        self.streams: dict[str, deque[tuple[EventId, bytes]]] = {}
        self.dead: list[DeadLetter] = []
        self.letters = 0  # that ever were
        self.timers: dict[str, bytes] = {}
        self.anonymous = 0
        self.foreign: set[str] = set()  # names that something else uses, as anybody's keys may
        self._waiters: dict[str, deque[_Waiter]] = {}
        self._subscribers: dict[str, list[asyncio.Queue[bytes]]] = {}

    def send(self, message: bytes, node_id: str = "") -> None:
        """What a client does: into the shared list, or into a node's."""
        self.push(self.keys.inbound_of(node_id) if node_id else self.keys.inbound, message)

    def push(self, name: str, entry: bytes) -> None:
        """To the tail; the waiter that has waited longest is served at once, as Redis does."""
        self.list(name).append(entry)
        self.serve(name)

    def unshift(self, name: str, entry: bytes) -> None:
        """To the head; otherwise as `push`."""
        self.list(name).appendleft(entry)
        self.serve(name)

    def insert(self, name: str, entry: bytes, after: bytes, within: int) -> None:
        """Behind another entry, if that is so near the head; otherwise as `unshift`."""
        head = list(islice(self.list(name), within))
        if after in head:
            self.list(name).insert(head.index(after) + 1, entry)
        else:
            self.unshift(name, entry)

    def serve(self, name: str) -> None:
        """Give those that wait for a list what is in it."""
        waiting = self._waiters.setdefault(name, deque())
        while waiting and self.length(name):
            waiter = waiting.popleft()
            self.push(waiter.target, self.lists[name].popleft())
            # It may have been cancelled just now: then what it waited for is there all the same.
            if not waiter.served.done():
                waiter.served.set_result(None)

    def named(self, entry: bytes) -> bytes:
        """The entry with an id of its own, if its message came without one."""
        found = entries.read(entry)
        if not found.anonymous:
            return entry
        self.anonymous += 1
        given = f"{entries.GIVEN}{round(self.clock.now() * 1_000_000)}-{self.anonymous}"
        return entries.envelope(given, found.raw)

    def misused(self, *names: str) -> str:
        """Why a message cannot be handled that needs these names; empty if it can."""
        for name in names:
            if name in self.foreign:
                return (
                    f"The name {name} in Redis is in use by something that is not the queue's:"
                    " remove that, and send the message again."
                )
        return ""

    def record(self, correlation_id: str) -> Record | None:
        """That of a message. Raises QueueBroken where its name is in use by something else."""
        bad = self.record_misused(correlation_id)
        if bad:
            raise QueueBroken(bad)
        return self.records.get(correlation_id)

    def record_misused(self, correlation_id: str) -> str:
        return self.misused(self.keys.message(correlation_id)) if correlation_id else ""

    def list(self, name: str) -> deque[bytes]:
        return self.lists.setdefault(name, deque())

    def length(self, name: str) -> int:
        return len(self.lists.get(name, ()))

    def take(self, source: str, target: str) -> bool:
        """Move the head of one list to the tail of another; False if there was none."""
        if not self.length(source):
            return False
        self.push(target, self.lists[source].popleft())
        return True

    async def wait(self, source: str, target: str, seconds: float) -> bool:
        """The same, but wait for one. Cancelled, it may have moved one all the same."""
        if self.take(source, target):
            return True
        if seconds <= 0:
            return False
        waiter = _Waiter(target, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(source, deque()).append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter.served
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters[source]:
                self._waiters[source].remove(waiter)
        return True

    def publish(self, channel: str, message: bytes) -> int:
        listening = self._subscribers.get(channel, [])
        for queue in listening:
            queue.put_nowait(message)
        return len(listening)

    def listeners(self, channel: str) -> int:
        return len(self._subscribers.get(channel, ()))

    @contextmanager
    def subscribe(self, *channels: str) -> Iterator[asyncio.Queue[bytes]]:
        """What is published on these channels from now on, until the block ends."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        for channel in channels:
            self._subscribers.setdefault(channel, []).append(queue)
        try:
            yield queue
        finally:
            for channel in channels:
                self._subscribers[channel].remove(queue)

    def append(self, stream: str, event_id: EventId, envelope: bytes) -> bool:
        """False if the stream is at this id already, or beyond."""
        events = self.streams.setdefault(stream, deque(maxlen=EVENTS_MAX))
        if events and event_id <= events[-1][0]:
            return False
        events.append((event_id, envelope))
        return True

    def epoch(self, ws_id: str) -> int:
        """That of a workstream; of one that is not known, behind which it begins."""
        return self.epochs.get(ws_id, self.floor)

    def note(self, node_id: str) -> None:
        """A node is there, or somebody knew it."""
        self.seen[node_id] = self.clock.now()

    def alive(self, incarnation: str) -> float | None:
        """The end of its lease, if that is still to come."""
        ends = self.leases.get(incarnation)
        return ends if ends is not None and ends > self.clock.now() else None
