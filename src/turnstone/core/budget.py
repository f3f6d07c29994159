"""What a workstream may use, with all sub-agents below it, and what of it is left. Pure.

A ledger is a fold of one journal. What a request or a call may cost at most is reserved there
before it is made, and settled with what it has cost after. A reservation that a crash kept
from being settled stays, and counts as spent: nobody knows that it was not. So what is used
never passes the budget by more than one request may turn out dearer than its estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from turnstone.core.events import (
    Budget,
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    Event,
    Left,
    WsCreated,
)

__all__ = ["THRESHOLDS", "Cost", "Ledger", "Left", "Price", "problem"]

#: Shares of a budget at which the model is told what is left.
THRESHOLDS = (0.5, 0.25, 0.1, 0.05)


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs, or may cost at most."""

    tokens: int = 0
    money: float = 0.0
    tool_calls: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.tokens + other.tokens,
            self.money + other.money,
            self.tool_calls + other.tool_calls,
        )

    def less(self) -> Cost:
        """What takes this back."""
        return Cost(-self.tokens, -self.money, -self.tool_calls)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, per million tokens, in whatever currency its settings are in."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def answer_within(left: Left, estimate: float, most: int, least: int, price: Price) -> int:
    """Tokens that an answer may have, of `most`, where its prompt is estimated as `estimate`
    tokens: what is left after that, and not less than `least`. 0 is any number of tokens."""
    room: list[float] = []
    if left.tokens is not None:
        room.append(left.tokens - round(estimate))
    if left.money is not None and price.completion:
        room.append((left.money - price.of(estimate, 0)) * 1e6 / price.completion)
    if not room:
        return most
    affordable = max(least, math.floor(min(room)))
    return min(most, affordable) if most else affordable


def problem(budget: Budget) -> str:
    """What is wrong with it, for whoever wants to set it; empty: nothing."""
    for name, value in (
        ("tokens", budget.tokens),
        ("seconds", budget.seconds),
        ("tool_calls", budget.tool_calls),
        ("money", budget.money),
    ):
        if not math.isfinite(value) or value < 0:
            return f"budget: {name} is {value}, and must be a number not below 0; 0 is no limit."
    return ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was set aside and is not settled. `holder`: for which workstream."""

    cost: Cost
    holder: str


@dataclass(frozen=True, slots=True)
class Working:
    """Seconds of work of a workstream below: when it was first heard of since the budget was
    set, and by now."""

    first: float
    now: float


@dataclass(slots=True)
class Ledger:
    """The fold. `worked` of its methods: seconds of work of the workstream so far, in all."""

    budget: Budget = field(default_factory=Budget)
    sets: int = 0  # how often a budget was set
    spent: Cost = field(default_factory=Cost)
    reserved: dict[str, Reserved] = field(default_factory=dict)  # by reservation, not settled
    since: float = 0.0  # seconds of work when the budget was set
    below: dict[str, Working] = field(default_factory=dict)  # by workstream, whose turns are open
    ended: float = 0.0  # seconds of work below, of turns that have ended

    @property
    def limited(self) -> bool:
        return self.budget != Budget()

    def apply(self, event: Event, worked: float = 0.0) -> None:
        """Take in the next record; others than those of a budget change nothing."""
        match event:
            case WsCreated():
                self._set(event.budget, worked)
            case BudgetSet():
                self._set(event.budget, worked if event.worked is None else event.worked)
            case BudgetReserved():
                self._heard(event.holder, event.worked)
                if event.ended:
                    self._over(event.holder)
                if event.tokens or event.money:
                    self.reserved[event.reservation] = Reserved(_cost(event), event.holder)
                else:
                    self.spent += _cost(event)  # a tool call costs one, come what may
            case BudgetSettled():
                reserved = self.reserved.pop(event.reservation, None)
                if reserved is not None:
                    self.spent += _cost(event)
                    self._heard(reserved.holder, event.worked)

    def _set(self, budget: Budget, worked: float) -> None:
        """From here on. What is in flight counted against the budget before, and so does what
        a crash kept from being settled."""
        self.budget, self.spent, self.since = budget, Cost(), worked
        self.reserved.clear()
        self.below.clear()
        self.ended = 0.0
        self.sets += 1

    def _heard(self, holder: str, worked: float | None) -> None:
        if worked is not None and self.budget.seconds:
            known = self.below.get(holder, Working(worked, worked))
            self.below[holder] = replace(known, now=max(known.now, worked))

    def _over(self, holder: str) -> None:
        """There may be thousands below, one after another: of those that are over, the sum."""
        if (known := self.below.pop(holder, None)) is not None:
            self.ended += known.now - known.first

    def after(self, event: Event, worked: float) -> Ledger:
        """The ledger once this record is there too; this one stays as it is."""
        after = replace(self, reserved=dict(self.reserved), below=dict(self.below))
        after.apply(event, worked)
        return after

    def concerns(self, cost: Cost) -> bool:
        """Whether any limit of this budget is about such a cost."""
        budget = self.budget
        return bool(
            (budget.tokens and cost.tokens)
            or (budget.money and cost.money)
            or (budget.tool_calls and cost.tool_calls)
            or (budget.seconds and (cost.tokens or cost.money))
        )

    def fits(self, cost: Cost, worked: float = 0.0, returned: Iterable[Cost] = ()) -> bool:
        """Whether this much may still be reserved; or could, if this were not."""
        left = self.left(worked, returned)
        return not (
            (left.tokens is not None and cost.tokens > left.tokens)
            or (left.money is not None and cost.money > left.money)
            or (left.tool_calls is not None and cost.tool_calls > left.tool_calls)
            or (left.seconds is not None and left.seconds <= 0)
        )

    def left(self, worked: float = 0.0, returned: Iterable[Cost] = ()) -> Left:
        """What may still be reserved; or could be, if this were not."""
        used, work = self.used(worked)
        used += _sum(returned).less()
        budget = self.budget
        return Left(
            budget.tokens - used.tokens if budget.tokens else None,
            budget.seconds - work if budget.seconds else None,
            budget.tool_calls - used.tool_calls if budget.tool_calls else None,
            budget.money - used.money if budget.money else None,
        )

    def used(self, worked: float = 0.0) -> tuple[Cost, float]:
        """What was used since the budget was set, with all that is set aside; and the seconds of
        work."""
        cost = _sum([self.spent, *(one.cost for one in self.reserved.values())])
        work = worked - self.since + self.ended
        return cost, work + sum(one.now - one.first for one in self.below.values())

    def crossed(self, told: float, worked: float = 0.0) -> float:
        """The lowest threshold that what is left has fallen to, if that is below `told` (a
        share from 0 to 1, told last); `told` otherwise."""
        share = self._share(worked)
        return min([told, *(one for one in THRESHOLDS if share <= one)])

    def _share(self, worked: float) -> float:
        """The share that is left of whatever is nearest to its end."""
        left, budget = self.left(worked), self.budget
        shares = (
            (left.tokens, budget.tokens),
            (left.seconds, budget.seconds),
            (left.tool_calls, budget.tool_calls),
            (left.money, budget.money),
        )
        return min((one / whole for one, whole in shares if one is not None), default=1.0)


def _cost(event: BudgetReserved | BudgetSettled) -> Cost:
    return Cost(event.tokens, event.money, event.tool_calls)


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())
