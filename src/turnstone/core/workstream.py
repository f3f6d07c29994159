"""Workstreams: one conversation each, taking messages in order, running one turn at a time.

A workstream accepts, queues, wakes its session and lets readers follow; the manager makes,
finds, takes up and closes them. Neither knows HTTP, Redis or a terminal, nor decides
anything about a turn.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import (
    EmptyMessage,
    InvalidRequest,
    NotOwner,
    StoreError,
    TooManyWorkstreams,
    TurnstoneError,
    UnknownRequest,
    UnknownWorkstream,
    WorkstreamBusy,
)
from turnstone.core.host import Accepted, Answer, CreateWorkstream, SendMessage, WorkstreamInfo
from turnstone.core.journal import Journal
from turnstone.core.livelog import Lagged
from turnstone.core.session import Session
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.summary import Summary
from turnstone.core.tool import SEED_TOOLS, ToolContext

log = logging.getLogger(__name__)

#: Seconds before a turn is tried again that could not be recorded (a full disk, say).
RETRY = 5.0

#: The form of a workstream's id (contract, section 0.1).
_WS_ID = re.compile(r"[0-9a-f]{8}")


class Workstream:
    """One open workstream, owned by this process."""

    def __init__(self, journal: Journal, session: Session, engine: Engine) -> None:
        self._journal = journal
        self._session = session
        self._engine = engine
        self._runner: asyncio.Task[None] | None = None
        self._answering: set[str] = set()
        self._closing = False
        self._close_task: asyncio.Task[None] | None = None
        self._cancelled = ""  # the message whose turn is to be stopped before it begins
        self._sending = 0  # messages on their way into the journal

    @property
    def busy(self) -> bool:
        """A turn is open, or a message waits for one."""
        return self._journal.transcript.turn is not None or bool(self._journal.transcript.waiting)

    def info(self) -> WorkstreamInfo:
        return self._journal.info()

    def wake(self) -> None:
        """Go on with what is open and what waits; does nothing while it does already."""
        if (self._runner is None or self._runner.done()) and self.busy:
            self._runner = asyncio.create_task(self._run(), name=f"ws-{self._journal.ws_id}")

    def recorded(self, event: ev.Event) -> None:
        """What follows from a record, whether or not whoever asked for it still waits."""
        if isinstance(event, ev.MessageAccepted):
            self.wake()
        elif isinstance(event, ev.ApprovalAnswered):
            self._session.answered(event)

    async def send(self, request: SendMessage) -> Accepted:
        """Accept a message (`Host.send`)."""
        if not request.message.strip():
            raise EmptyMessage("The message is empty.", hint="Send some text.")
        if self._closing:
            raise UnknownWorkstream(f"Workstream {self._journal.ws_id} is closed.")
        known = request.correlation_id in self._journal.transcript.accepted
        if request.busy == "reject" and not known and (self.busy or self._sending):
            text = "A turn is running; the message was not taken."
            self._journal.publish(ev.BusyError(message=text))
            raise WorkstreamBusy(text, hint="Send it again later, or without busy=reject.")
        accepted = ev.MessageAccepted(
            message=request.message,
            sender=request.sender,
            auto_approve=request.auto_approve,
            auto_approve_tools=request.auto_approve_tools,
            correlation_id=request.correlation_id or self._engine.ids.correlation(),
        )
        self._sending += 1
        try:
            appended = await self._journal.append(accepted)
        finally:
            self._sending -= 1
        [event] = appended.events
        return Accepted(
            ws_id=event.ws_id, correlation_id=event.correlation_id, duplicate=appended.duplicate
        )

    async def answer(self, answer: Answer) -> None:
        """Take an answer to the question that waits (`Host.approve`)."""
        question = self._journal.transcript.question
        request_id = answer.request_id or (question.request_id if question else "")
        if question is None or question.request_id != request_id or request_id in self._answering:
            raise UnknownRequest(
                f"No question {request_id} waits in workstream {self._journal.ws_id}."
                if request_id
                else f"No question waits in workstream {self._journal.ws_id}.",
                hint="It may have been answered, or its turn has ended.",
            )
        self._answering.add(request_id)
        try:
            await self._journal.append(
                ev.ApprovalAnswered(
                    request_id=request_id,
                    approved=answer.approved,
                    feedback=answer.feedback,
                    always=answer.always,
                    expired=answer.expired,
                    by=answer.by,
                    correlation_id=question.correlation_id,
                )
            )
        finally:
            self._answering.discard(request_id)

    def cancel(self) -> bool:
        """Stop the turn in progress, or the one that is just about to begin (`Host.cancel`)."""
        if self._session.running:
            return self._session.cancel()
        if not self.busy:
            return False
        self._cancelled = self._next().correlation_id
        self.wake()
        return True

    async def close(self) -> None:
        """End it for good: the turn is stopped, and what waits is told so. One close at a time:
        whoever asks again waits for the first."""
        if self._close_task is None or self._close_task.done():
            self._close_task = asyncio.create_task(self._close())
        await asyncio.shield(self._close_task)

    async def _close(self) -> None:
        self._closing = True
        try:
            await self._stop_runner()
            while self.busy:
                await self._session.give_up(self._next(), "the workstream was closed", "cancelled")
            if not self._journal.transcript.closed:
                await self._journal.append(ev.WsClosed(reason="closed"))
        except BaseException:
            self._closing = False  # it is open still, and must not be left as neither
            raise

    async def leave(self) -> None:
        """Stop working on it, for the process ends; another takes its turn up later."""
        self._closing = True
        await self._stop_runner()

    async def follow(self, after: ev.EventId | None) -> AsyncIterator[ev.Event]:
        """The events (`Host.follow`), with a snapshot first wherever it is needed."""
        live = self._journal.live
        missed = after is not None and not live.covers(after)
        while True:
            if missed:
                yield self._at(live.last, ev.Truncated())
            if missed or after is None:
                snapshot = self._snapshot(full=missed)
                after = live.last
                for event in snapshot:
                    yield self._at(after, event)
            if self._journal.transcript.closed and after == live.last:
                return
            try:
                async for event in live.read(after):
                    yield event
                    after = ev.EventId.parse(event.id)
                    if isinstance(event, ev.WsClosed):
                        return
            except Lagged:
                missed = True

    def _snapshot(self, *, full: bool) -> list[ev.Event]:
        """Where a reader starts from. The order is that of the 0.2 wire (contract, 2.5)."""
        streamed = self._journal.live.streamed()
        transcript = self._journal.transcript
        connected = ev.Connected(
            model=self._engine.model_name,
            skip_permissions=transcript.auto_approve or self._engine.auto_approve,
            name=transcript.summary.name,
            state=transcript.summary.state,
        )
        snapshot: list[ev.Event] = [connected]
        if transcript.history or full:
            snapshot.append(ev.History(messages=transcript.readable()))
        snapshot += streamed
        if transcript.question is not None:
            snapshot.append(transcript.question)
        if transcript.turn is None and transcript.ending is not None:
            snapshot.append(transcript.ending)
        return snapshot

    def _at(self, place: ev.EventId, event: ev.Event) -> ev.Event:
        timestamp = event.timestamp or round(self._engine.clock.now(), 6)
        return msgspec.structs.replace(
            event, ws_id=self._journal.ws_id, id=str(place), timestamp=timestamp
        )

    async def _run(self) -> None:
        while self.busy and not self._closing:
            try:
                await self._one_turn(self._next())
            except NotOwner as error:
                self._stand_still(error)
                return
            except StoreError as error:
                # Nothing can be recorded, so nothing may be done. The turn stays open, and is
                # taken up again when the store takes records.
                self._stand_still(error)
                await asyncio.sleep(RETRY)

    async def _one_turn(self, message: ev.MessageAccepted) -> None:
        cancelled, self._cancelled = self._cancelled, ""
        if cancelled == message.correlation_id:
            return await self._session.give_up(message, "cancelled", "cancelled")
        try:
            await self._session.run_turn(message)
        except StoreError:
            raise
        except Exception as error:
            log.exception("workstream %s: a turn broke", self._journal.ws_id)
            reason = f"an error in turnstone itself: {type(error).__name__}: {error}"
            await self._session.give_up(message, reason)

    def _next(self) -> ev.MessageAccepted:
        """The message whose turn is open, or the one that waits for longest."""
        transcript = self._journal.transcript
        return transcript.turn.message if transcript.turn else transcript.waiting[0]

    def _stand_still(self, error: StoreError) -> None:
        log.error("workstream %s stands still: %s", self._journal.ws_id, error)
        self._journal.publish(ev.Error(message=str(error), code=error.code))

    async def _stop_runner(self) -> None:
        """No turn runs after this, and what was being written has been: the fold is true."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._journal.settle()


class WorkstreamManager:
    """The workstreams of one node. `on_change(ws_id, event, info)` is told of every record."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        node_id: str,
        on_change: Callable[[ev.Event, WorkstreamInfo], None],
    ) -> None:
        self._store = store
        self._engine = engine
        self._node_id = node_id
        self._on_change = on_change
        self._open: dict[str, Workstream] = {}
        self._opening = asyncio.Lock()

    async def recover(self, others: Iterable[str] = ()) -> None:
        """Take up every turn that an earlier process of this node left, or one of `others`.

        A workstream that cannot be taken up is logged, and holds the others up in nothing.
        """
        mine = {self._node_id, *others}
        for row in await self._store.rows():
            if row.open_turns > 0 and row.owner in mine:
                try:
                    await self._store.acquire(row.ws_id, self._node_id)
                    (await self.get(row.ws_id)).wake()
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
        self._check_tools(request.auto_approve_tools)
        created = self._new(request, ws_id)
        async with self._opening:
            made = not request.ws_id or await self._store.row(ws_id) is None
            if made:
                await self._check_room()
                self._open[ws_id] = await self._stored(created)
        workstream = await self.get(ws_id)
        if made:
            self._on_change(created, workstream.info())
        return workstream.info()

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

    def _check_tools(self, names: Sequence[str]) -> None:
        """A misspelt name would leave a person waiting for what they thought was permitted."""
        known = self._engine.tools.keys() | SEED_TOOLS
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InvalidRequest(
                f"auto_approve_tools: there is no tool {unknown[0]!r}.",
                hint=f"The tools are {', '.join(sorted(self._engine.tools))}.",
            )

    async def _check_room(self) -> None:
        if await self._store.count(self._node_id) >= self._engine.max_workstreams:
            raise TooManyWorkstreams(
                f"This node holds {self._engine.max_workstreams} workstreams, its limit.",
                hint="Close some, or raise [server] max_workstreams.",
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

    async def get(self, ws_id: str) -> Workstream:
        """An open workstream of this node, woken from the store if it sleeps."""
        found = self._open.get(ws_id)
        if found is not None:
            return found
        async with self._opening:
            if ws_id not in self._open:
                row = await self._store.row(ws_id)
                if row is None or row.closed or row.owner != self._node_id:
                    raise UnknownWorkstream(
                        f"There is no workstream {ws_id} on this node.",
                        hint="List them to see which there are.",
                    )
                row = await self._store.acquire(ws_id, self._node_id)
                self._open[ws_id] = self._built(row, await self._store.records(ws_id))
            return self._open[ws_id]

    async def list(self) -> list[WorkstreamInfo]:
        """All of them, in the order of creation; those that sleep are not woken."""
        return [
            self._open[row.ws_id].info() if row.ws_id in self._open else self._asleep(row)
            for row in await self._store.rows(self._node_id)
        ]

    async def close(self, ws_id: str) -> None:
        workstream = await self.get(ws_id)
        await workstream.close()
        self._open.pop(ws_id, None)

    async def leave(self) -> None:
        """Stop all work; what is open is taken up by the next process."""
        await asyncio.gather(*(workstream.leave() for workstream in self._open.values()))
        self._open.clear()

    def _built(self, row: WorkstreamRow, records: Sequence[ev.Event]) -> Workstream:
        engine = self._engine

        def recorded(event: ev.Event) -> None:
            workstream.recorded(event)
            self._on_change(event, workstream.info())

        journal = Journal(
            self._store,
            row,
            records,
            engine.clock,
            context_window=engine.context_window,
            on_record=recorded,
        )
        context = ToolContext(
            ws_id=row.ws_id,
            workspace=Path(journal.transcript.created.workspace or engine.workspace),
            timeout=engine.tool_timeout,
            max_output=engine.max_output,
        )
        workstream = Workstream(journal, Session(journal, engine, context), engine)
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
