"""The ways out of staging, in this process: the twin of the routing in `scripts/claim.lua`, which
makes a node the owner of a workstream without one, and of `scripts/unstage.lua`."""

from __future__ import annotations

from dataclasses import replace

from turnstone.mq import entry as entries
from turnstone.mq.entry import Entry
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury
from turnstone.mq.work import SLICE


def place_of(broker: MemoryBroker, node_id: str, entry: bytes) -> str | None:
    """The list that an entry of staging belongs to; None if it is this node's to take."""
    found = way(broker, node_id, entry)
    tied = bound(broker, node_id, found)
    if tied:
        broker.note(tied)
        return broker.keys.directed_stage(tied)
    node = _destination(broker, node_id, found)
    if node is None:
        return None
    broker.note(node)
    own = entry != found.raw
    return broker.keys.directed_stage(node) if own else broker.keys.inbound_of(node)


def way(broker: MemoryBroker, node_id: str, entry: bytes) -> Entry:
    """What the entry says of its way here: where any node may have it, one that is not there is
    not its target."""
    found = entries.read(entry)
    until, _ = broker.heartbeats.get(found.target_node, (0.0, b""))
    if found.any_node and found.target_node != node_id and until <= broker.clock.now():
        return replace(found, target_node="")
    return found


def bound(broker: MemoryBroker, node_id: str, found: Entry) -> str:
    """The other node that a message is bound to: it was admitted there, and may have had effects."""
    record = broker.records.get(found.correlation_id, Record())
    there = record.state == "claimed" and record.fx and record.node != node_id
    return record.node if there else ""


def misused(broker: MemoryBroker, found: Entry) -> str:
    """Why a message cannot be routed; empty if it can."""
    bad = broker.record_misused(found.correlation_id)
    if not bad and found.ws_id:
        bad = broker.misused(broker.keys.owner(found.ws_id), broker.keys.epoch(found.ws_id))
    return bad


def spoilt(broker: MemoryBroker, node_id: str, entry: bytes) -> bool:
    """Whether it cannot be routed, for something else uses a name that it needs. It is buried."""
    bad = misused(broker, entries.read(entry))
    if bad:
        refuse(broker, node_id, entry, bad)
    return bool(bad)


def refuse(broker: MemoryBroker, node_id: str, entry: bytes, bad: str) -> None:
    """Bury what cannot be routed."""
    found = entries.read(entry)
    bury(broker, found.correlation_id, found.ws_id, found.raw, bad, node_id)


def unstage(broker: MemoryBroker) -> int:
    """Return what waits in staging to the head of the shared list; how many."""
    moved, stage = 0, broker.list(broker.keys.stage)
    while stage and moved < SLICE:
        found = entries.read(stage[-1])
        record = broker.records.get(found.correlation_id, Record())
        misused = broker.record_misused(found.correlation_id)
        if found.raw != stage[-1] or record.fx or misused:
            break
        broker.list(broker.keys.inbound).appendleft(stage.pop())
        moved += 1
    broker.serve(broker.keys.inbound)
    return moved


def _destination(broker: MemoryBroker, node_id: str, found: Entry) -> str | None:
    owner = broker.owners.get(found.ws_id)
    if owner is not None:
        return owner
    if found.target_node:
        there = found.target_node == node_id or _known(broker, found.target_node)
        return found.target_node if there else None
    if found.ws_id:
        broker.owners[found.ws_id] = node_id
        broker.epochs[found.ws_id] = broker.epoch(found.ws_id) + 1
        return node_id
    return None


def _known(broker: MemoryBroker, node: str) -> bool:
    until, _ = broker.heartbeats.get(node, (0.0, b""))
    return until > broker.clock.now() or bool(broker.inflight.get(node))
