"""The workstreams of one node: makes, finds, wakes, puts to sleep, closes and erases them.

It never runs a turn nor decides anything about one, and knows nothing of HTTP, Redis or a
terminal. A workstream is *awake* while it is in memory. Asleep it is a row in the store and
nothing else; whoever needs it wakes it, and cannot tell the difference.

Whoever uses one holds it (`use`): no send is lost to a sleep, and none accepted twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from turnstone.core import events as ev
from turnstone.core.awake import Awake
from turnstone.core.background import Jobs
from turnstone.core.engine import Engine
from turnstone.core.erasure import at_work, erasable
from turnstone.core.errors import (
    InvalidRequest,
    NotOwner,
    StoreError,
    TooManyWorkstreams,
    TurnstoneError,
    UnknownWorkstream,
)
from turnstone.core.host import CreateWorkstream, WorkstreamInfo
from turnstone.core.journal import Journal
from turnstone.core.outputs import remove_outputs
from turnstone.core.permissions import check_tools
from turnstone.core.session import Session
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.summary import Summary
from turnstone.core.tool import ToolContext
from turnstone.core.workstream import Workstream

log = logging.getLogger(__name__)

#: The form of a workstream's id (contract, section 0.1).
_WS_ID = re.compile(r"[0-9a-f]{8}")


class WorkstreamManager:
    """The workstreams of one node. `on_change(ws_id, event, info)` is told of every record;
    `lives` says of a node id whether its process runs."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        node_id: str,
        on_change: Callable[[ev.Event, WorkstreamInfo], None],
        lives: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._engine = engine
        self._node_id = node_id
        self._on_change = on_change
        self._lives = lives
        self._awake = Awake(engine.clock, engine.max_workstreams)
        self._opening = asyncio.Lock()
        self._unscrubbed = False

    @property
    def awake(self) -> int:
        """How many workstreams are in memory."""
        return len(self._awake)

    async def recover(self, others: Iterable[str] = ()) -> None:
        """Take up every turn that an earlier process of this node left, or one of `others`.

        A workstream that cannot be taken up is logged, and holds the others up in nothing.
        Those without work are not even looked at.
        """
        mine = {self._node_id, *others}
        for row in await self._store.working():
            if row.owner in mine:
                try:
                    if row.owner != self._node_id:
                        await self._store.acquire(row.ws_id, self._node_id)
                    async with self.use(row.ws_id) as workstream:
                        workstream.wake()
                except (TurnstoneError, LookupError) as error:
                    log.error("workstream %s cannot be taken up: %s", row.ws_id, error)

    async def adopt(self, former: str) -> None:
        """Take over all workstreams of the id that this node had before."""
        for row in await self._store.rows(former):
            await self._store.acquire(row.ws_id, self._node_id)

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        """A new workstream, or the one that has the id asked for (`Host.create`)."""
        if request.ws_id and not _WS_ID.fullmatch(request.ws_id):
            raise InvalidRequest(f"ws_id: {request.ws_id!r} is not 8 lower-case hex digits.")
        ws_id = request.ws_id or self._engine.ids.workstream()
        check_tools(request.auto_approve_tools, self._engine)
        created = self._new(request, ws_id)
        async with self._opening:
            made = not request.ws_id or await self._store.row(ws_id) is None
            if made:
                self._need_room()
                self._awake.enter(ws_id, await self._stored(created))
        async with self.use(ws_id) as workstream:
            info = workstream.info()
        if made:
            self._on_change(created, info)
        return info

    def _new(self, request: CreateWorkstream, ws_id: str) -> ev.WsCreated:
        return ev.WsCreated(
            ws_id=ws_id,
            name=request.name or f"ws-{ws_id[:4]}",
            session_id=self._engine.ids.session(),
            workspace=str(_workspace(request.workspace, self._engine.workspace)),
            auto_approve=request.auto_approve,
            auto_approve_tools=request.auto_approve_tools,
            timestamp=round(self._engine.clock.now(), 6),
        )

    def _need_room(self) -> None:
        """Put the one to sleep that was unused for longest, where there is no room."""
        if not self._awake.make_room():
            raise TooManyWorkstreams(
                f"All {self._engine.max_workstreams} workstreams that this node may hold at a "
                "time are at work.",
                hint="Wait, close some, or raise [server] max_workstreams.",
            )

    async def _stored(self, created: ev.WsCreated) -> Workstream:
        row = WorkstreamRow(
            ws_id=created.ws_id,
            session_id=created.session_id,
            created=created.timestamp,
            owner=self._node_id,
            epoch=1,
            summary=msgspec.to_builtins(Summary().after(created)),
        )
        first = await self._store.create(row, created)
        return self._built(msgspec.structs.replace(row, last_seq=1), [first])

    @asynccontextmanager
    async def use(self, ws_id: str) -> AsyncIterator[Workstream]:
        """A workstream of this node, woken if it sleeps; it stays awake in the block.

        Raises UnknownWorkstream.
        """
        await self._wake(ws_id)
        with self._awake.hold(ws_id) as workstream:  # before anybody else gets a turn
            yield workstream

    async def _wake(self, ws_id: str) -> None:
        if self._awake.get(ws_id) is not None:
            return
        async with self._opening:
            if self._awake.get(ws_id) is None:
                row = await self._own_row(ws_id)
                self._awake.make_room()  # where there is none, this one is not refused for that
                row = await self._acquired(row)
                self._awake.enter(ws_id, self._built(row, await self._store.records(ws_id)))

    async def _acquired(self, row: WorkstreamRow) -> WorkstreamRow:
        """Under a new epoch; under the one it has where the store takes no writes at present, so
        that it can be looked at."""
        try:
            return await self._store.acquire(row.ws_id, self._node_id)
        except NotOwner:
            raise
        except StoreError as error:
            log.warning("workstream %s wakes to be read only: %s", row.ws_id, error)
            return row

    async def _own_row(self, ws_id: str) -> WorkstreamRow:
        row = await self._store.row(ws_id)
        if row is None or row.closed or row.owner != self._node_id:
            raise UnknownWorkstream(
                f"There is no workstream {ws_id} on this node.",
                hint="List them to see which there are.",
            )
        return row

    async def ending(self, ws_id: str, correlation_id: str) -> ev.TurnEnded | None:
        """How the turn of a message ended (`Host.ending`). Wakes nothing."""
        if self._awake.get(ws_id) is None:
            await self._own_row(ws_id)
        return await self._store.ending(ws_id, correlation_id)

    def put_idle_to_sleep(self) -> None:
        """Let go of all that were not used for `idle_timeout`, and have nothing to do."""
        if self._engine.idle_timeout:
            self._awake.let_go_unused(self._engine.idle_timeout)

    async def list(self) -> list[WorkstreamInfo]:
        """All of them, in the order of creation; those that sleep are not woken."""
        return [self._info(row) for row in await self._store.rows(self._node_id)]

    def _info(self, row: WorkstreamRow) -> WorkstreamInfo:
        workstream = self._awake.get(row.ws_id)
        return self._asleep(row) if workstream is None else workstream.info()

    async def close(self, ws_id: str) -> None:
        async with self.use(ws_id) as workstream:
            await workstream.close()
        self._awake.forget(ws_id)
        await remove_outputs(self._engine.outputs, ws_id)

    async def erase(self, ws_id: str, *, force: bool = False) -> None:
        """Delete it with all its records (`Host.erase`)."""
        row = await self._erasable(ws_id)
        if force and row.open_turns:  # who waits for one of its messages is told before
            if row.owner != self._node_id:
                await self._store.acquire(ws_id, self._node_id)
            await self._wake(ws_id)
        workstream = self._awake.get(ws_id)
        if workstream is not None:
            if not (force or workstream.quiet):
                raise at_work(ws_id)
            await workstream.close("erased")
            self._awake.forget(ws_id)
        async with self._opening:
            row = await self._erasable(ws_id)
            if row.open_turns or self._awake.get(ws_id) is not None:
                raise at_work(ws_id)
            await self._delete(row, "erased")
        await self.scrub()

    async def _erasable(self, ws_id: str) -> WorkstreamRow:
        return await erasable(self._store, ws_id, self._node_id, self._lives)

    async def erase_older(self) -> None:
        """Erase all that had no record for `retention` and nothing to do, and are of no other
        process that lives."""
        if not self._engine.retention:
            return
        before = self._engine.clock.now() - self._engine.retention
        for row in await self._store.older(before):
            if row.owner == self._node_id or not await self._lives(row.owner):
                await self._erase_if_older(row.ws_id, before)
        await self.scrub()

    async def _erase_if_older(self, ws_id: str, before: float) -> None:
        async with self._opening:
            if not self._awake.let_go(ws_id):
                return
            row = await self._store.row(ws_id)
            if row is not None and row.updated < before and not row.open_turns:
                await self._delete(row, "expired")

    async def _delete(self, row: WorkstreamRow, reason: str) -> None:
        """Delete one that is not awake, and tell whoever follows the node."""
        await self._store.erase(row.ws_id, row.epoch)
        self._awake.forget(row.ws_id)
        self._unscrubbed = True
        await remove_outputs(self._engine.outputs, row.ws_id)
        if not row.closed:
            now = round(self._engine.clock.now(), 6)
            closed = ev.WsClosed(ws_id=row.ws_id, reason=reason, timestamp=now)
            self._on_change(closed, self._asleep(row))

    async def scrub(self) -> None:
        """Wipe from the store's files what was erased; what cannot be now, is next time."""
        if self._unscrubbed:
            self._unscrubbed = not await self._store.scrub()

    async def leave(self) -> None:
        """Stop all work; what is open is taken up by the next process."""
        await asyncio.gather(*(workstream.leave() for workstream in self._awake))
        self._awake.clear()

    def _built(self, row: WorkstreamRow, records: Sequence[ev.Event]) -> Workstream:
        engine = self._engine

        def recorded(event: ev.Event) -> None:
            workstream.recorded(event)
            self._awake.touch(row.ws_id)
            self._on_change(event, workstream.info())

        journal = Journal(
            self._store,
            row,
            records,
            engine.clock,
            context_window=engine.context_window,
            place=self._awake.place(row.ws_id),
            on_record=recorded,
        )
        jobs = Jobs()
        context = ToolContext(
            ws_id=row.ws_id,
            workspace=Path(journal.transcript.created.workspace or engine.workspace),
            timeout=engine.tool_timeout,
            max_output=engine.max_output,
            outputs=engine.outputs / row.ws_id if engine.outputs else None,
            background=jobs,
        )
        workstream = Workstream(journal, Session(journal, engine, context), engine, jobs)
        return workstream

    def _asleep(self, row: WorkstreamRow) -> WorkstreamInfo:
        summary = msgspec.convert(row.summary, Summary)
        return summary.info(
            row.ws_id, row.session_id, window=self._engine.context_window, queued=row.open_turns
        )


def _workspace(wanted: str, default: Path) -> Path:
    if not wanted:
        return default
    path = Path(wanted).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise InvalidRequest(
            f"workspace: {wanted} is not a directory on this node.",
            hint="Name one that exists, with its whole path.",
        )
    return path.resolve()
