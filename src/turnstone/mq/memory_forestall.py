"""The step that ends a message which no node has taken, in this process: the twin of
`scripts/forestall.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import tell


class MemoryForestall:
    """What `MemoryWork` has of it."""

    node_id: str
    broker: MemoryBroker

    async def forestall(
        self, correlation_id: str, ws_id: str, result: bytes, final: Sequence[bytes]
    ) -> bool:
        if self.broker.record_misused(correlation_id):
            return False
        record = self.broker.records.get(correlation_id, Record())
        if (record.state, record.node, record.result) == ("done", self.node_id, result):
            return True
        if record.state not in {"", "queued"}:
            return False
        self.broker.records[correlation_id] = record
        record.state, record.node, record.epoch = "done", self.node_id, 0
        record.ws_id, record.result, record.ending = ws_id, result, list(final)
        tell(self.broker, record)
        return True
