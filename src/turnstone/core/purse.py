"""Pays for what a workstream does: out of its own budget, and of those of all above it.

Reserving is a record in every journal whose budget counts, from the bottom up, before anything
is done. A journal takes one write at a time, so that of ten who ask for the last thousand
tokens one gets them. Where no budget is set, nothing is written. What fits is said by
`core.budget`; what becomes of a turn that cannot pay, by whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

from turnstone.core.budget import Cost, Left
from turnstone.core.errors import StoreError, UnknownWorkstream
from turnstone.core.journal import Journal
from turnstone.core.pocket import Pocket


class OverBudget(Exception):
    """What was asked for is not left in the budget of some workstream; nothing was set aside.

    `landed` is set when something comes back of what is in flight there, which may make room
    for it; None: it cannot.
    """

    def __init__(self, reason: str, landed: asyncio.Event | None = None) -> None:
        super().__init__(reason)
        self.landed = landed


@dataclass(frozen=True, slots=True)
class _Part:
    pocket: Pocket
    reservation: str


class Reservation:
    """What was set aside for a workstream, in the journals where it was."""

    def __init__(self, holder: Journal, parts: Sequence[_Part] = ()) -> None:
        self._holder = holder
        self._parts = list(parts)

    async def settle(self, cost: Cost) -> None:
        """Say what it has cost, also where whoever says it is cancelled meanwhile. Raises
        StoreError; what is not settled counts as reserved."""
        settling = asyncio.create_task(self._settle(cost))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await asyncio.wait({settling})
            raise

    async def _settle(self, cost: Cost) -> None:
        failed: StoreError | None = None
        while self._parts:
            part = self._parts.pop()
            try:
                await part.pocket.settle(part.reservation, cost, self._holder)
            except StoreError as error:
                failed = error
        if failed is not None:
            raise failed


#: The pockets of the workstreams above, nearest first; they stay awake in the block. Raises
#: UnknownWorkstream where one of them is gone, and StoreError.
Above: TypeAlias = Callable[[], AbstractAsyncContextManager[Sequence[Pocket]]]


@asynccontextmanager
async def _nobody() -> AsyncIterator[Sequence[Pocket]]:
    yield ()


class Purse:
    """One per workstream. `above` is that of a workstream with nobody above it, unless set."""

    def __init__(self, journal: Journal, new_id: Callable[[], str]) -> None:
        self.above: Above = _nobody
        self.pocket = Pocket(journal, new_id)
        self._journal = journal
        self._up: Sequence[Pocket] = ()  # those above, as they were last found
        self._told: float | None = None  # the share that was left when the model was told last
        self._told_of: tuple[int, ...] = ()  # and which budgets those were

    async def reserve(self, cost: Cost) -> Reservation:
        """Set this much aside; waits for what is in flight, where that can make room for it.

        Raises OverBudget, and then nothing is; StoreError. Nothing is either where whoever asks
        is cancelled meanwhile.
        """
        while True:
            try:
                return await self._at_once(cost)
            except OverBudget as over:
                if over.landed is None:
                    raise
                await over.landed.wait()

    async def _at_once(self, cost: Cost) -> Reservation:
        reserving = asyncio.create_task(self._reserved(cost))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            await asyncio.wait({reserving})
            with suppress(OverBudget, StoreError):
                await reserving.result().settle(Cost())
            raise

    async def room(self, cost: Cost) -> None:
        """Wait until this much fits, or nothing is in flight any more that takes up room.
        Raises OverBudget where a workstream above is gone, and StoreError."""
        while True:
            async with self._chain() as pockets:
                awaited = [pocket.landed for pocket in pockets if pocket.lacks(cost)]
            first = awaited[0] if awaited else None
            if first is None or None in awaited:
                return
            await first.wait()

    async def left(self) -> Left:
        """What is left to this workstream: the least of its own budget and those above."""
        await self._all()
        return self.known_left()

    def known_left(self) -> Left:
        """The same, by those above that were found last."""
        left = self.pocket.left()
        for pocket in self._up:
            left = left.least(pocket.left())
        return left

    async def note(self) -> str:
        """What the model is to be told of what is left: at the first request, after a budget
        was set, and whenever a threshold was crossed since it was told last; else nothing."""
        pockets = await self._all()
        budgets = tuple(pocket.ledger.sets for pocket in pockets)
        told = self._told if budgets == self._told_of else None
        share = min(pocket.share(told or 1.0) for pocket in pockets)
        left = self.known_left()
        if not left.limited or (told is not None and share >= told):
            return ""
        self._told, self._told_of = share, budgets
        return left.in_words()

    async def _reserved(self, cost: Cost) -> Reservation:
        async with self._chain() as pockets:
            parts: list[_Part] = []
            for pocket in pockets:
                if not pocket.ledger.concerns(cost):
                    continue
                reservation = await pocket.take(cost, self._journal)
                if not reservation:
                    over = _over(pocket, cost)
                    await Reservation(self._journal, parts).settle(Cost())
                    raise over
                parts.append(_Part(pocket, reservation))
            return Reservation(self._journal, parts)

    @asynccontextmanager
    async def _chain(self) -> AsyncIterator[Sequence[Pocket]]:
        """The own pocket and those above. Raises OverBudget where one of them is gone."""
        try:
            async with self.above() as above:
                self._up = list(above)
                yield (self.pocket, *above)
        except UnknownWorkstream as error:
            raise OverBudget(
                f"a workstream above, whose budget counts, is gone: {error}"
            ) from error

    async def _all(self) -> Sequence[Pocket]:
        """The same, to look at; without those above where one of them is gone."""
        with suppress(OverBudget):
            async with self._chain() as pockets:
                return pockets
        return (self.pocket,)


def _over(pocket: Pocket, cost: Cost) -> OverBudget:
    name, left = pocket.journal.transcript.summary.name, pocket.left().in_words()
    told = f"the budget of {name} does not suffice for it; left are {left}"
    return OverBudget(told, pocket.hope(cost))
