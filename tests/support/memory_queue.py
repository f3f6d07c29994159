"""A queue in memory at which a worker is watched: what is sent there, and what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.results import StoredResult

#: Seconds for a state that must come, on a machine that is busy with other tests.
PATIENCE = 40.0


def message(said: str, cid: str, **fields: Any) -> bytes:
    """As a client of 0.2 writes it."""
    return json.dumps({"type": "send", "correlation_id": cid, "message": said} | fields).encode()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)  # the condition is the state that is waited for


def result_in(broker: MemoryBroker, cid: str) -> StoredResult | None:
    record = broker.records.get(cid)
    return StoredResult.decode(record.result) if record and record.result else None
