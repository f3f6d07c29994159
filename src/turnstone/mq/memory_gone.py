"""Work for nodes that were there and are gone, in this process: the twin of `scripts/gone.lua`."""

from __future__ import annotations

from turnstone.mq import entry as entries
from turnstone.mq.keys import Keys
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury, tell
from turnstone.mq.work import SLICE


class MemoryGone:
    """What `MemoryWork` has of this step."""

    keys: Keys
    broker: MemoryBroker
    incarnation: str
    _lost_after: float

    async def answer_gone(self) -> int:
        broker, moved = self.broker, 0
        now = broker.clock.now()
        if broker.alive(self.incarnation) is None:
            return 0
        living = {one.rpartition("|")[0] for one in broker.leases if broker.alive(one) is not None}
        for node in sorted(broker.seen, key=lambda one: (broker.seen[one], one.encode())):
            there = node in living or broker.heartbeats.get(node, (0.0, b""))[0] > now
            names = (self.keys.directed_stage(node), self.keys.inbound_of(node))
            waiting = [broker.list(name) for name in names if not there and broker.length(name)]
            if not waiting:
                broker.gone.pop(node, None)
                continue
            if broker.gone.setdefault(node, now) + self._lost_after > now:
                continue
            for entries_of in waiting:
                while entries_of and moved < SLICE:
                    _settle(broker, entries_of[0], node)
                    entries_of.popleft()
                    moved += 1
        return moved


def _settle(broker: MemoryBroker, entry: bytes, node: str) -> None:
    """What becomes of one. A copy of what somebody has accepted, or is accepting, is dropped."""
    entry = broker.named(entry)
    found = entries.read(entry)
    cid = found.correlation_id
    record = broker.records.get(cid, Record())
    begun = (record.state, record.node, record.fx) == ("claimed", node, True)
    if record.state in {"done", "dead"}:
        tell(broker, record)
    elif record.state == "accepted" or (record.state == "claimed" and record.node != node):
        return
    elif found.any_node and not begun:
        broker.push(broker.keys.stage, entry)
    else:
        reason = f"The node {node} was lost before it took this message."
        if begun:
            reason = (
                f"The node {node} was lost while it worked on this message: the outcome is"
                " unknown, so check what was done before you send it again."
            )
        bury(broker, cid, found.ws_id, found.raw, reason, node)
