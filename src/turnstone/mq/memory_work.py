"""The steps of the queue in this process: the twin of `RedisWork`, script for script.

Each method is the script of the same name over a `MemoryBroker`; nothing in one of them waits,
so each is as atomic as a script. Where `claim` puts an entry is said in `memory_route`; `reap` is
in `memory_reap` and `memory_strays`. Differences are faults, and the contract suite looks for
them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from turnstone.core.events import EventId
from turnstone.mq import entry as entries
from turnstone.mq import memory_strays as strays
from turnstone.mq.errors import AnotherWorker, LeaseOver
from turnstone.mq.keys import NODE_TTL
from turnstone.mq.memory_admit import Admitting
from turnstone.mq.memory_beats import note_beat, turns_of
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import give_up, tell
from turnstone.mq.memory_forestall import MemoryForestall
from turnstone.mq.memory_gone import MemoryGone
from turnstone.mq.memory_labels import MemoryLabels
from turnstone.mq.memory_reap import Reaping
from turnstone.mq.memory_route import place_of, refuse, spoilt, unstage
from turnstone.mq.memory_takeover import MemoryTakeOver
from turnstone.mq.signing import Keyring
from turnstone.mq.taken import claimed, inflight, seats, unfinished
from turnstone.mq.timers import MemoryTimers
from turnstone.mq.work import (
    GRACE,
    LEASE,
    LOST_AFTER,
    MAX_TRIES,
    SLICE,
    UNKNOWN_AFTER,
    Admitted,
    Claimed,
    Lane,
    Rival,
    Seat,
    Standing,
    Unfinished,
)


class MemoryWork(MemoryGone, MemoryForestall, MemoryLabels, MemoryTakeOver):
    """The steps of one node on a shared broker; see `Work`."""

    def __init__(
        self,
        broker: MemoryBroker,
        node_id: str,
        *,
        boot: str = "",
        lease: float = LEASE,
        grace: float = GRACE,
        lost_after: float = LOST_AFTER,
        unknown_after: float = UNKNOWN_AFTER,
        max_tries: int = MAX_TRIES,
        seat: Seat | None = None,
        labels: Sequence[str] = (),
        keyring: Keyring | None = None,
    ) -> None:
        self.node_id, self.labels = node_id, tuple(labels)
        self.keyring = keyring and keyring.of(broker.keys.prefix)
        self.boot = boot or secrets.token_hex(4)
        self.keys = broker.keys
        self.broker = broker
        self.timers = MemoryTimers(broker, self.keyring)
        self._grace, self._lost_after = grace, lost_after
        self.incarnation = f"{node_id}|{self.boot}"
        self._lease, self._max_tries = lease, max_tries
        self._unknown_after = unknown_after
        self._beats = ("", 0)  # the life of the queue that this process knows, and its last beat
        self._seat, self._seats = seat or Seat(""), seats(node_id, seat)
        self._lists = {
            "shared": self.keys.processing_shared(self.incarnation),
            "directed": self.keys.processing_directed(self.incarnation),
        }

    async def beat(self, metadata: dict[str, object]) -> bool:
        rival = await self.rival()
        if rival is not None:
            raise AnotherWorker(self._seat.server_id, rival.incarnation, rival.seat)
        held = self.broker.alive(self.incarnation) is not None
        lost, self._beats = note_beat(self.broker, self.incarnation, self._lease, self._beats)
        now = self.broker.clock.now()
        for name in self._seats:
            self.broker.seats[name] = self.incarnation
        self.broker.leases[self.incarnation] = now + self._lease
        self.broker.note(self.node_id)
        self._say_labels()
        until = now + max(NODE_TTL, round(self._lease))
        self.broker.heartbeats[self.node_id] = (until, json.dumps(metadata).encode())
        return held and not lost

    async def rival(self) -> Rival | None:
        for name in self._seats:
            holder = self.broker.seats.get(name, "")
            ends = self.broker.alive(holder)
            dead = holder.rpartition("|")[2] in self._seat.dead
            if ends is not None and holder != self.incarnation and not dead:
                return Rival(holder, ends, name)
        return None

    async def pull_directed(self, wait: float) -> bool:
        staged, inbound = self.keys.directed_stage(self.node_id), self.keys.inbound_of(self.node_id)
        if self._take_directed(staged, inbound):
            return True
        if wait <= 0 or not await self.broker.wait(inbound, staged, wait):
            return False
        return self._take_directed(staged, inbound)

    async def pull_shared(self, wait: float) -> bool:
        return await self.broker.wait(self.keys.inbound, self.keys.stage, wait)

    async def claim(self, free: int) -> list[Claimed]:
        self._need_lease()
        taken: list[Claimed] = []
        for _ in range(SLICE):
            if len(taken) >= free:
                break
            there, entry = self._next()
            if not there:
                break
            if entry is not None:
                self._route(entry, taken)
        return taken

    def _route(self, entry: bytes, taken: list[Claimed]) -> None:
        if spoilt(self.broker, self.node_id, entry):
            return
        place = place_of(self.broker, self.node_id, entry)
        if place is not None and (bad := self.broker.misused(place)):
            refuse(self.broker, self.node_id, entry, bad)
            return
        if place is None:
            entry = self.broker.named(entry)
            taken.append(claimed("shared", entry))
            place = self._lists["shared"]
        self.broker.push(place, entry)

    async def unstage(self) -> int:
        return unstage(self.broker)

    async def directed(self) -> list[Claimed]:
        return self._held("directed")

    async def sweep(self) -> list[Claimed]:
        return [*self._held("directed"), *self._held("shared")]

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        held = self.broker.list(self._lists[claimed.lane])
        admitting = Admitting(self.broker, self.node_id, self.incarnation, held, self._max_tries)
        return admitting.run(claimed, bind=bind, attempt=attempt)

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        self._need_lease()
        record = self.broker.record(claimed.correlation_id)
        if record is None:
            record = Record("claimed", self.node_id, epoch=epoch, fx=True)
            self.broker.records[claimed.correlation_id] = record
        if not self._mine(record, epoch, "claimed", "accepted"):
            return False
        record.state = "accepted"
        held = inflight(claimed.lane, claimed.ws_id, claimed.entry)
        self._inflight[claimed.correlation_id] = held
        self._remove(claimed)
        return True

    async def give_back(self, claimed: Claimed, epoch: int, after: bytes = b"") -> bool:
        record = self.broker.record(claimed.correlation_id) or Record()
        if not self._mine(record, epoch, "claimed") or not self._remove(claimed):
            return False
        record.state, record.node, record.fx = "queued", "", False
        record.tries -= 1
        own = claimed.entry != claimed.raw
        name = (self.keys.inbound, self.keys.stage)[own]
        self.broker.insert(name, claimed.entry, after, SLICE)
        return True

    async def forward(self, claimed: Claimed, node_id: str) -> bool:
        if not self._remove(claimed):
            return False
        own = claimed.entry != claimed.raw
        places = (self.keys.inbound_of(node_id), self.keys.directed_stage(node_id))
        self.broker.note(node_id)
        self.broker.push(places[own], claimed.entry)
        return True

    async def bury(self, claimed: Claimed, reason: str) -> None:
        if self._remove(claimed):
            give_up(self.broker, claimed, reason, self.node_id)

    async def stand(self, correlation_id: str, epoch: int, raw: bytes, lane: Lane) -> Standing:
        ws_id = entries.read(raw).ws_id
        record = self.broker.record(correlation_id)
        if record is None:
            record = Record("accepted", self.node_id, epoch=epoch, fx=True, ws_id=ws_id)
            self.broker.records[correlation_id] = record
        if record.state in {"done", "dead"}:
            self._inflight.pop(correlation_id, None)
            return "done" if record.state == "done" else "dead"
        if record.state == "queued" or record.node != self.node_id:
            self._inflight.pop(correlation_id, None)
            return "other"
        if record.epoch != epoch:
            return "retry"
        record.state = "accepted"
        held = inflight(lane, ws_id, entries.envelope(correlation_id, raw))
        self._inflight.setdefault(correlation_id, held)
        return "ok"

    async def fence(self, correlation_id: str, epoch: int) -> bool:
        self._need_lease()
        record = self.broker.record(correlation_id)
        if record is None or not self._mine(record, epoch, "accepted"):
            return False
        record.fx = True
        return True

    async def done(
        self,
        correlation_id: str,
        epoch: int,
        ws_id: str,
        result: bytes,
        final: Sequence[bytes] = (),
    ) -> bool:
        record = self.broker.record(correlation_id)
        if record is None:
            record = Record("claimed", self.node_id, epoch=epoch)
            self.broker.records[correlation_id] = record
        if not self._mine(record, epoch, "claimed", "accepted", "done"):
            return False
        if record.state != "done":
            record.state, record.ws_id = "done", ws_id
            record.result, record.ending = result, list(final)
            tell(self.broker, record)
        self._inflight.pop(correlation_id, None)
        return True

    async def result(self, correlation_id: str) -> bytes | None:
        return (self.broker.record(correlation_id) or Record()).result

    async def unfinished(self) -> list[Unfinished]:
        return [
            unfinished(name.encode(), held, self.broker.records.get(name, Record()).epoch)
            for name, held in self._inflight.items()
            if not self.broker.record_misused(name)
        ]

    async def reap(self) -> int:
        if self.broker.alive(self.incarnation) is None:
            return 0
        reaping = Reaping(
            self.broker, self.node_id, self.incarnation, self._grace, self._lost_after
        )
        moved = reaping.run()
        return moved + strays.answer(self.broker, self._unknown_after, SLICE - moved, reaping.nodes)

    async def tidies(self, what: Sequence[str], seconds: float) -> set[str]:
        return turns_of(self.broker, self.incarnation, what, seconds)

    async def own(self, ws_id: str, epoch: int) -> int:
        known = self.broker.epoch(ws_id)
        if known > epoch:
            return known
        self.broker.epochs[ws_id] = epoch
        self.broker.owners[ws_id] = self.node_id
        return epoch

    async def owner(self, ws_id: str) -> str:
        return self.broker.owners.get(ws_id, "")

    async def disown(self, ws_id: str) -> None:
        if self.broker.owners.get(ws_id) == self.node_id:
            del self.broker.owners[ws_id]

    async def emit(
        self, ws_id: str, event_id: str, envelope: bytes, wire: Sequence[bytes], epoch: int = 0
    ) -> int:
        if 0 < epoch < self.broker.epochs.get(ws_id, 0):
            return -1
        stream = self.keys.event_stream(ws_id)
        if not self.broker.append(stream, EventId.parse(event_id), envelope):
            return 0
        heard = [self.broker.publish(self.keys.events(ws_id), message) for message in wire]
        return heard[-1] if heard else 0

    async def events(
        self, ws_id: str, after: str = "", limit: int = 1_000
    ) -> list[tuple[str, bytes]]:
        start = EventId.parse(after) if after else EventId(-1)
        found = self.broker.streams.get(self.keys.event_stream(ws_id), ())
        return [(str(place), envelope) for place, envelope in found if place > start][:limit]

    async def last_event(self, ws_id: str) -> str:
        found = self.broker.streams.get(self.keys.event_stream(ws_id))
        return str(found[-1][0]) if found else ""

    async def publish(self, channel: str, message: bytes) -> int:
        return self.broker.publish(self.keys.events(channel), message)

    async def listeners(self, ws_id: str) -> int:
        return self.broker.listeners(self.keys.events(ws_id))

    async def respond(self, request_id: str, answer: bytes) -> None:
        self.broker.push(self.keys.responses(request_id), answer)

    async def responses(self, request_id: str) -> bytes | None:
        answers = self.broker.list(self.keys.responses(request_id))
        return answers[0] if answers else None

    async def drop_response(self, request_id: str, answer: bytes) -> None:
        answers = self.broker.list(self.keys.responses(request_id))
        if answer in answers:
            answers.remove(answer)

    async def nodes(self) -> list[dict[str, object]]:
        now = self.broker.clock.now()
        return [
            {**json.loads(metadata), "node_id": node_id}
            for node_id, (until, metadata) in self.broker.heartbeats.items()
            if until > now
        ]

    async def unsafe(self) -> str:
        return ""  # memory throws nothing away

    async def aclose(self) -> None:
        if self.broker.alive(self.incarnation) is not None:
            self.broker.leases[self.incarnation] = self.broker.clock.now()

    def _need_lease(self) -> None:
        if self.broker.alive(self.incarnation) is None:
            raise LeaseOver(f"The lease of node {self.node_id} is over.", hint="Beat, then sweep.")

    def _take_directed(self, *sources: str) -> bool:
        self._need_lease()
        return any(self.broker.take(source, self._lists["directed"]) for source in sources)

    @property
    def _inflight(self) -> dict[str, bytes]:
        return self.broker.inflight.setdefault(self.node_id, {})

    def _mine(self, record: Record, epoch: int, *states: str) -> bool:
        return record.state in states and record.node == self.node_id and record.epoch == epoch

    def _remove(self, claimed: Claimed) -> bool:
        held = self.broker.list(self._lists[claimed.lane])
        if claimed.entry not in held:
            return False
        held.remove(claimed.entry)
        return True

    def _held(self, lane: Lane) -> list[Claimed]:
        held = self.broker.list(self._lists[lane])
        for i, entry in zip(range(SLICE), list(held), strict=False):
            held[i] = self.broker.named(entry)
        return [claimed(lane, entry) for entry in list(held)[:SLICE]]
