"""How a message ends in a `MemoryBroker`, where more than one step ends it."""

from __future__ import annotations

import json

from turnstone.mq.keys import DEAD_RAW_MAX
from turnstone.mq.memory_broker import DeadLetter, MemoryBroker, Record
from turnstone.mq.wire import refusal


def tell(broker: MemoryBroker, record: Record) -> None:
    """Publish a message's ending where its sender looks."""
    channel = broker.keys.events(record.ws_id) if record.ws_id else broker.keys.events_global
    for message in record.ending:
        broker.publish(channel, message)


def bury(
    broker: MemoryBroker, correlation_id: str, ws_id: str, raw: bytes, reason: str, node: str
) -> None:
    """Dead letter, record and ending of a message that will not be run."""
    told = [event.to_json().encode() for event in refusal(reason, correlation_id, ws_id)]
    record = Record(ws_id=ws_id, ending=told)
    if correlation_id:
        record = broker.records.setdefault(correlation_id, record)
        record.state, record.ws_id, record.ending = "dead", ws_id, told
        outcome = {"outcome": "dead", "error": reason}
        names = {"correlation_id": correlation_id, "ws_id": ws_id}
        record.result = json.dumps(outcome | names).encode()
    letter = DeadLetter(correlation_id, ws_id, reason, record.tries, node, raw[:DEAD_RAW_MAX])
    broker.dead.append(letter)
    tell(broker, record)
