"""Work that asks for labels of its node, in this process: the twin of `scripts/labels.lua` and
`scripts/waits.lua`. What waits is put aside, and taken, by the step `claim` alone.
"""

from __future__ import annotations

from turnstone.mq import entry as entries
from turnstone.mq.entry import Entry
from turnstone.mq.keys import Keys
from turnstone.mq.labels import meets, unmet
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury, tell
from turnstone.mq.memory_route import bound, misused, way
from turnstone.mq.work import SLICE


class MemoryLabels:
    """What `MemoryWork` has of these steps."""

    node_id: str
    labels: tuple[str, ...]
    keys: Keys
    broker: MemoryBroker
    incarnation: str
    _unknown_after: float

    async def roused(self, wait: float) -> bool:
        name = self.keys.rouse(self.node_id)
        heard = await self.broker.wait(name, f"{name}:heard", wait)
        self.broker.list(f"{name}:heard").clear()
        return heard

    async def answer_waiting(self) -> int:
        broker, now, moved = self.broker, self.broker.clock.now(), 0
        if broker.alive(self.incarnation) is None:
            return 0
        alive = {one.rpartition("|")[0] for one in broker.leases if broker.alive(one) is not None}
        for node in [node for node in broker.labels if node not in alive]:
            if broker.heartbeats.get(node, (0.0, b""))[0] <= now:
                del broker.labels[node]
        present = [broker.labels[node] for node in broker.labels if node in alive]
        for wanted in _in_order(broker):
            if any(meets(labels, wanted) for labels in present):
                broker.waits[wanted] = now
            elif broker.waits[wanted] + self._unknown_after <= now:
                waiting = broker.list(broker.keys.wait(wanted))
                while moved < SLICE and waiting:
                    _settle(broker, waiting[0], wanted, self.node_id)
                    _drop(broker, wanted)
                    moved += 1
        return moved

    def _say_labels(self) -> None:
        """With a beat."""
        self.broker.labels.pop(self.node_id, None)
        if self.labels:
            self.broker.labels[self.node_id] = self.labels

    def _next(self) -> tuple[bool, bytes | None]:
        """Whether there is an entry, and the entry, for this node to route; None for one that was
        put aside."""
        broker = self.broker
        for wanted in _in_order(broker):
            if meets(self.labels, wanted):
                return True, _drop(broker, wanted)
        stage = broker.list(broker.keys.stage)
        if not stage:
            return False, None
        entry = stage.popleft()
        found = way(broker, self.node_id, entry)
        tied = bound(broker, self.node_id, found)
        awaited = "" if tied or misused(broker, found) else _awaited(broker, found, self.labels)
        if not awaited:
            return True, entry
        _put(broker, awaited, entry, found)
        return True, None


def _in_order(broker: MemoryBroker) -> list[str]:
    return sorted(broker.waits, key=lambda wanted: (broker.waits[wanted], wanted.encode()))


def _awaited(broker: MemoryBroker, found: Entry, labels: tuple[str, ...]) -> str:
    """The requirement behind which a message waits at a node with these labels."""
    if found.ws_id in broker.behind:
        return broker.behind[found.ws_id][1]
    if found.target_node or meets(labels, found.requires) or found.ws_id in broker.owners:
        return ""
    return found.requires


def _put(broker: MemoryBroker, wanted: str, entry: bytes, found: Entry) -> None:
    broker.push(broker.keys.wait(wanted), entry)
    broker.waits.setdefault(wanted, broker.clock.now())
    _count(broker, wanted, found, 1)
    for node, labels in broker.labels.items():
        until, _ = broker.heartbeats.get(node, (0.0, b""))
        name = broker.keys.rouse(node)
        if until > broker.clock.now() and meets(labels, wanted) and not broker.length(name):
            broker.push(name, b"1")


def _drop(broker: MemoryBroker, wanted: str) -> bytes:
    """Take the head out of what waits for this."""
    waiting = broker.list(broker.keys.wait(wanted))
    entry = waiting.popleft()
    if not waiting:
        del broker.waits[wanted]
    _count(broker, wanted, entries.read(entry), -1)
    return entry


def _count(broker: MemoryBroker, wanted: str, found: Entry, by: int) -> None:
    if not found.ws_id:
        return
    count = broker.behind.pop(found.ws_id, (0, ""))[0] + by
    if count > 0:
        broker.behind[found.ws_id] = (count, wanted)


def _settle(broker: MemoryBroker, entry: bytes, wanted: str, node_id: str) -> None:
    """What becomes of one: back to staging, where it is looked at anew, or to its end."""
    entry = broker.named(entry)
    found = entries.read(entry)
    record = broker.records.get(found.correlation_id, Record())
    held = record.state == "claimed" and broker.alive(record.incarnation) is not None
    if record.state in {"done", "dead"}:
        tell(broker, record)
    elif found.requires != wanted or found.ws_id in broker.owners or held:
        broker.push(broker.keys.stage, entry)
    elif record.state != "accepted":
        cid = found.correlation_id
        bury(broker, cid, found.ws_id, found.raw, unmet(wanted), node_id)
