"""Pays for what a workstream does: out of its own budget, and of those of all above it.

Reserving is a record in every journal whose budget counts, from the bottom up, before anything
is done. A journal takes one write at a time, so that of ten who ask for the last thousand
tokens one gets them. Where no budget is set, nothing is written. What fits is said by
`core.budget`; what becomes of a turn that cannot pay, by whoever asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from turnstone.core import events as ev
from turnstone.core.budget import Cost, Left
from turnstone.core.journal import Journal


class OverBudget(Exception):
    """What was asked for is not left in the budget of some workstream; nothing was set aside."""

    def __init__(self, name: str, left: Left) -> None:
        super().__init__(
            f"the budget of {name} does not suffice for it; left are {left.in_words()}"
        )


@dataclass(frozen=True, slots=True)
class _Part:
    journal: Journal
    reservation: str


class Reservation:
    """What was set aside, in the journals where it was."""

    def __init__(self, parts: Sequence[_Part] = ()) -> None:
        self._parts = list(parts)

    async def settle(self, cost: Cost) -> None:
        """Say what it has cost. Raises StoreError; what is not settled counts as reserved."""
        while self._parts:
            part = self._parts[-1]
            settled = ev.BudgetSettled(
                reservation=part.reservation,
                tokens=cost.tokens,
                money=cost.money,
                tool_calls=cost.tool_calls,
            )
            await part.journal.append(settled)
            self._parts.pop()


#: The journals of the workstreams above, nearest first; they stay awake in the block.
Above: TypeAlias = Callable[[], AbstractAsyncContextManager[Sequence[Journal]]]


@asynccontextmanager
async def _nobody() -> AsyncIterator[Sequence[Journal]]:
    yield ()


class Purse:
    """One per workstream. `above` is that of a workstream with nobody above it, unless set."""

    def __init__(self, journal: Journal, new_id: Callable[[], str]) -> None:
        self.above: Above = _nobody
        self._journal = journal
        self._new_id = new_id
        self._told: float | None = None  # the share that was left when the model was told last

    async def reserve(self, cost: Cost) -> Reservation:
        """Set this much aside. Raises OverBudget, and then nothing is; StoreError."""
        async with self.above() as above:
            parts: list[_Part] = []
            for journal in (self._journal, *above):
                if not journal.transcript.ledger.concerns(cost):
                    continue
                part = await self._take(journal, cost)
                if part is None:
                    await Reservation(parts).settle(Cost())
                    raise OverBudget(journal.transcript.summary.name, _left(journal))
                parts.append(part)
            return Reservation(parts)

    async def left(self) -> Left:
        """What is left to this workstream: the least of its own budget and those above."""
        async with self.above() as above:
            left = Left()
            for journal in (self._journal, *above):
                left = left.least(_left(journal))
            return left

    async def note(self) -> str:
        """What the model is to be told of what is left: at the first request, and whenever a
        threshold was crossed since it was told last; otherwise nothing."""
        async with self.above() as above:
            shares = [_share(journal, self._told or 1.0) for journal in (self._journal, *above)]
        left = await self.left()
        share = min(shares)
        if not left.limited or (self._told is not None and share >= self._told):
            return ""
        self._told = share
        return left.in_words()

    async def _take(self, journal: Journal, cost: Cost) -> _Part | None:
        transcript, reservation = journal.transcript, self._new_id()
        reserved = ev.BudgetReserved(
            reservation=reservation,
            holder=self._journal.ws_id,
            tokens=cost.tokens,
            money=cost.money,
            tool_calls=cost.tool_calls,
        )
        appended = await journal.append_from(
            lambda: [reserved] if transcript.ledger.fits(cost, transcript.worked) else []
        )
        return _Part(journal, reservation) if appended.events else None


def _left(journal: Journal) -> Left:
    return journal.transcript.ledger.left(journal.transcript.worked)


def _share(journal: Journal, told: float) -> float:
    return journal.transcript.ledger.crossed(told, journal.transcript.worked)
