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
        self._look: Callable[[], None] | None = None  # of the turn that is carried out
        self._works = False  # whether its time ran when it looked last
        self._told: float | None = None  # the share that was left when the model was told last
        self._told_of: tuple[int, ...] = ()  # and which budgets those were

    async def begin(self, look: Callable[[], None]) -> None:
        """A turn is carried out from here on; `look` is called when it may go on for another
        time than `seconds` has said. Raises StoreError."""
        self._look, self._works = look, False
        for pocket in await self._all():
            await pocket.report(self._journal)

    def end(self) -> None:
        """It is not, any more."""
        self._look = None
        for pocket in (self.pocket, *self._up):
            pocket.part(self._journal)

    async def ending(self) -> None:
        """Record above for how long it was worked on; before its end is. Raises StoreError."""
        for pocket in self._up:
            await pocket.report(self._journal, ended=True)

    def seconds(self) -> float | None:
        """For how long the turn may go on, with all others that work out of the same budgets;
        None: for any time. They are told where it takes of their time from here on."""
        pockets = (self.pocket, *self._up)
        began, self._works = self._journal.works and not self._works, self._journal.works
        if began:
            for pocket in pockets:
                pocket.look(besides=self._journal)
        every = (pocket.seconds() for pocket in pockets)
        return min((one for one in every if one is not None), default=None)

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
                if self._look is not None:
                    for pocket in (self.pocket, *above):
                        pocket.join(self._journal, self._look)
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
    name, left = pocket.journal.transcript.summary.name, pocket.left()
    needed = Left(
        tokens=cost.tokens if left.tokens is not None and cost.tokens else None,
        tool_calls=cost.tool_calls if left.tool_calls is not None and cost.tool_calls else None,
        money=cost.money if left.money is not None and cost.money else None,
    )
    told = (
        f"the budget of {name} does not suffice for it. Needed: {needed.in_words() or 'more time'}."
        f" Left: {left.in_words()}. A person gives more with /budget, or POST /api/budget"
    )
    return OverBudget(told, pocket.hope(cost))
