"""Work for nodes that never were, in this process: the twin of `scripts/strays.lua`.

It looks through all lists at each call, where Redis is looked through a step at a time.
"""

from __future__ import annotations

import re

from turnstone.mq import entry as entries
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury, tell

#: Names that one call handles.
_NAMES = 100


def answer(broker: MemoryBroker, grace: float, most: int) -> int:
    """Answer what has waited beyond the grace, at most so many messages; how many."""
    now, moved = broker.clock.now(), 0
    _look(broker, now)
    names = sorted(broker.strays, key=lambda node: (broker.strays[node], node.encode()))
    for node in names[:_NAMES]:
        left = False
        for name in (broker.keys.directed_stage(node), broker.keys.inbound_of(node)):
            waiting = broker.lists.get(name)
            if not waiting or _lived(broker, node):
                continue
            while waiting and broker.strays[node] + grace <= now and moved < most:
                _refuse(broker, waiting.popleft(), node)
                moved += 1
            left = left or bool(waiting)
        if not left:
            del broker.strays[node]
    return moved


def _lived(broker: MemoryBroker, node: str) -> bool:
    return node in broker.known or bool(broker.inflight.get(node))


def _look(broker: MemoryBroker, now: float) -> None:
    for beginning in (broker.keys.inbound_of(""), broker.keys.directed_stage("")):
        for name, waiting in broker.lists.items():
            node = name.removeprefix(beginning)
            if name.startswith(beginning) and waiting and not _lived(broker, node):
                broker.strays.setdefault(node, now)


def _refuse(broker: MemoryBroker, entry: bytes, node: str) -> None:
    """A copy of what is known already is dropped, and its ending, if there is one, told again."""
    found = entries.read(broker.named(entry))
    record = broker.records.get(found.correlation_id, Record())
    if record.state in {"done", "dead"}:
        tell(broker, record)
    if record.state:
        return
    shown = re.sub(rb"[^A-Za-z0-9._-]", b"?", node.encode())[:128].decode()
    reason = f"Unknown node {shown}: no node of this name has ever worked on this queue."
    bury(broker, found.correlation_id, found.ws_id, found.raw, reason, shown)
