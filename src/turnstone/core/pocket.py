"""The budget of one workstream, as this process takes from it and gives back.

What is taken for a request is in flight until it is settled; what a process that is gone had in
flight is nobody's any more, and counts as spent. What fits is said by `core.budget`; for whom
it is taken, by `core.purse`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from turnstone.core import events as ev
from turnstone.core.budget import Cost, Ledger, Left
from turnstone.core.errors import NotOwner
from turnstone.core.journal import Journal


@dataclass(frozen=True, slots=True)
class _Worker:
    """Whoever has a turn that is paid out of it. `look`: has it see for how long it may go on."""

    journal: Journal
    look: Callable[[], None]


class Pocket:
    """One per workstream that is awake."""

    def __init__(self, journal: Journal, new_id: Callable[[], str]) -> None:
        self.journal = journal
        self._new_id = new_id
        self._flying: set[str] = set()  # reservations
        self._landed = asyncio.Event()
        self._workers: dict[str, _Worker] = {}  # by workstream: this one, and those below
        self._sets = self.ledger.sets  # of the budget that people were told of
        self._warned = self.share(1.0)  # what was left of it when they were told last

    @property
    def ledger(self) -> Ledger:
        return self.journal.transcript.ledger

    @property
    def landed(self) -> asyncio.Event | None:
        """Is set when something comes back of what is in flight; None: nothing is."""
        return self._landed if self._flying else None

    def hope(self, cost: Cost) -> asyncio.Event | None:
        """The same, where this much would fit if nothing were in flight."""
        reserved = self.ledger.reserved
        flying = [reserved[one].cost for one in self._flying if one in reserved]
        return self.landed if self.ledger.fits(cost, self._worked, flying) else None

    def left(self) -> Left:
        return self.ledger.left(self._worked)

    def seconds(self) -> float | None:
        """For how long all who work now may go on together; None: for any time."""
        left = self.left().seconds
        if left is None:
            return None
        return left / max(1, sum(one.journal.works for one in self._workers.values()))

    def join(self, holder: Journal, look: Callable[[], None]) -> None:
        """A turn of this workstream is paid out of it from here on. `look` is called when it may
        go on for another time than before."""
        self._workers[holder.ws_id] = _Worker(holder, look)

    def part(self, holder: Journal) -> None:
        """The turn is over, or left."""
        self._workers.pop(holder.ws_id, None)

    def look(self, besides: Journal | None = None) -> None:
        """Have all look who work, but this one."""
        for worker in list(self._workers.values()):
            if worker.journal is not besides:
                worker.look()

    def standing(self) -> list[ev.Event]:
        """The records that say for how long those below have worked."""
        return [self._work(one.journal) for one in self._below()]

    async def report(self, holder: Journal, *, ended: bool = False) -> None:
        """Record for how long one below has worked, where time is limited. Raises StoreError."""

        def made() -> list[ev.Event]:
            if holder is self.journal or not self.ledger.budget.seconds:
                return []
            told = holder.ws_id in self.ledger.below and not ended
            return [] if told else [self._work(holder, ended=ended)]

        with suppress(NotOwner):  # who has it now goes by what was recorded
            await self.journal.append_from(made)

    def share(self, told: float) -> float:
        """The lowest threshold below `told` that what is left has fallen to, else `told`."""
        return self.ledger.crossed(told, self._worked)

    def lacks(self, cost: Cost) -> bool:
        """Whether this much cannot be taken now."""
        concerned = self.ledger.concerns(cost)
        return concerned and not self.ledger.fits(cost, self._worked)

    async def take(self, cost: Cost, holder: Journal) -> str:
        """The reservation, for this workstream or one below it; empty where it does not fit.
        Raises StoreError."""
        reserved = ev.BudgetReserved(
            reservation=self._new_id(),
            holder=holder.ws_id,
            tokens=cost.tokens,
            money=cost.money,
            tool_calls=cost.tool_calls,
            worked=self._work_of(holder),
        )
        appended = await self.journal.append_from(lambda: [] if self.lacks(cost) else [reserved])
        if not appended.events:
            return ""
        if reserved.reservation in self.ledger.reserved:
            self._flying.add(reserved.reservation)
        self._tell()
        return reserved.reservation

    async def settle(self, reservation: str, cost: Cost, holder: Journal) -> None:
        """Say what it has cost. Raises StoreError; it is in flight no more in any case."""
        settled = ev.BudgetSettled(
            reservation=reservation,
            tokens=cost.tokens,
            money=cost.money,
            tool_calls=cost.tool_calls,
            worked=self._work_of(holder),
        )
        try:
            await self.journal.append(settled)
        finally:
            self._flying.discard(reservation)
            self._landed.set()
            self._landed = asyncio.Event()

    @property
    def _worked(self) -> float:
        """Seconds of work of this workstream, and what those below have done since they were
        heard of last."""
        known = self.ledger.below
        below = ((one.journal.worked, known.get(one.journal.ws_id)) for one in self._below())
        unheard = (max(0.0, worked - last.now) for worked, last in below if last is not None)
        return self.journal.worked + sum(unheard)

    def _below(self) -> list[_Worker]:
        return [one for one in self._workers.values() if one.journal is not self.journal]

    def _work(self, holder: Journal, *, ended: bool = False) -> ev.BudgetReserved:
        return ev.BudgetReserved(
            reservation=self._new_id(),
            holder=holder.ws_id,
            worked=self._work_of(holder),
            ended=ended,
        )

    def _work_of(self, holder: Journal) -> float | None:
        """Seconds of work of one below; of this workstream itself, the records tell."""
        return None if holder is self.journal else round(holder.worked, 6)

    def _tell(self) -> None:
        """Tell people who follow the workstream when another threshold is passed."""
        if self._sets != self.ledger.sets:
            self._sets, self._warned = self.ledger.sets, 1.0
        share = self.share(self._warned)
        if share < self._warned:
            self._warned = share
            turn = self.journal.transcript.turn
            message = f"Left of its budget: {self.left().in_words()}."
            cid = turn.message.correlation_id if turn is not None else ""
            self.journal.publish(ev.Info(message=message), cid)
