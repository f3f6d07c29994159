"""The reaping step in this process, the twin of `scripts/reap.lua`: it returns what incarnations
whose lease is over had taken, in its order, a slice at a time."""

from __future__ import annotations

from turnstone.mq import entry as entries
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury
from turnstone.mq.work import SLICE


class Reaping:
    """One call: `run` says how many moves it made."""

    def __init__(
        self, broker: MemoryBroker, node_id: str, incarnation: str, grace: float, lost_after: float
    ) -> None:
        self._broker = broker
        self._node_id, self._incarnation = node_id, incarnation
        self._grace, self._lost_after = grace, lost_after
        self._now = self._broker.clock.now()
        self._moved = 0
        self.nodes: dict[str, bool] = {}  # that had a lease when this began: whether they live

    def run(self) -> int:
        self.nodes = {self._node_id: True}
        over: list[tuple[str, str, float]] = []
        last: dict[str, float] = {}
        for member, ends in sorted(self._broker.leases.items(), key=lambda one: (one[1], one[0])):
            node = member.rpartition("|")[0]
            mine = node != self._node_id or member == self._incarnation
            if ends > self._now and mine:
                self.nodes[node] = True
            else:
                over.append((member, node, ends))
                last[node] = max(last.get(node, 0.0), ends)
                self.nodes.setdefault(node, False)
        for member, node, ends in over:
            if self._drained(member, node):
                older = self.nodes[node] or ends < last[node]
                if older or self._settled(node, max(ends, self._broker.beats.since)):
                    del self._broker.leases[member]
            if self._moved >= SLICE:
                break
        return self._moved

    def _drained(self, member: str, node: str) -> bool:
        keys = self._broker.keys
        directed = self._drain(keys.processing_directed(member), keys.directed_stage(node))
        shared = self._drain(keys.processing_shared(member), keys.stage)
        return directed and shared

    def _drain(self, source: str, target: str) -> bool:
        """From the tail to the head, so that the order stays and new arrivals come after."""
        left = self._broker.list(source)
        while self._moved < SLICE and left:
            self._broker.list(target).appendleft(left.pop())
            self._moved += 1
        return not left

    def _settled(self, node: str, ended: float) -> bool:
        """What a node that is gone had accepted. True when nothing of it waits any more."""
        inflight = self._broker.inflight.get(node, {})
        if self._now < ended + self._grace:
            return not inflight
        waiting = False
        for correlation_id, held in list(inflight.items()):
            if self._moved >= SLICE:
                return False
            if self._settle(node, ended, correlation_id, held):
                del inflight[correlation_id]
                self._moved += 1
            else:
                waiting = True
        return not waiting

    def _settle(self, node: str, ended: float, correlation_id: str, held: bytes) -> bool:
        record = self._broker.records.get(correlation_id)
        if record is not None and not (record.state == "accepted" and record.node == node):
            return True  # ended, or another's already: only the note of it is left
        if record is not None and not record.fx and held.startswith(b"s"):
            self._broker.list(self._broker.keys.stage).appendleft(held[1:])
            record.epoch += 1
            record.state, record.node = "queued", ""
            return True
        if self._now < ended + self._lost_after:
            return False
        self._lost(node, correlation_id, held, record)
        return True

    def _lost(self, node: str, correlation_id: str, held: bytes, record: Record | None) -> None:
        found = entries.read(held[1:])
        reason = f"The node {node} was lost before it ended this message."
        if record is not None and record.fx:
            reason = (
                f"The node {node} was lost while it worked on this message: the outcome is"
                " unknown, so check what was done before you send it again."
            )
        ws_id = record.ws_id if record is not None else found.ws_id
        bury(self._broker, correlation_id, ws_id, found.raw, reason, node)
