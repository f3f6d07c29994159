"""A node in this process, as a `Host`. The only one there is: others are ways to reach it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from turnstone import __version__
from turnstone.core import events as ev
from turnstone.core import forking, spending
from turnstone.core.command_order import Desk
from turnstone.core.commanding import Commander
from turnstone.core.engine import Engine, no_memories
from turnstone.core.errors import Erased, StoreError, TurnstoneError, UnknownWorkstream
from turnstone.core.heir import Heir
from turnstone.core.host import (
    Accepted,
    Answer,
    BudgetView,
    CommandReply,
    CreateWorkstream,
    Decided,
    ExportFormat,
    Image,
    Imported,
    Memory,
    NodeHealth,
    PlanReply,
    PolicyView,
    Rewound,
    SearchHit,
    SendMessage,
    SessionInfo,
    Told,
    UsageView,
    WorkstreamInfo,
)
from turnstone.core.images import read_image
from turnstone.core.livelog import Lagged, LiveLog
from turnstone.core.manager import WorkstreamManager
from turnstone.core.node import NodeLock
from turnstone.core.remembering import Counting
from turnstone.core.sessions import Sessions
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.timekeeping import Timekeeper
from turnstone.core.timers import NewTimer, Timer, TimerAction

#: Records that every reader of the node's global stream is told of, besides states.
_GLOBAL = (ev.WsCreated, ev.WsRename, ev.WsReopened, ev.WsClosed)

#: Seconds between two sweeps: the longest, and as a share of the idle timeout.
_SWEEP, _SWEEP_SHARE = 300.0, 0.25

#: Seconds between two looks for turns that a process has left which is gone.
_LOOK = 20.0

#: Records among which the last message is looked for.
_LAST = 500

#: How a workstream stands that nothing has been told of yet.
_RESTING = ("idle", "")

log = logging.getLogger(__name__)


def _unseen(_event: ev.Event, _info: WorkstreamInfo) -> None:
    """For a node whose records nobody counts."""


class Left(msgspec.Struct, frozen=True):
    """A workstream whose turn waits for a server; the beginning of what was sent to it last."""

    ws_id: str
    name: str
    message: str


class LocalHost:
    """Implements `turnstone.core.host.Host`. Make it with `await LocalHost.start(…)`."""

    def __init__(self, store: Store, engine: Engine, lock: NodeLock) -> None:
        if engine.memories is no_memories:
            engine = replace(engine, memories=Counting(store))
        self.engine = engine
        self.node_id = lock.node_id
        self.on_record: Callable[[ev.Event, WorkstreamInfo], None] = _unseen
        self._store = store
        self._lock = lock
        self._started = engine.clock.monotonic()
        self._states: dict[str, tuple[str, str]] = {}  # of those that are not resting
        self._global = LiveLog(ev.EventId(self._milliseconds()), self._stamped)
        self._manager = WorkstreamManager(store, engine, lock.node_id, self._changed, lock.lives)
        self._tasks: list[asyncio.Task[None]] = []
        self._commander = Commander(Desk(self, self._manager, store, engine))
        self._sessions = Sessions(self._manager, store, engine)
        self.heir: Heir | None = None
        if lock.holds is not None:
            self.heir = Heir(
                store,
                self._manager,
                lock.node_id,
                lock.store_id,
                holds=lock.holds,
                lives=lock.lives,
            )
        self.timekeeper = Timekeeper(store, self, engine.clock, engine.ids, lock.node_id)
        self._left = False

    @classmethod
    async def start(cls, store: Store, engine: Engine, lock: NodeLock) -> LocalHost:
        """Start the node: turns that an earlier process left are taken up at once.

        A server takes up those of terminals too that are gone; see `left_behind`.
        """
        host = cls(store, engine, lock)
        await host._take_up()
        share = engine.idle_timeout * _SWEEP_SHARE
        for seconds, work in ((min(_SWEEP, share or _SWEEP), host.sweep), (_LOOK, host._take_up)):
            host._tasks.append(asyncio.create_task(host._keep(seconds, work)))
        if lock.serves:
            host._tasks.append(asyncio.create_task(host.timekeeper.run()))
        return host

    @property
    def at_work(self) -> int:
        """How many workstreams have a turn open, or a message waiting: at the start, those that
        were taken up; at the end, those that are left for the next start."""
        return self._manager.at_work

    async def left_behind(self) -> list[Left]:
        """The turns of processes that are gone, which wait for a server to take them up."""
        gone = await self._gone()
        return [await self._left_in(r) for r in await self._store.working() if r.owner in gone]

    async def _left_in(self, row: WorkstreamRow) -> Left:
        try:
            found = await self._store.records(row.ws_id, max(0, row.last_seq - _LAST))
        except StoreError:  # a server tells of it, where it matters
            found = []
        sent = [record.message for record in found if isinstance(record, ev.MessageAccepted)]
        return Left(row.ws_id, str(row.summary.get("name", "")), sent[-1] if sent else "")

    async def sweep(self) -> None:
        """Put to sleep what is idle for long, take up what was left, and erase what is older than
        it is kept.

        The node does this by itself, now and then. Raises StoreError.
        """
        self._manager.put_idle_to_sleep()
        await self._take_up()
        await self._manager.erase_older()
        await self._manager.scrub()

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        return await self._manager.create(request)

    async def send(self, request: SendMessage) -> Accepted:
        try:
            async with self._manager.use(request.ws_id) as workstream:
                accepted = await workstream.send(request)
        except UnknownWorkstream:
            cid = request.correlation_id
            if cid and await self._store.taker(cid) == "":  # it is gone with its workstream
                raise Erased.of(cid) from None
            raise
        if accepted.duplicate:  # also where it was written without anybody here being told
            await self._manager.go_on(accepted.ws_id)
        return accepted

    async def approve(self, answer: Answer) -> None:
        async with self._manager.use(answer.ws_id) as workstream:
            routed = workstream.answering.routed(answer)
            if routed.ws_id == answer.ws_id:
                return await workstream.answering.answer(routed)
        await self.approve(routed)

    async def answer_plan(self, reply: PlanReply) -> None:
        async with self._manager.use(reply.ws_id) as workstream:
            routed = workstream.answering.routed(reply)
            if routed.ws_id == reply.ws_id:
                return await workstream.answering.answer_plan(routed)
        await self.answer_plan(routed)

    async def policy(self, ws_id: str) -> PolicyView:
        async with self._manager.use(ws_id) as workstream:
            return workstream.policy()

    async def decisions(self, ws_id: str, limit: int = 100) -> Sequence[Decided]:
        return await self._sessions.decisions(ws_id, limit)

    async def revoke(self, ws_id: str, grant: ev.Grant, by: str = "") -> bool:
        async with self._manager.use(ws_id) as workstream:
            return await workstream.revoke(grant, by)

    async def set_budget(self, ws_id: str, budget: ev.Budget, by: str = "") -> BudgetView:
        return await spending.set_budget(self._manager, self.engine, ws_id, budget, by)

    async def usage(self, ws_id: str) -> UsageView:
        return await spending.usage(self._manager, self._store, ws_id)

    async def cancel(self, ws_id: str, correlation_id: str = "") -> bool:
        async with self._manager.use(ws_id) as workstream:
            return await workstream.cancel(correlation_id)

    async def rewind(self, ws_id: str, to: str) -> Rewound:
        return await forking.rewind(self._manager, self._store, ws_id, to)

    async def fork(self, ws_id: str, at: str = "") -> WorkstreamInfo:
        return await forking.fork(self._manager, self._store, self.engine, ws_id, at)

    async def command(
        self, ws_id: str, text: str, *, command_id: str = "", by: str = ""
    ) -> CommandReply:
        return await self._commander.command(ws_id, text, command_id, by)

    async def ending(self, ws_id: str, correlation_id: str) -> ev.TurnEnded | None:
        return await self._manager.ending(ws_id, correlation_id)

    async def image(self, ws_id: str, name: str) -> Image:
        return await asyncio.to_thread(read_image, self.engine.outputs, f"{ws_id}/{name}")

    async def steps(self, ws_id: str, correlation_id: str) -> list[Told]:
        await self._manager.knows(ws_id, correlation_id)  # that it is here
        return [
            record
            for record in await self._store.records(ws_id)
            if isinstance(record, ev.StepFinished | ev.ToolFinished)
            and record.correlation_id == correlation_id
        ]

    async def knows(self, ws_id: str, correlation_id: str) -> bool:
        return await self._manager.knows(ws_id, correlation_id)

    async def close(self, ws_id: str) -> None:
        await self._manager.close(ws_id)

    async def erase(self, ws_id: str, *, force: bool = False) -> None:
        await self._manager.erase(ws_id, force=force)

    async def list(
        self, parent: str = "", *, limit: int | None = None, after: str = ""
    ) -> list[WorkstreamInfo]:
        return await self._manager.list(parent, limit, after)

    async def sessions(self, limit: int = 50, after: str = "") -> Sequence[SessionInfo]:
        return await self._sessions.sessions(limit, after)

    async def newest_here(self) -> str:
        """The id of the session in this node's workspace that was gone on with last. Raises
        UnknownSession."""
        return await self._sessions.newest(str(self.engine.workspace))

    async def search(self, query: str, limit: int = 20, ws_id: str = "") -> Sequence[SearchHit]:
        return await self._sessions.search(query, limit, ws_id)

    async def rename(self, ws_id: str, name: str = "", alias: str | None = None) -> WorkstreamInfo:
        return await self._sessions.rename(ws_id, name, alias)

    async def resume(self, name: str) -> WorkstreamInfo:
        return await self._sessions.resume(name)

    async def export(
        self,
        name: str,
        form: ExportFormat = "json",
    ) -> str:
        return await self._sessions.export(name, form)

    async def take_over(self, text: str, source: str = "") -> Imported:
        return await self._sessions.take_over(text, source, self.node_id)

    async def memories(
        self, query: str = "", scope: str = "", limit: int = 100
    ) -> Sequence[Memory]:
        return await self._sessions.memories(query, scope, limit)

    async def remember(self, key: str, value: str, scope: str = "user") -> Memory:
        return await self._sessions.remember(key, value, scope)

    async def forget(self, key: str, scope: str = "user") -> None:
        await self._sessions.forget(key, scope)

    async def set_timer(self, timer: NewTimer) -> Timer:
        return await self.timekeeper.set_timer(timer)

    async def timers(self) -> Sequence[Timer]:
        return await self.timekeeper.timers()

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        return await self.timekeeper.alter_timer(timer_id, action)

    async def health(self) -> NodeHealth:
        states = await self._manager.states()
        counts = {"total": states.total()} | {state: states[state] for state in ev.STATES}
        trouble = await self._store.trouble()
        return NodeHealth(
            status="degraded" if trouble else "ok",
            version=__version__,
            uptime_seconds=round(self.engine.clock.monotonic() - self._started, 2),
            model=self.engine.models.default.id,
            workstreams=counts,
            node_id=self.node_id,
            sandbox=self.engine.confinement.summary,
            store=trouble or "ok",
            awake=self._manager.awake,
            endpoints=self.engine.models.health(),
        )

    async def follow(self, ws_id: str, after: ev.EventId | None = None) -> AsyncIterator[ev.Event]:
        async with self._manager.use(ws_id) as workstream:  # a reader keeps it awake
            async for event in workstream.follow(after):
                yield event

    async def follow_all(self, after: ev.EventId | None = None) -> AsyncIterator[ev.Event]:
        while True:
            if after is not None and not self._global.covers(after):
                yield self._stamped(ev.Truncated(), self._global.last)
                after = None
            if after is None:
                after = self._global.last
            try:
                async for event in self._global.read(after):
                    yield event
                    after = ev.EventId.parse(event.id)
            except Lagged:
                continue

    async def aclose(self) -> None:
        if self._left:
            return
        self._left = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._manager.leave()
        await self.engine.models.aclose()
        await self._store.aclose()
        self._lock.release()

    async def _take_up(self) -> None:
        """Go on with what an earlier process of this node left, and others that are gone."""
        former = [node for node in self._lock.former if not await self._lock.lives(node)]
        for node in former:  # not of one that goes by that id by now
            await self._manager.adopt(node)
        if former and len(former) == len(self._lock.former):
            self._lock.adopted()
        await self._manager.recover(await self._gone() if self._lock.serves else ())

    async def _gone(self) -> set[str]:
        """Nodes that own open turns in this store, and whose processes have ended."""
        owners = {row.owner for row in await self._store.working()}
        owners.discard(self.node_id)
        return {owner for owner in owners if not await self._lock.lives(owner)}

    async def _keep(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except TurnstoneError as error:
                log.error("the store was not looked through: %s", error)
            await asyncio.sleep(seconds)

    def _changed(self, event: ev.Event, info: WorkstreamInfo) -> None:
        """A record was written: tell the global stream what it needs to know of it. Of
        sub-agents, the workstream above them tells."""
        self.on_record(event, info)
        if info.parent:
            return
        if isinstance(event, _GLOBAL):
            self._tell(event)
        if isinstance(event, ev.WsClosed):
            self._states.pop(info.id, None)
            return
        state = (info.state, info.activity)
        if isinstance(event, ev.WsCreated) or self._states.get(info.id, _RESTING) != state:
            if state == _RESTING:
                self._states.pop(info.id, None)
            else:
                self._states[info.id] = state
            self._tell(
                ev.WsState(
                    ws_id=info.id,
                    state=info.state,
                    tokens=info.tokens,
                    context_ratio=info.context_ratio,
                    activity=info.activity,
                    activity_state=info.activity_state,
                    queued=info.queued,
                    timestamp=info.updated,
                )
            )

    def _tell(self, event: ev.Event) -> None:
        place = max(ev.EventId(self._milliseconds()), self._next(self._global.last))
        self._global.record(msgspec.structs.replace(event, id=str(place)))

    def _milliseconds(self) -> int:
        return int(self.engine.clock.now() * 1000)

    @staticmethod
    def _next(place: ev.EventId) -> ev.EventId:
        return ev.EventId(place.seq, place.n + 1)

    @staticmethod
    def _stamped(event: ev.Event, event_id: ev.EventId) -> ev.Event:
        return msgspec.structs.replace(event, id=str(event_id))
