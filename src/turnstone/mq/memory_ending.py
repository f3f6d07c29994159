"""How a message ends in a `MemoryBroker`, where more than one step ends it."""

from __future__ import annotations

import json

from turnstone.mq.keys import DEAD_RAW_MAX
from turnstone.mq.memory_broker import DeadLetter, MemoryBroker, Record
from turnstone.mq.wire import refusal
from turnstone.mq.work import Claimed


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
    if correlation_id and not broker.record_misused(correlation_id):
        record = broker.records.setdefault(correlation_id, record)
        record.state, record.ws_id, record.ending = "dead", ws_id, told
        outcome = {"outcome": "dead", "error": reason}
        names = {"correlation_id": correlation_id, "ws_id": ws_id}
        record.result = json.dumps(outcome | names).encode()
    letter(broker, correlation_id, ws_id, raw, reason, record.tries, node)
    tell(broker, record)


def give_up(broker: MemoryBroker, claimed: Claimed, reason: str, node: str) -> None:
    """The twin of `scripts/bury.lua`, for an entry that was in the list."""
    cid, ws_id, raw = claimed.correlation_id, claimed.ws_id, claimed.raw
    record = broker.records.get(cid, Record())
    ended = record.state in {"done", "dead"}
    others = record.state == "claimed" and record.node != node
    if broker.record_misused(cid) or not (others or ended or record.state == "accepted"):
        bury(broker, cid, ws_id, raw, reason, node)
    elif claimed.problem:
        # No copy, for it says nothing: what came under this id before it keeps its own ending.
        told = [event.to_json().encode() for event in refusal(reason, cid, ws_id)]
        letter(broker, cid, ws_id, raw, reason, 0, node)
        tell(broker, Record(ws_id=ws_id, ending=told if ended else told[:1]))


def letter(
    broker: MemoryBroker,
    correlation_id: str,
    ws_id: str,
    raw: bytes,
    reason: str,
    tries: int,
    node: str,
) -> None:
    """A dead letter, and nothing else."""
    now = broker.clock.now()
    broker.letters += 1
    letter_id = f"{int(now * 1_000)}-{broker.letters}"
    raw, size = raw[:DEAD_RAW_MAX], len(raw)
    broker.dead.append(
        DeadLetter(correlation_id, ws_id, reason, tries, node, raw, size, letter_id, now)
    )
