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
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from turnstone.core import events as ev
from turnstone.core.agents import Agents
from turnstone.core.awake import Awake
from turnstone.core.background import Jobs
from turnstone.core.budget import problem
from turnstone.core.engine import Engine
from turnstone.core.erasure import at_work, erasable, parents_first
from turnstone.core.errors import (
    InvalidRequest,
    NotOwner,
    StoreError,
    TooManyWorkstreams,
    TurnstoneError,
    UnknownWorkstream,
)
from turnstone.core.family import Family
from turnstone.core.host import CreateWorkstream, WorkstreamInfo
from turnstone.core.journal import Journal, folded
from turnstone.core.outputs import keep_images_only, remove_outputs
from turnstone.core.permissions import check_tools
from turnstone.core.relay import Relay
from turnstone.core.remembering import Remembering
from turnstone.core.session import Session
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.store.rows import SUB_AGENT
from turnstone.core.summary import Summary
from turnstone.core.tool import ToolContext
from turnstone.core.transcript import Transcript
from turnstone.core.workstream import Workstream

log = logging.getLogger(__name__)

#: The form of a workstream's id (contract, section 0.1).
_WS_ID = re.compile(r"[0-9a-f]{8}")

#: Rows that are read at a time: some milliseconds of work.
_PAGE = 500


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
        # One lock for each workstream that is being made, woken or erased, and one for making.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._making = asyncio.Lock()
        self._family = Family(store, self._awake, node_id, self.use, self._make_agent)
        self._unscrubbed = False
        self._failing: dict[str, str] = {}  # why a turn that was left cannot be taken up

    @property
    def awake(self) -> int:
        """How many workstreams are in memory."""
        return len(self._awake)

    @property
    def at_work(self) -> int:
        """How many workstreams have a turn open, or a message waiting."""
        return sum(workstream.busy for workstream in self._awake)

    async def recover(self, others: Iterable[str] = ()) -> None:
        """Take up every turn that an earlier process of this node left, or one of `others`.

        A workstream that cannot be taken up is logged, once, and holds the others up in nothing;
        it is tried again when this is called again. Those without work are not looked at.
        """
        mine, failing = {self._node_id, *others}, dict[str, str]()
        working = parents_first(await self._store.working())
        left = {row.ws_id: row for row in working if row.owner in mine}
        # All are this node's before one is awake, which takes over what it needs below it.
        for step in (self._family.take, self._taken_up):
            done = dict[str, WorkstreamRow]()
            for ws_id, row in left.items():
                above = row.summary.get("parent", "")
                if above in left and above not in done:
                    continue  # without the one above it, its call would seem to be over
                try:
                    await step(row)
                    done[ws_id] = row
                except (TurnstoneError, LookupError) as error:
                    failing[ws_id] = str(error)
                    if self._failing.get(ws_id) != str(error):
                        log.error("workstream %s cannot be taken up: %s", ws_id, error)
            left = done
        self._failing = failing

    async def _taken_up(self, row: WorkstreamRow) -> None:
        async with self.use(row.ws_id) as workstream:
            if await self._family.waited_for(workstream):
                workstream.wake()
            else:
                await workstream.cancel()

    async def adopt(self, former: str) -> None:
        """Take over all workstreams of an id that this node had before."""
        for row in await self._store.rows(former):
            await self._store.acquire(row.ws_id, self._node_id, row.epoch)

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        """A new workstream, or the one that has the id asked for (`Host.create`)."""
        if request.ws_id and not _WS_ID.fullmatch(request.ws_id):
            raise InvalidRequest(f"ws_id: {request.ws_id!r} is not 8 lower-case hex digits.")
        ws_id = request.ws_id or self._engine.ids.workstream()
        check_tools(request.auto_approve_tools, self._engine)
        if wrong := problem(request.budget):
            raise InvalidRequest(wrong)
        created = self._new(request, ws_id)
        async with self._making, self._lock(ws_id):
            made = not request.ws_id or await self._store.row(ws_id) is None
            if made:
                self._need_room()
                self._enter(*await self._stored(created))
        async with self.use(ws_id) as workstream:
            info = workstream.info()
        if made:
            self._on_change(created, info)
        return info

    async def create_with(
        self, created: ev.WsCreated, records: Sequence[ev.Event]
    ) -> WorkstreamInfo | None:
        """A new workstream whose journal goes on with these records, all in one write; None:
        there is one of its id."""
        now = round(self._engine.clock.now(), 6)
        created = msgspec.structs.replace(created, timestamp=now)
        behind = [ev.sound(msgspec.structs.replace(record, timestamp=now)) for record in records]
        async with self._making, self._lock(created.ws_id):
            if await self._store.row(created.ws_id) is not None:
                return None
            self._need_room()
            row, _ = await self._stored(created, behind)
            self._enter(row, await folded(self._store, created.ws_id))
        async with self.use(created.ws_id) as workstream:
            info = workstream.info()
        self._on_change(created, info)
        return info

    async def shown(self, ws_id: str) -> WorkstreamInfo | None:
        """What lists show of a workstream, whoever has it, closed or not; None: there is none."""
        row = await self._store.row(ws_id)
        return self._info(row) if row is not None else None

    def _new(self, request: CreateWorkstream, ws_id: str) -> ev.WsCreated:
        return ev.WsCreated(
            ws_id=ws_id,
            name=request.name or f"ws-{ws_id[:4]}",
            session_id=self._engine.ids.session(),
            workspace=str(_workspace(request.workspace, self._engine.workspace)),
            auto_approve=request.auto_approve,
            auto_approve_tools=request.auto_approve_tools,
            budget=request.budget if request.budget != ev.Budget() else self._engine.budget,
            timestamp=round(self._engine.clock.now(), 6),
        )

    async def _make_agent(self, created: ev.WsCreated) -> bool:
        """Make the workstream of a sub-agent; False where there is one of its id."""
        async with self._making, self._lock(created.ws_id):
            if await self._store.row(created.ws_id) is not None:
                return False
            now = round(self._engine.clock.now(), 6)
            created = msgspec.structs.replace(created, timestamp=now)
            row, transcript = await self._stored(created)
            self._enter(row, transcript)
            self._on_change(created, self._asleep(row))
            return True

    def transcript(self, ws_id: str) -> Transcript | None:
        """Of a workstream that is awake, for reading only."""
        workstream = self._awake.get(ws_id)
        return workstream.transcript if workstream is not None else None

    def _need_room(self) -> None:
        """Put the one to sleep that was unused for longest, where there is no room."""
        if not self._awake.make_room():
            raise TooManyWorkstreams(
                f"All {self._engine.max_workstreams} workstreams that this node may hold at a "
                "time are at work.",
                hint="Wait, close some, or raise [server] max_workstreams.",
            )

    def _lock(self, ws_id: str) -> asyncio.Lock:
        return self._locks.setdefault(ws_id, asyncio.Lock())

    async def _stored(
        self, created: ev.WsCreated, behind: Sequence[ev.Event] = ()
    ) -> tuple[WorkstreamRow, Transcript]:
        """Keep a new one. The transcript is that of its first record alone."""
        summary = Summary().after(created)
        for record in behind:
            summary = summary.after(record)
        row = WorkstreamRow(
            ws_id=created.ws_id,
            session_id=created.session_id,
            created=created.timestamp,
            owner=self._node_id,
            epoch=1,
            summary=msgspec.to_builtins(summary),
        )
        transcript = Transcript()
        transcript.apply(await self._store.create(row, created, behind))
        return msgspec.structs.replace(row, last_seq=1 + len(behind)), transcript

    @asynccontextmanager
    async def use(self, ws_id: str) -> AsyncIterator[Workstream]:
        """A workstream of this node, woken if it sleeps; it stays awake in the block.

        Raises UnknownWorkstream.
        """
        woken = await self._wake(ws_id)
        with self._awake.hold(ws_id) as workstream:  # before anybody else gets a turn
            if woken and not workstream.transcript.created.agent:
                # Something may be open in it that nobody here has accepted. A sub-agent goes on
                # only when whoever waits for it does.
                workstream.wake()
            yield workstream

    async def go_on(self, ws_id: str) -> None:
        """See to it that what is open in a workstream of this node is worked on; does nothing
        where it is no workstream of this node, or cannot be woken now: `recover` comes by."""
        with suppress(UnknownWorkstream, StoreError):
            async with self.use(ws_id) as workstream:
                workstream.wake()

    async def _wake(self, ws_id: str) -> bool:
        """Whether it was asleep."""
        if self._here(ws_id) is not None:
            return False
        async with self._lock(ws_id):
            if self._here(ws_id) is None:
                row = await self._acquired(await self._own_row(ws_id))
                self._enter(row, await folded(self._store, ws_id))
            return True

    def _enter(self, row: WorkstreamRow, transcript: Transcript) -> None:
        self._awake.make_room()  # where there is none, this one is not refused for that
        self._awake.enter(row.ws_id, self._built(row, transcript))

    def _here(self, ws_id: str) -> Workstream | None:
        """The one that is awake; one that another process has taken over is let go of first."""
        workstream = self._awake.get(ws_id)
        if workstream is not None and workstream.lost and self._awake.let_go(ws_id):
            return None
        return workstream

    async def _acquired(self, row: WorkstreamRow) -> WorkstreamRow:
        """Under a new epoch; under the one it has where the store takes no writes at present, so
        that it can be looked at."""
        try:
            return await self._store.acquire(row.ws_id, self._node_id, row.epoch)
        except NotOwner:
            raise
        except StoreError as error:
            log.warning("workstream %s wakes to be read only: %s", row.ws_id, error)
            return row  # if it is another by now, the journal finds that when it writes

    async def _own_row(self, ws_id: str) -> WorkstreamRow:
        row = await self._store.row(ws_id)
        if row is None or row.closed or row.owner != self._node_id:
            raise _unknown(ws_id)
        return row

    async def ending(self, ws_id: str, correlation_id: str) -> ev.TurnEnded | None:
        """How the turn of a message ended (`Host.ending`). Wakes nothing."""
        workstream = self._here(ws_id)
        if workstream is None:
            await self._own_row(ws_id)
        else:
            await workstream.settled()
        return await self._store.ending(ws_id, correlation_id)

    async def knows(self, ws_id: str, correlation_id: str) -> bool:
        """Whether it has accepted a message (`Host.knows`). Wakes nothing."""
        if self._here(ws_id) is None:
            await self._own_row(ws_id)
        return await self._store.taker(correlation_id) == ws_id

    def put_idle_to_sleep(self) -> None:
        """Let go of all that were not used for `idle_timeout`, and have nothing to do."""
        if self._engine.idle_timeout:
            self._awake.let_go_unused(self._engine.idle_timeout)

    async def list(
        self, parent: str = "", limit: int | None = None, after: str = ""
    ) -> list[WorkstreamInfo]:
        """`Host.list`; those that sleep are not woken. Read by pages: what else there is to do
        for the store, and for this process, is done in between."""
        if limit is not None and limit < 1:
            raise InvalidRequest(f"limit: {limit} is not 1 or more.")
        place = (await self._known(after)).place if after else None
        found: list[WorkstreamInfo] = []
        if parent:
            rows = await self._store.below(parent)
            mine = (row for row in rows if row.owner == self._node_id and not row.closed)
            found = [self._info(row) for row in mine if place is None or row.place > place]
            return found if limit is None else found[:limit]
        while limit is None or len(found) < limit:
            rows = await self._store.rows(self._node_id, after=place, limit=_PAGE)
            found += [info for info in map(self._info, rows) if not info.parent]
            if len(rows) < _PAGE:
                break
            place = rows[-1].place
        return found if limit is None else found[:limit]

    async def _known(self, ws_id: str) -> WorkstreamRow:
        """The row of one that may be closed by now: its place in the order is known still."""
        row = await self._store.row(ws_id)
        if row is None or row.owner != self._node_id:
            raise _unknown(ws_id)
        return row

    async def states(self) -> Counter[str]:
        """How many of them are in which state."""
        found = await self._store.states(self._node_id)
        counts = Counter({state: count for state, count in found.items() if state})
        counts[Summary().state] += found.get("", 0)
        del counts[SUB_AGENT]
        for workstream in self._awake:  # one whose sub-agent asks says so, without a record
            stored, shown = workstream.transcript.summary, workstream.info().state
            if shown != stored.state and not stored.parent:
                counts[stored.state] -= 1
                counts[shown] += 1
        return counts

    def _info(self, row: WorkstreamRow) -> WorkstreamInfo:
        workstream = self._awake.get(row.ws_id)
        return self._asleep(row) if workstream is None else workstream.info()

    async def reopen(self, row: WorkstreamRow) -> WorkstreamInfo:
        """Go on with this workstream, closed or open, whose process is this one or gone.

        Raises NotOwner, TooManyWorkstreams; UnknownWorkstream where it was erased meanwhile.
        """
        ws_id = row.ws_id
        await self._check_free(row)
        reopened: ev.Event | None = None
        async with self._lock(ws_id):
            if self._here(ws_id) is None:
                self._need_room()
                row = await self._store.acquire(ws_id, self._node_id, row.epoch)
                if row.closed:
                    now = round(self._engine.clock.now(), 6)
                    summary = msgspec.convert(row.summary, Summary)
                    told = ev.WsReopened(timestamp=now)
                    after = msgspec.to_builtins(summary.after(told))
                    appended = await self._store.append(ws_id, row.epoch, [told], after)
                    [reopened] = appended.events
                    row = msgspec.structs.replace(row, last_seq=row.last_seq + 1, closed=False)
                self._enter(row, await folded(self._store, ws_id))
        async with self.use(ws_id) as workstream:
            workstream.wake()
            info = workstream.info()
        if reopened is not None:
            self._on_change(reopened, info)
        return info

    async def rename_closed(self, row: WorkstreamRow, rename: ev.WsRename) -> WorkstreamInfo:
        """Name a closed workstream, which stays closed, and asleep.

        Raises NotOwner, NameTaken; UnknownWorkstream where it was erased meanwhile.
        """
        await self._check_free(row)
        summary, now = msgspec.convert(row.summary, Summary), round(self._engine.clock.now(), 6)
        records = [
            ev.sound(msgspec.structs.replace(record, timestamp=now))
            for record in (ev.WsReopened(), rename, ev.WsClosed(reason="renamed"))
        ]
        for record in records:
            summary = summary.after(record)
        after = msgspec.to_builtins(summary)
        async with self._lock(row.ws_id):
            row = await self._store.acquire(row.ws_id, self._node_id, row.epoch)
            appended = await self._store.append(row.ws_id, row.epoch, records, after)
        info = self._asleep(msgspec.structs.replace(row, summary=after))
        self._on_change(appended.events[1], info)
        return info

    async def _check_free(self, row: WorkstreamRow) -> None:
        """Raises NotOwner where another process has it that runs."""
        if row.owner != self._node_id and await self._lives(row.owner):
            raise NotOwner(
                f"Workstream {row.ws_id} belongs to node {row.owner}, which runs.",
                hint="Go on with it there, or stop that process first.",
            )

    async def close(self, ws_id: str) -> None:
        async with self.use(ws_id) as workstream:
            await workstream.close(first=partial(self._close_below, ws_id))
        self._awake.forget(ws_id)
        await keep_images_only(self._engine.outputs, ws_id)

    async def _close_below(self, ws_id: str) -> None:
        """Close the sub-agents of a workstream, before it is closed itself: a process that ends
        in between leaves none that nobody would close any more."""
        for row in await self._store.below(ws_id):
            if not row.closed:
                with suppress(UnknownWorkstream):  # closed by itself, or erased, meanwhile
                    await self._family.take(row)
                    await self.close(row.ws_id)

    async def erase(self, ws_id: str, *, force: bool = False) -> None:
        """Delete it with all its records, and all that is below it (`Host.erase`)."""
        await self._let_end(ws_id, force=force)
        async with AsyncExitStack() as held:
            await self._delete(await self._tree(ws_id, held), "erased")
        await self.scrub()

    async def _let_end(self, ws_id: str, *, force: bool) -> None:
        """Close it, and all that is below it, where it is awake: then it may be erased."""
        row = await self._erasable(ws_id)
        if force and row.open_turns:  # who waits for one of its messages is told before
            if row.owner != self._node_id:
                await self._store.acquire(ws_id, self._node_id, row.epoch)
            await self._wake(ws_id)
        workstream = self._here(ws_id)
        if workstream is not None:
            if not (force or workstream.quiet):
                raise at_work(ws_id)
            await workstream.close("erased", first=partial(self._close_below, ws_id))
            self._awake.forget(ws_id)
        for child in await self._store.below(ws_id):
            await self._let_end(child.ws_id, force=True)

    async def _tree(self, ws_id: str, held: AsyncExitStack) -> Sequence[WorkstreamRow]:
        """It and all that is below it, the lowest first; `held` keeps them from being woken.
        The locks are taken from above to below: nobody else takes two."""
        await held.enter_async_context(self._lock(ws_id))
        row = await self._erasable(ws_id)
        if row.open_turns or self._awake.get(ws_id) is not None:
            raise at_work(ws_id)
        found = [row]
        for child in await self._store.below(ws_id):
            found = [*await self._tree(child.ws_id, held), *found]
        return found

    async def _erasable(self, ws_id: str) -> WorkstreamRow:
        return await erasable(self._store, ws_id, self._node_id, self._lives)

    async def erase_older(self) -> None:
        """Erase all that had no record for `retention` and nothing to do, and are of no other
        process that lives."""
        if not self._engine.retention:
            return
        before = self._engine.clock.now() - self._engine.retention
        older = await self._store.older(before)
        others = {row.owner for row in older} - {self._node_id}
        alive = {owner for owner in others if await self._lives(owner)}
        for row in older:
            if row.owner not in alive:
                with suppress(NotOwner, UnknownWorkstream):  # another node was quicker
                    await self._erase_if_older(row, before)
        await self.scrub()

    async def _erase_if_older(self, seen: WorkstreamRow, before: float) -> None:
        """Erase the one that was seen: not one that somebody has used, or taken over, since."""
        async with self._lock(seen.ws_id):
            if not self._awake.let_go(seen.ws_id):
                return
            row = await self._store.row(seen.ws_id)
            if row is None or row.epoch != seen.epoch:
                return
            if row.owner != self._node_id:
                if await self._lives(row.owner):
                    return
                # From here on nobody writes to it, whether or not its process lives after all.
                row = await self._store.acquire(row.ws_id, self._node_id, seen.epoch)
            if row.updated < before and not row.open_turns:
                await self._delete([row], "expired")

    async def _delete(self, rows: Sequence[WorkstreamRow], reason: str) -> None:
        """Delete these, none of them awake, in one; the last is above the others. Whoever
        follows the node is told."""
        self._unscrubbed = True  # also where the answer is lost
        *below, top = rows
        await self._store.erase(top.ws_id, top.epoch, [(row.ws_id, row.epoch) for row in below])
        for row in rows:
            self._awake.forget(row.ws_id)
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

    def _built(self, row: WorkstreamRow, transcript: Transcript) -> Workstream:
        engine = self._engine

        def recorded(event: ev.Event) -> None:
            workstream.recorded(event)
            self._awake.touch(row.ws_id)
            self._on_change(event, workstream.info())

        journal = Journal(
            self._store,
            row,
            transcript,
            engine.clock,
            window=engine.models.window,
            place=self._awake.place(row.ws_id),
            on_record=recorded,
        )
        relay = Relay(journal, lambda event: self._on_change(event, workstream.info()))
        agents = Agents(self._family, journal, engine, relay)
        workspace = Path(journal.transcript.created.workspace or engine.workspace)
        jobs = Jobs()
        context = ToolContext(
            ws_id=row.ws_id,
            workspace=workspace,
            timeout=engine.tool_timeout,
            max_output=engine.output_for(journal.transcript.summary),
            agents=agents,
            outputs=engine.outputs / row.ws_id if engine.outputs else None,
            background=jobs,
            memory=Remembering(self._store, journal, str(workspace), engine.clock),
        )
        session = Session(journal, engine, context)
        session.purse.above = agents.above
        workstream = Workstream(journal, session, engine, relay, agents, jobs)
        return workstream

    def _asleep(self, row: WorkstreamRow) -> WorkstreamInfo:
        summary = msgspec.convert(row.summary, Summary)
        window = self._engine.models.window(summary)
        return summary.info(row.ws_id, row.session_id, window=window, queued=row.open_turns)


def _unknown(ws_id: str) -> UnknownWorkstream:
    if not ws_id:
        return UnknownWorkstream("ws_id is missing.", hint="Name the workstream that is meant.")
    return UnknownWorkstream(
        f"There is no workstream {ws_id} on this node.", hint="List them to see which there are."
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
