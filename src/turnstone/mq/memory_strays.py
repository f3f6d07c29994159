"""Work for nodes that never were, and workstreams of nodes that have not been seen for long, in this
process: the twin of `scripts/strays.lua`.

It looks through all lists at each call, where Redis is looked through a step at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from turnstone.mq import entry as entries
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury, tell

#: Seconds for which a node that was seen is known, and for which it is noted beyond that.
_KNOWN, _NOTED = 30 * 86_400.0, 86_400.0

#: Names that one call handles.
_NAMES = 100


def answer(broker: MemoryBroker, grace: float, most: int, nodes: Mapping[str, bool]) -> int:
    """Answer what has waited beyond the grace, at most so many messages; how many. `nodes`: all
    that hold a lease or held one just now, and whether they live."""
    now, moved = broker.clock.now(), 0
    _look(broker, now, nodes)
    names = sorted(broker.strays, key=lambda node: (broker.strays[node], node.encode()))
    for node in names[:_NAMES]:
        left = False
        for name in (broker.keys.directed_stage(node), broker.keys.inbound_of(node)):
            waiting = broker.lists.get(name)
            if not waiting or _lived(broker, node, nodes):
                continue
            while waiting and broker.strays[node] + grace <= now and moved < most:
                if not _refuse(broker, waiting[0], node, nodes):
                    break
                waiting.popleft()
                moved += 1
            left = left or (bool(waiting) and not _lived(broker, node, nodes))
        if not left:
            del broker.strays[node]
    return moved


def _lived(broker: MemoryBroker, node: str, nodes: Mapping[str, bool]) -> bool:
    known = broker.seen.get(node, 0.0) > broker.clock.now() - _KNOWN
    beats = broker.heartbeats.get(node, (0.0, b""))[0] > broker.clock.now()
    return node in nodes or known or beats or bool(broker.inflight.get(node))


def _look(broker: MemoryBroker, now: float, nodes: Mapping[str, bool]) -> None:
    for node in nodes:
        broker.note(node)
    for node in [node for node, last in broker.seen.items() if last <= now - _KNOWN - _NOTED]:
        del broker.seen[node]
    for ws_id, owner in list(broker.owners.items()):
        broker.seen.setdefault(owner, now)
        if not _lived(broker, owner, nodes):
            broker.floor = max(broker.floor, broker.epochs.pop(ws_id, 0))
            del broker.owners[ws_id]
    for beginning in (broker.keys.inbound_of(""), broker.keys.directed_stage("")):
        for name, waiting in broker.lists.items():
            node = name.removeprefix(beginning)
            if name.startswith(beginning) and waiting and not _lived(broker, node, nodes):
                broker.strays.setdefault(node, now)


def _has(broker: MemoryBroker, node: str, cid: str, nodes: Mapping[str, bool]) -> bool:
    """Whether a node has a message, and will bring it to its end or has it brought there."""
    until, _ = broker.heartbeats.get(node, (0.0, b""))
    noted = cid in broker.inflight.get(node, {})
    return nodes.get(node, False) or until > broker.clock.now() or noted


def _refuse(broker: MemoryBroker, entry: bytes, node: str, nodes: Mapping[str, bool]) -> bool:
    """A copy of what the queue carries elsewhere is dropped, and its ending, if there is one, told
    again. False, and nothing done, if the message shows that its node was there once."""
    entry = broker.named(entry)
    found = entries.read(entry)
    record = broker.records.get(found.correlation_id, Record())
    if record.state in {"done", "dead"}:
        tell(broker, record)
        return True
    if record.node == node:
        broker.note(node)
        return False
    has = record.node != "" and _has(broker, record.node, found.correlation_id, nodes)
    if record.state == "queued" or has:
        return True
    if found.any_node:
        broker.push(broker.keys.stage, entry)
        return True
    shown = re.sub(rb"[^A-Za-z0-9._-]", b"?", node.encode())[:128].decode()
    reason = (
        f"Unknown node {shown}: no node of this name has worked on this queue in the last 30 days."
    )
    bury(broker, found.correlation_id, found.ws_id, found.raw, reason, shown)
    return True
