"""The steps of the queue on Redis: each method runs one script or one command, and no more.

It keeps nothing that Redis does not have, never retries and never waits but where a wait was
asked for: the worker's loop does both. The scripts are in `scripts/`, the names in `keys.py`.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from redis import exceptions

from turnstone.mq import entry as entries
from turnstone.mq import keys as limits
from turnstone.mq.check import check
from turnstone.mq.connection import PATIENCE, RedisAddress, asking
from turnstone.mq.digest import digest
from turnstone.mq.errors import AnotherWorker, LeaseOver, QueueUnavailable
from turnstone.mq.keys import Keys
from turnstone.mq.lua import script
from turnstone.mq.redis_events import RedisEvents
from turnstone.mq.redis_forestall import RedisForestall
from turnstone.mq.redis_gone import RedisGone
from turnstone.mq.redis_labels import RedisLabels
from turnstone.mq.redis_safety import Safety, sensible
from turnstone.mq.redis_takeover import RedisTakeOver
from turnstone.mq.signing import Keyring
from turnstone.mq.taken import batched, claimed, inflight, log_dead, seats, unfinished
from turnstone.mq.timers import RedisTimers
from turnstone.mq.work import (
    GRACE,
    LEASE,
    LOST_AFTER,
    MAX_TRIES,
    SLICE,
    UNKNOWN_AFTER,
    Admitted,
    Claimed,
    Lane,
    Rival,
    Seat,
    Standing,
    Unfinished,
)

log = logging.getLogger(__name__)

#: Keys that one SCAN looks at.
_SCAN = 100

#: Keys among which one step looks for lists of nodes that never were (a step each 24th of their
#: grace, for all nodes together), and the beginnings of the names that it wants to see:
#: `inbound:`, `node:`, `ws:` and `x:dstage:`. It sees few others.
_LOOK = 2_000
_LOOK_FOR = ":[inwx][nos:][bd:]*"


@sensible
class RedisWork(RedisEvents, RedisForestall, RedisGone, RedisLabels, Safety, RedisTakeOver):
    """The steps of one process incarnation; see `Work`. Made by `open`."""

    def __init__(
        self,
        address: RedisAddress,
        node_id: str,
        *,
        prefix: str = "turnstone",
        boot: str = "",
        lease: float = LEASE,
        grace: float = GRACE,
        lost_after: float = LOST_AFTER,
        unknown_after: float = UNKNOWN_AFTER,
        max_tries: int = MAX_TRIES,
        seat: Seat | None = None,
        labels: Sequence[str] = (),
        keyring: Keyring | None = None,
    ) -> None:
        self.node_id, self.labels = node_id, tuple(labels)
        self.keyring = keyring and keyring.of(prefix)
        self.boot = boot or secrets.token_hex(4)
        self.keys = Keys(prefix)
        self.timers = RedisTimers(self.keys, self._run, self._ask, self.keyring)
        self._address = address
        self._lease, self._grace, self._lost_after = lease, grace, lost_after
        self._unknown_after, self._max_tries = unknown_after, max_tries
        self._me = f"{node_id}|{self.boot}"
        self._beats = ("", 0)  # the life of Redis that this process knows, and its last beat there
        self._seat = seat or Seat("")
        self._dead = " ".join(self._seat.dead)
        self._names = seats(node_id, seat)
        self._seats = [self.keys.seat(name) for name in self._names]
        # Any: the commands of the driver are not typed.
        self._steps: Any = address.client()
        self._lanes: dict[Lane, Any] = {
            "shared": address.client(),
            "directed": address.client(),
        }
        self._rouser: Any = address.client()
        self._lists = {
            "shared": self.keys.processing_shared(self._me),
            "directed": self.keys.processing_directed(self._me),
        }

    @classmethod
    async def open(cls, address: RedisAddress, node_id: str, **options: Any) -> RedisWork:
        """Connect, and see that this Redis can keep a queue; `options` as for the class.

        Raises QueueUnavailable, and ConfigurationError for a Redis that must be set up otherwise
        (eviction, version, cluster without a hash tag).
        """
        work = cls(address, node_id, **options)
        try:
            async with asking(address):
                await check(work._steps, address, work.keys)
        except BaseException:
            await work._disconnect()
            raise
        return work

    async def beat(self, metadata: dict[str, object]) -> bool:
        keys = [self.keys.alive, self.keys.node(self.node_id), *self._seats]
        ttl = max(limits.NODE_TTL, round(self._lease))
        values = (self._me, self._lease, ttl, json.dumps(metadata), self._dead, *self._labelled)
        said: list[Any] = await self._run("beat", keys, *values, *self._beats)
        if len(said) == 2:
            seat = self._names[said[1]]
            raise AnotherWorker(self._seat.server_id, said[0].decode(), seat)
        held, life, count = said
        self._beats = (life.decode(), int(count))
        return bool(held)

    async def rival(self) -> Rival | None:
        if not self._seats:
            return None
        found = await self._run("rival", self._seats, self._me, self._dead)
        if found is None:
            return None
        holder, ends, which = found
        return Rival(holder.decode(), float(ends), self._names[which])

    async def pull_directed(self, wait: float) -> bool:
        staged, inbound = self.keys.directed_stage(self.node_id), self.keys.inbound_of(self.node_id)
        keys = [staged, inbound, self._lists["directed"]]
        if self._leased(await self._run("pull", keys, self._me)):
            return True
        # A blocking command asks for no lease: so it moves into the node's list, and not into
        # that of a process which may have lost its seat meanwhile.
        if wait <= 0 or not await self._pull("directed", inbound, staged, wait):
            return False
        return bool(self._leased(await self._run("pull", keys, self._me)))

    async def pull_shared(self, wait: float) -> bool:
        return await self._pull("shared", self.keys.inbound, self.keys.stage, wait)

    async def claim(self, free: int) -> list[Claimed]:
        keys = [self.keys.stage, self._lists["shared"]]
        taken = await self._run(
            "claim", keys, self._me, self.node_id, free, SLICE, *_RECORD, *self._labelled
        )
        return [claimed("shared", entry) for entry in self._leased(taken)]

    async def unstage(self) -> int:
        keys = [self.keys.stage, self.keys.inbound]
        return int(await self._run("unstage", keys, SLICE))

    async def directed(self) -> list[Claimed]:
        return await self._held("directed")

    async def sweep(self) -> list[Claimed]:
        return await self._held("directed", "shared")

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        admission, epoch, tries, *bound = await self._run(
            "admit",
            [self._lists[claimed.lane], self.keys.message(claimed.correlation_id)],
            self._me,
            self.node_id,
            claimed.entry,
            claimed.correlation_id,
            claimed.ws_id,
            int(bind),
            self._max_tries,
            *_RECORD,
            attempt,
            digest(claimed.raw),
        )
        return Admitted(admission.decode(), int(epoch), int(tries), bound == [1])

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        keys = [
            self._lists[claimed.lane],
            self.keys.message(claimed.correlation_id),
            self.keys.inflight(self.node_id),
        ]
        held = inflight(claimed.lane, claimed.ws_id, claimed.entry)
        values = (claimed.entry, claimed.correlation_id, epoch, held, limits.CID_TTL)
        accepted = await self._run("accept", keys, self._me, self.node_id, *values)
        return bool(self._leased(accepted))

    async def give_back(self, claimed: Claimed, epoch: int, after: bytes = b"") -> bool:
        record = self.keys.message(claimed.correlation_id)
        keys = [self._lists[claimed.lane], record, self.keys.inbound, self.keys.stage]
        values = (claimed.entry, epoch, after, SLICE)
        return bool(await self._run("giveback", keys, self.node_id, *values))

    async def forward(self, claimed: Claimed, node_id: str) -> bool:
        places = [self.keys.inbound_of(node_id), self.keys.directed_stage(node_id)]
        keys = [self._lists[claimed.lane], *places]
        return bool(await self._run("forward", keys, claimed.entry, node_id))

    async def bury(self, claimed: Claimed, reason: str) -> None:
        keys = [self._lists[claimed.lane], self.keys.message(claimed.correlation_id)]
        names = (claimed.entry, claimed.correlation_id, claimed.ws_id)
        unread = int(bool(claimed.problem))
        await self._run("bury", keys, self.node_id, *names, reason, *_RECORD, unread)

    async def stand(self, correlation_id: str, epoch: int, raw: bytes, lane: Lane) -> Standing:
        keys = [self.keys.message(correlation_id), self.keys.inflight(self.node_id)]
        ws_id = entries.read(raw).ws_id
        held = inflight(lane, ws_id, entries.envelope(correlation_id, raw))
        values = (correlation_id, epoch, held, ws_id, limits.CID_TTL)
        standing: Standing = (await self._run("stand", keys, self.node_id, *values)).decode()
        return standing

    async def fence(self, correlation_id: str, epoch: int) -> bool:
        keys = [self.keys.message(correlation_id)]
        values = (self._me, self.node_id, epoch, limits.CID_TTL)
        return bool(self._leased(await self._run("fence", keys, *values)))

    async def done(
        self,
        correlation_id: str,
        epoch: int,
        ws_id: str,
        result: bytes,
        final: Sequence[bytes] = (),
    ) -> bool:
        keys = [self.keys.message(correlation_id), self.keys.inflight(self.node_id)]
        ending = json.dumps([message.decode() for message in final]) if final else ""
        values = (correlation_id, epoch, ws_id, result, ending, limits.CID_TTL)
        return bool(await self._run("done", keys, self.node_id, *values))

    async def result(self, correlation_id: str) -> bytes | None:
        found: bytes | None = await self._ask("HGET", self.keys.message(correlation_id), "r")
        return found

    async def unfinished(self) -> list[Unfinished]:
        found = await self._run("unfinished", [self.keys.inflight(self.node_id)])
        return [unfinished(*found[i : i + 3]) for i in range(0, len(found), 3)]

    async def reap(self) -> int:
        keys = [self.keys.alive, self.keys.stage]
        times = (self._grace, self._lost_after)
        look = (self.keys.pattern(self.keys.prefix) + _LOOK_FOR, _LOOK, self._unknown_after)
        values = (self.node_id, SLICE, *times, *_RECORD, *look)
        moved, returned, buried = await self._run("reap", keys, self._me, *values)
        self._tell(returned, buried)
        return int(moved)

    async def tidies(self, what: Sequence[str], seconds: float) -> set[str]:
        mine = await self._run("tidies", [self.keys.turns], self._me, seconds, *what)
        return {one.decode() for one in mine}

    def _tell(self, returned: Sequence[Any], buried: Sequence[bytes]) -> None:
        """In the log, of what was reaped: names and counts, ids and reasons, in turn."""
        for name, count in batched(returned):
            level = logging.INFO if name.decode() == self.node_id else logging.WARNING
            log.log(
                level,
                "a process of node %s is gone: messages it had, returned or given up: %d",
                name.decode(errors="replace"),
                count,
            )
        for cid, reason in batched(buried):
            log_dead(cid.decode(errors="replace"), reason.decode(errors="replace"))

    async def nodes(self) -> list[dict[str, object]]:
        prefix = self.keys.node("")
        found: list[dict[str, object]] = []
        cursor: Any = 0
        while True:
            cursor, names = await self._ask(
                "SCAN", cursor, "MATCH", self.keys.pattern(prefix) + "*", "COUNT", _SCAN
            )
            for name in names:
                text = await self._ask("GET", name)
                if text is not None:
                    node_id = name.decode()[len(prefix) :]
                    found.append(_metadata(text) | {"node_id": node_id})
            if int(cursor) == 0:
                return found

    async def aclose(self) -> None:
        try:
            await self._run("leave", [self.keys.alive], self._me)
        except QueueUnavailable:
            pass  # the lease ends by itself
        finally:
            await self._disconnect()

    async def _pull(self, lane: Lane, source: str, target: str, wait: float) -> bool:
        if wait <= 0:
            return bool(await self._run("take", [source, target]))
        try:
            async with asking(self._address, wait + PATIENCE, f"BLMOVE {source} {target}"):
                moved = await self._lanes[lane].execute_command(
                    "BLMOVE", source, target, "LEFT", "RIGHT", wait
                )
        except QueueUnavailable as error:
            # A full Redis refuses to move. What waits there must get out all the same.
            full = isinstance(error.__cause__, exceptions.OutOfMemoryError)
            if full and await self._run("take", [source, target]):
                return True
            raise
        return moved is not None

    def _leased(self, found: Any) -> Any:
        """What a script returned that does nothing for a process without a lease."""
        if found is None:
            raise LeaseOver(f"The lease of node {self.node_id} is over.", hint="Beat, then sweep.")
        return found

    async def _held(self, *lanes: Lane) -> list[Claimed]:
        found = await self._run("held", [self._lists[lane] for lane in lanes], SLICE)
        pairs = zip(lanes, found, strict=True)
        return [claimed(lane, entry) for lane, entries in pairs for entry in entries]

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        """Run a script; one that Redis forgot (a restart, SCRIPT FLUSH) is sent again."""
        wanted = script(name)
        arguments = (len(keys), *keys, self.keys.prefix, *values)
        async with asking(self._address, what=f"the step {name} on {', '.join(keys)}"):
            try:
                return await self._steps.execute_command("EVALSHA", wanted.sha, *arguments)
            except exceptions.NoScriptError:
                return await self._steps.execute_command("EVAL", wanted.source, *arguments)

    async def _ask(self, *command: Any) -> Any:
        what = " ".join(str(part) for part in command[:2])
        async with asking(self._address, what=what):
            return await self._steps.execute_command(*command)

    async def _disconnect(self) -> None:
        for client in (self._steps, self._rouser, *self._lanes.values()):
            await client.aclose()


#: What every script that writes records or dead letters is told of their limits.
_RECORD = (limits.CID_TTL, limits.DEAD_MAX, limits.DEAD_RAW_MAX)


def _metadata(text: bytes) -> dict[str, object]:
    try:
        metadata = json.loads(text)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}
