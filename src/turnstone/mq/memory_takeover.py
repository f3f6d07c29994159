"""What a node without room takes, and what dead nodes have left, in this process: the twin of
`scripts/glance.lua`, `scripts/orphans.lua` and `scripts/takeover.lua`."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Sequence

from turnstone.mq import entry as entries
from turnstone.mq.entry import Entry
from turnstone.mq.keys import NODE_TTL, Keys
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.redis_takeover import SURE
from turnstone.mq.taken import claimed, unfinished
from turnstone.mq.work import SLICE, Claimed, Orphans, TakenOver

#: Types that need no workstream, and no node of their own.
_EASY = frozenset(
    {"health", "list_workstreams", "list_nodes", "approve", "plan_feedback", "cancel"}
)


class MemoryTakeOver:
    """What `MemoryWork` has of these steps."""

    node_id: str
    incarnation: str
    keys: Keys
    broker: MemoryBroker
    _lease: float
    _grace: float
    _lists: dict[str, str]

    async def glance(self) -> list[Claimed]:
        self._need_lease()
        taken: list[Claimed] = []
        stays: set[str] = set()
        for name in (self.keys.stage, self.keys.inbound):
            source = self.broker.list(name)
            for entry in list(source)[:SLICE]:
                found = entries.read(entry)
                left = self._special(found)
                owner = "" if left else self._owner(found, stays)
                own = entry != found.raw
                places = (self.keys.inbound_of(owner), self.keys.directed_stage(owner))
                if owner and not self.broker.misused(places[own]):
                    self.broker.note(owner)
                    self.broker.push(places[own], entry)
                    source.remove(entry)
                elif not left and found.readable and found.kind in _EASY:
                    content = self.broker.named(entry)
                    self.broker.push(self._lists["shared"], content)
                    source.remove(entry)
                    taken.append(claimed("shared", content))
                elif found.ws_id:
                    stays.add(found.ws_id)
        return taken

    async def orphans(self) -> tuple[float | None, list[Orphans]]:
        broker, now = self.broker, self.broker.clock.now()
        if broker.alive(self.incarnation) is None:
            return None, []
        living, moments = {self.node_id}, list[float]()
        for member, ends in broker.leases.items():
            node = member.rpartition("|")[0]
            if ends > now:
                living.add(node)
                if node != self.node_id:
                    moments.append(ends - now)
        found: list[Orphans] = []
        for node in sorted(broker.seen, key=lambda one: (broker.seen[one], one.encode())):
            last = None if node in living else self._last(node)
            if last is None:
                continue
            # After a gap in all beats, whoever was silent has one lease to be heard again.
            over = min(last[1], now - broker.beats.since)
            if over < 0 and now < broker.beats.since:
                if self._some(node):
                    moments.append(broker.beats.since - now)
                continue
            left = self._left_by(node, last[0], over)
            if left is not None:
                if not left.sure:
                    moments.append(SURE * self._grace - over)
                found.append(left)
        return min(moments, default=None), found

    async def take_over(
        self, ws_id: str, former: str, epoch: int, made: Sequence[str] = ()
    ) -> TakenOver:
        self._need_lease()
        broker = self.broker
        known, owner = broker.epoch(ws_id), broker.owners.get(ws_id)
        if owner not in {None, former, self.node_id}:
            return TakenOver("other", known)
        if known > epoch or (known == epoch and owner != self.node_id):
            return TakenOver("stale", known)
        leases = sorted(broker.leases.items(), key=lambda one: (one[1], one[0]))
        members = [one for one in leases if one[0].rpartition("|")[0] == former]
        if any(ends > broker.clock.now() for _, ends in members):
            return TakenOver("lives", known)
        for member, _ in members:
            held = broker.list(self.keys.processing_directed(member))
            while held:
                broker.list(self.keys.directed_stage(former)).appendleft(held.pop())
        broker.epochs[ws_id], broker.owners[ws_id] = epoch, self.node_id
        for name in (self.keys.directed_stage(former), self.keys.inbound_of(former)):
            self._bring(ws_id, broker.list(name))
        self._adopt(ws_id, former, made)
        here = broker.inflight.get(self.node_id, {})
        mine = [
            unfinished(cid.encode(), held, broker.records.get(cid, Record()).epoch)
            for cid, held in here.items()
            if _of(ws_id, cid, held, made) and not broker.record_misused(cid)
        ]
        return TakenOver("taken", epoch, tuple(mine))

    async def holder(self, correlation_id: str) -> str:
        record = self.broker.record(correlation_id) or Record()
        return record.node if record.state in {"claimed", "accepted"} else ""

    async def noted(self, correlation_id: str) -> tuple[str, str]:
        record = self.broker.record(correlation_id) or Record()
        return record.state, record.node

    def _bring(self, ws_id: str, source: deque[bytes]) -> None:
        for entry in list(source):
            if entries.read(entry).ws_id == ws_id:
                self.broker.push(self.keys.directed_stage(self.node_id), entry)
                source.remove(entry)

    def _adopt(self, ws_id: str, former: str, made: Sequence[str]) -> None:
        before = self.broker.inflight.get(former, {})
        here = self.broker.inflight.setdefault(self.node_id, {})
        for cid, held in list(before.items()):
            if not _of(ws_id, cid, held, made) or self.broker.record_misused(cid):
                continue
            record = self.broker.records.get(cid)
            if record is None:
                record = self.broker.records[cid] = Record("accepted", former, fx=True)
            if record.state == "accepted" and record.node == former:
                record.epoch += 1
                record.node, record.ws_id = self.node_id, ws_id
                here[cid] = held
            del before[cid]

    def _special(self, found: Entry) -> bool:
        """Whether it must be left to `claim`."""
        if self.broker.record_misused(found.correlation_id):
            return True
        record = self.broker.records.get(found.correlation_id, Record())
        return record.state == "claimed" and record.fx

    def _owner(self, found: Entry, stays: set[str]) -> str:
        if not found.ws_id or found.ws_id in stays:
            return ""
        if found.ws_id in self.broker.behind or self.broker.misused(self.keys.owner(found.ws_id)):
            return ""
        return self.broker.owners.get(found.ws_id, "")

    def _last(self, node: str) -> tuple[str, float] | None:
        """The store of a node, and seconds since its lease ended; None for one of 0.2."""
        until, metadata = self.broker.heartbeats.get(node, (0.0, b""))
        left = until - self.broker.clock.now()
        if left <= 0:
            return "", math.inf
        said = json.loads(metadata)
        if not isinstance(said.get("boot"), str):
            return None
        store = said.get("store")
        silent = max(NODE_TTL, round(self._lease)) - left
        return (store if isinstance(store, str) else ""), silent - self._lease

    def _some(self, node: str) -> bool:
        names = (self.keys.directed_stage(node), self.keys.inbound_of(node))
        return bool(self.broker.inflight.get(node)) or any(map(self.broker.length, names))

    def _left_by(self, node: str, store: str, over: float) -> Orphans | None:
        accepted = [
            (cid, entries.read(held[1:]).ws_id)
            for cid, held in list(self.broker.inflight.get(node, {}).items())[:SLICE]
        ]
        waiting: dict[str, None] = {}
        for name in (self.keys.directed_stage(node), self.keys.inbound_of(node)):
            for entry in list(self.broker.lists.get(name, ()))[:SLICE]:
                ws_id = entries.read(entry).ws_id
                if ws_id and self.broker.owners.get(ws_id) == node:
                    waiting[ws_id] = None
        if not accepted and not waiting:
            return None
        sure = over >= SURE * self._grace
        return Orphans(node, store, sure, tuple(accepted), tuple(waiting))

    def _need_lease(self) -> None:
        raise NotImplementedError


def _of(ws_id: str, cid: str, held: bytes, made: Sequence[str]) -> bool:
    return cid in made or entries.read(held[1:]).ws_id == ws_id
