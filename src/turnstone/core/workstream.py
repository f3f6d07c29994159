"""Workstreams: one conversation each, taking messages in order, running one turn at a time.

A workstream accepts, queues, wakes its session and lets readers follow. It knows nothing of
HTTP, Redis or a terminal, and decides nothing about a turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from turnstone.core import attaching, attachments, permissions
from turnstone.core import events as ev
from turnstone.core.agent_rules import missing
from turnstone.core.answering import Answering
from turnstone.core.background import Jobs
from turnstone.core.compacting import LATER, Compaction
from turnstone.core.engine import Engine
from turnstone.core.errors import (
    EmptyMessage,
    InvalidRequest,
    NotOwner,
    StoreError,
    UnknownWorkstream,
    WorkstreamBusy,
)
from turnstone.core.host import Accepted, PolicyView, SendMessage, WorkstreamInfo
from turnstone.core.journal import RETRY, Journal
from turnstone.core.livelog import Lagged
from turnstone.core.logs import about
from turnstone.core.pocket import Pocket
from turnstone.core.relay import Relay
from turnstone.core.session import Session
from turnstone.core.store import Appended
from turnstone.core.sub_agents import SubAgents
from turnstone.core.titles import Titles
from turnstone.core.transcript import Transcript

log = logging.getLogger(__name__)

#: Seconds between two attempts to stop a turn that could not be recorded, and between two looks
#: whether a turn before a compaction waits for a person.
_LOOK = 1.0

_WITHDRAWN = "taken back before its turn began"


class Workstream:
    """One open workstream, owned by this process."""

    def __init__(
        self,
        journal: Journal,
        session: Session,
        engine: Engine,
        relay: Relay,
        agents: SubAgents,
        background: Jobs,
    ) -> None:
        self.agents = agents
        self.answering = Answering(journal, relay)
        self._journal = journal
        self._background = background
        self._session = session
        self._titles = Titles(journal, engine, session.paid)
        self._engine = engine
        self._relay = relay
        self._runner: asyncio.Task[None] | None = None
        self._closing = False
        self._close_task: asyncio.Task[None] | None = None
        self._withdrawing: dict[str, asyncio.Task[bool]] = {}  # by the message taken back
        self._cancelled = ""  # the message whose turn is to be stopped before it begins
        self._sending = 0  # messages on their way into the journal

    @property
    def _workspace(self) -> Path:
        return Path(self._journal.transcript.created.workspace or self._engine.workspace)

    @property
    def busy(self) -> bool:
        """A turn is open, or a message waits for one."""
        return self._journal.transcript.turn is not None or bool(self._journal.transcript.waiting)

    @property
    def _has_work(self) -> bool:
        return self.busy or self._session.compacting.wanted

    @property
    def quiet(self) -> bool:
        """Nothing runs, waits or is being written: between two awaits it may be let go of, and
        its journal is all there is to it."""
        return not (
            (self.busy and not self.lost)
            or self._journal.writing
            or self._session.running
            or self._background.running
            or (self._runner is not None and not self._runner.done())
            or (self._close_task is not None and not self._close_task.done())
        )

    @property
    def asks_for_title(self) -> bool:
        """That holds up nobody, and would be lost if it were let go of now."""
        return self._titles.asking

    @property
    def lost(self) -> bool:
        """Another process has taken it over."""
        return self._journal.lost

    async def settled(self) -> None:
        """Return when what is told of it is certain. Raises Unsettled while it is not."""
        await self._journal.catch_up()

    def place(self) -> ev.EventId:
        """The id of its last event, with everything told that was still held back."""
        self._journal.live.flush()
        return self._journal.live.last

    def info(self) -> WorkstreamInfo:
        return self._relay.overlaid(self._journal.info())

    @property
    def pocket(self) -> Pocket:
        """Its budget, out of which all below it pay too."""
        return self._session.purse.pocket

    @property
    def parent(self) -> tuple[str, str]:
        """Of a sub-agent: the workstream above it, and the call there; else both empty."""
        created = self._journal.transcript.created
        return created.parent, created.parent_call

    @property
    def asks(self) -> set[str]:
        """The request ids of what waits for a person, here and below."""
        shown = [self.transcript.question, self.transcript.plan, *self._relay.snapshot()]
        return {q.request_id for q in shown if isinstance(q, ev.ApprovalAsked | ev.PlanAsked)}

    @property
    def transcript(self) -> Transcript:
        """For reading only."""
        return self._journal.transcript

    def wake(self) -> None:
        """Go on with what is open and what waits; does nothing while it does already."""
        idle = self._runner is None or self._runner.done()
        if idle and self._has_work and not self.lost:
            self._runner = asyncio.create_task(self._run(), name=f"ws-{self._journal.ws_id}")

    def recorded(self, event: ev.Event) -> None:
        """What follows from a record, whether or not whoever asked for it still waits."""
        if isinstance(event, ev.MessageAccepted):
            self.wake()
        elif isinstance(event, ev.ApprovalAnswered):
            self._session.answered(event)
        elif isinstance(event, ev.PlanAnswered):
            self.agents.reviewed(event)
        elif isinstance(event, ev.TurnEnded):
            self._titles.ended(event)
        elif isinstance(event, ev.BudgetSet):
            self.pocket.look()
        elif isinstance(event, ev.ConversationSet):
            self._journal.publish(ev.ClearUi())
            self._journal.publish(ev.History(messages=self.transcript.readable()))

    async def send(self, request: SendMessage) -> Accepted:
        """Accept a message (`Host.send`)."""
        if not request.message.strip() and not request.attachments:
            raise EmptyMessage("The message is empty.", hint="Send some text.")
        files = attachments.checked(request.attachments)
        if self._journal.transcript.created.agent:
            raise InvalidRequest(
                f"Workstream {self._journal.ws_id} is a sub-agent, and takes no messages.",
                hint=f"Send them to {self._journal.transcript.created.parent}, which it works for.",
            )
        self._check_open()
        permissions.check_tools(request.auto_approve_tools, self._engine)
        await self._journal.catch_up()
        known = request.correlation_id in self._journal.transcript.accepted
        if not known:
            attaching.check_model(files, self.transcript.summary, self._engine)
        if request.busy == "reject" and not known and (self.busy or self._sending):
            text = "A turn is running; the message was not taken."
            self._journal.publish(ev.BusyError(message=text))
            raise WorkstreamBusy(text, hint="Send it again later, or without busy=reject.")
        accepted = ev.MessageAccepted(
            message=attachments.worded(request.message, request.attachments),
            attachments=await attaching.kept(files, self._journal.ws_id, self._engine),
            sender=request.sender,
            auto_approve=request.auto_approve,
            auto_approve_tools=request.auto_approve_tools,
            steer=request.busy == "steer",
            correlation_id=request.correlation_id or self._engine.ids.correlation(),
        )
        appended = await self.accept(accepted)
        [event] = appended.events
        if appended.duplicate:
            attaching.check_same(event, accepted)
        notice = permissions.notice_of(
            request.auto_approve, request.auto_approve_tools, self._engine, self._workspace
        )
        if notice and not appended.duplicate:
            self._journal.publish(ev.Info(message=notice), event.correlation_id)
        return Accepted(
            ws_id=event.ws_id,
            correlation_id=event.correlation_id,
            duplicate=appended.duplicate,
            notice=notice,
        )

    async def change(self, *records: ev.Event, resting: bool = False) -> None:
        """Record what a person changed; with `resting`, only while nothing runs or waits.

        Raises WorkstreamBusy, and InvalidRequest for a sub-agent, which is its parent's affair.
        """
        await self.change_from(lambda: records, resting=resting)

    async def change_from(
        self, make: Callable[[], Sequence[ev.Event]], *, resting: bool = False
    ) -> None:
        """The same, for records that depend on those before them."""
        self._check_open()
        if self.transcript.created.agent:
            raise InvalidRequest(
                f"Workstream {self._journal.ws_id} is a sub-agent: it cannot be changed.",
                hint="Change the one above it.",
            )
        appended = await self._journal.append_from(lambda: [] if resting and self.busy else make())
        if not appended.events:
            raise WorkstreamBusy(
                "A turn is running, or a message waits for one: that cannot be done now.",
                hint="Wait until it has ended, or stop it with /cancel.",
            )

    async def set_budget(self, budget: ev.Budget, by: str, command_id: str = "") -> None:
        """Record what may be used from now on (`Host.set_budget`)."""
        set_to = ev.BudgetSet(
            budget=budget,
            by=by,
            worked=round(self._journal.worked, 6),
            correlation_id=command_id,
        )
        await self.change(set_to, *(self.pocket.standing() if budget.seconds else []))

    def tell(self, event: ev.Event, correlation_id: str) -> None:
        """Tell readers something that is not kept."""
        self._journal.publish(event, correlation_id)

    async def accept(self, message: ev.MessageAccepted) -> Appended:
        """Take a message as it is."""
        self._check_open()
        self._sending += 1
        try:
            return await self._journal.append(message)
        finally:
            self._sending -= 1

    def _check_open(self) -> None:
        if self._closing:
            raise self._closed()

    def _closed(self) -> UnknownWorkstream:
        return UnknownWorkstream(f"Workstream {self._journal.ws_id} is closed.")

    async def prepare_agent(self, effort: str, tainted: Sequence[str]) -> None:
        """What a sub-agent has to know before its first message, where it does not yet."""
        await self._journal.append_from(lambda: missing(self.transcript, effort, tainted))

    async def compact(self) -> Compaction:
        """Compact the conversation: before the next request of the turn that runs, or now. Where
        that turn waits for a person, who may be the one who asks, it is not waited for."""
        self._check_open()
        wanted = self._session.compacting.want()
        self.wake()
        while not wanted.done():
            if self._waits_for_a_person:
                return LATER
            await asyncio.wait({wanted}, timeout=_LOOK)
        return wanted.result()

    @property
    def _waits_for_a_person(self) -> bool:
        """A question of its own waits, or one of a sub-agent's."""
        own = self.transcript.question is not None or self.transcript.plan is not None
        return own or self._relay.asking

    def policy(self) -> PolicyView:
        """What decides about its tool calls (`Host.policy`)."""
        journal = self._journal
        return permissions.view(journal.ws_id, journal.transcript, self._engine, self._workspace)

    async def revoke(self, grant: ev.Grant, by: str) -> bool:
        """Take a permission back (`Host.revoke`)."""
        transcript = self._journal.transcript
        appended = await self._journal.append_from(
            lambda: [ev.GrantRevoked(grant=grant, by=by)] if transcript.permits(grant) else []
        )
        return bool(appended.events)

    async def done(self, command: str, command_id: str) -> None:
        """Record that a command was carried out, so that it is not a second time."""
        if not self._closing:
            done = ev.CommandDone(name=command, correlation_id=command_id)
            await self._journal.append(done)

    async def cancel(self, correlation_id: str = "") -> bool:
        """Stop the turn in progress, or the one that is just about to begin; or the turn of
        this message, wherever it stands (`Host.cancel`). Or a compaction between two turns."""
        if not correlation_id and self._session.compacting.stop():
            return True
        if self._session.running:
            if correlation_id in ("", self._session.correlation_id):
                return self._session.cancel()
        elif self.busy and correlation_id in ("", self._next().correlation_id):
            self._cancelled = self._next().correlation_id
            self.wake()
            return True
        return bool(correlation_id) and await self._withdraw(correlation_id)

    async def _withdraw(self, correlation_id: str) -> bool:
        """End a message that no turn has. Once it is asked for, none takes the message up."""
        if self._closing or not self._waits(correlation_id):
            return False
        if correlation_id not in self._withdrawing:
            task = asyncio.create_task(self._take_back(correlation_id))
            self._withdrawing[correlation_id] = task
        return await asyncio.shield(self._withdrawing[correlation_id])

    async def _take_back(self, correlation_id: str) -> bool:
        ending = ev.TurnEnded(
            outcome="cancelled", reason=_WITHDRAWN, begun=False, correlation_id=correlation_id
        )
        try:
            # A step that begins now may have taken it along before us.
            appended = await self._journal.append_from(
                lambda: [ending] if self._waits(correlation_id) else []
            )
            return bool(appended.events)
        finally:
            del self._withdrawing[correlation_id]

    def _waits(self, correlation_id: str) -> bool:
        waiting = self._journal.transcript.waiting
        return any(message.correlation_id == correlation_id for message in waiting)

    async def stop(self) -> None:
        """Cancel all that is open and all that waits; returns when nothing is, or when another
        process has taken it over: then what is open is that one's affair."""

        def to_do() -> bool:
            return self.busy and not self._closing and not self.lost

        while to_do():
            for message in list(self._journal.transcript.waiting):
                if message is not self._next():
                    await self._withdraw(message.correlation_id)
            await self.cancel()
            if self._runner is not None:
                await asyncio.wait({self._runner}, timeout=_LOOK)
            if to_do() and (self._runner is None or self._runner.done()):
                await asyncio.sleep(_LOOK)
        if self.lost:  # what runs of it here is nobody's any more
            await self._stop_runner()
        if self._close_task is not None:
            await asyncio.wait({self._close_task})

    async def close(
        self, reason: str = "closed", *, first: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """End it for good: the turn is stopped, and what waits is told so. One close at a time:
        whoever asks again waits for the first. Nothing is accepted from the call on.

        `first` is done when nothing runs any more, before it is closed."""
        if self._close_task is None or self._close_task.done():
            self._closing = True
            self._close_task = asyncio.create_task(self._close(reason, first))
        await asyncio.shield(self._close_task)

    async def _close(self, reason: str, first: Callable[[], Awaitable[None]] | None) -> None:
        try:
            await self._stop_runner()
            await self._journal.catch_up()
            await self._background.aclose()
            while self.busy:
                await self._session.give_up(self._next(), "the workstream was closed", "cancelled")
            if first is not None:
                await first()
            if not self._journal.transcript.closed:
                await self._journal.append(ev.WsClosed(reason=reason))
        except BaseException:
            self._closing = False  # it is open still, and must not be left as neither
            raise

    async def leave(self) -> None:
        """Stop working on it, for the process ends; another takes its turn up later."""
        self._closing = True
        await self._stop_runner()
        await self._background.aclose()
        try:
            await self._session.leave()
        except StoreError as error:
            log.error(
                "workstream %s: an attempt of its turn is counted: %s", self._journal.ws_id, error
            )
        self._journal.leave()

    async def follow(self, after: ev.EventId | None) -> AsyncIterator[ev.Event]:
        """The events (`Host.follow`), with a snapshot first wherever it is needed."""
        live = self._journal.live
        missed = live.cut if after is None else not live.meet(after)
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
                    if isinstance(event, ev.WsClosed):
                        return
            except Lagged:
                missed = True

    def _snapshot(self, *, full: bool) -> list[ev.Event]:
        """Where a reader starts from. The order is that of the 0.2 wire (contract, 2.5)."""
        streamed = self._journal.live.streamed()
        transcript = self._journal.transcript
        connected = ev.Connected(
            model=self._engine.models.shown(transcript.summary),
            skip_permissions=transcript.auto_approve or self._engine.auto_approve,
            name=transcript.summary.name,
            state=self.info().state,
        )
        snapshot: list[ev.Event] = [connected]
        if notice := permissions.notice(transcript, self._engine):
            snapshot.append(ev.Info(message=notice))
        if transcript.history or full:
            snapshot.append(ev.History(messages=transcript.readable()))
        snapshot += streamed
        if transcript.turn is not None:
            for call_id, started in transcript.turn.running.items():
                snapshot += [started, *self._journal.live.printed(call_id)]
        snapshot += self._relay.snapshot()
        snapshot += [asked for asked in (transcript.question, transcript.plan) if asked is not None]
        if transcript.turn is None:
            snapshot += transcript.endings
        return [*snapshot, *transcript.waiting]

    def _at(self, place: ev.EventId, event: ev.Event) -> ev.Event:
        timestamp = event.timestamp or round(self._engine.clock.now(), 6)
        return msgspec.structs.replace(
            event, ws_id=self._journal.ws_id, id=str(place), timestamp=timestamp
        )

    async def _run(self) -> None:
        while self._has_work and not self._closing:
            about(ws_id=self._journal.ws_id)  # and not the request that woke it
            try:
                if await self._journal.catch_up():
                    continue  # what the turn goes on from is another now
                if self._session.compacting.wanted and self.transcript.turn is None:
                    await self._session.compacting.carry_out()
                    continue
                message = self._next()
                if (withdrawal := self._withdrawing.get(message.correlation_id)) is not None:
                    await asyncio.wait({withdrawal})
                    continue
                about(ws_id=self._journal.ws_id, correlation_id=message.correlation_id)
                await self._one_turn(message)
            except NotOwner as error:
                if not self.lost:  # else the journal has told it
                    self._journal.stand_still(error)
                self._session.compacting.give_up(error)
                return
            except StoreError as error:
                # Nothing can be recorded, so nothing may be done. The turn stays open, and is
                # taken up again when the store takes records.
                waits = self._next().correlation_id if self.busy else ""
                self._journal.stand_still(error, waits)
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

    async def _stop_runner(self) -> None:
        """No turn runs after this, and what was being written has been: the fold is true."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._session.compacting.give_up(self._closed())
        await self._titles.stop()
        await self._journal.settle()
