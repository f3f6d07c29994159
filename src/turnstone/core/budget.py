"""What a workstream may use, with all sub-agents below it, and what of it is left. Pure.

A ledger is a fold of one journal. What a request or a call may cost at most is reserved there
before it is made, and settled with what it has cost after. A reservation that a crash kept
from being settled stays, and counts as spent: nobody knows that it was not. So what is used
never passes the budget by more than one request may turn out dearer than its estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from turnstone.core.events import (
    Budget,
    BudgetReserved,
    BudgetSet,
    BudgetSettled,
    Event,
    WsCreated,
)

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


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, per million tokens, in whatever currency its settings are in."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True)
class Left:
    """What is left, by kind. None: no limit."""

    tokens: int | None = None
    seconds: float | None = None
    tool_calls: int | None = None
    money: float | None = None

    def least(self, other: Left) -> Left:
        """What is left where both hold."""
        return Left(
            _least(self.tokens, other.tokens),
            _least(self.seconds, other.seconds),
            _least(self.tool_calls, other.tool_calls),
            _least(self.money, other.money),
        )

    @property
    def limited(self) -> bool:
        return self != Left()

    def in_words(self) -> str:
        """For the model and for people: `12,000 tokens, 3 tool calls`; empty without a limit."""
        told = []
        if self.tokens is not None:
            told.append(f"{max(0, self.tokens):,} tokens")
        if self.seconds is not None:
            told.append(f"{max(0, round(self.seconds)):,} seconds of work")
        if self.tool_calls is not None:
            told.append(f"{max(0, self.tool_calls):,} tool calls")
        if self.money is not None:
            told.append(f"{max(0.0, self.money):.4f} of money")
        return ", ".join(told)


@dataclass(slots=True)
class Ledger:
    """The fold. `worked` of its methods: seconds of work of the workstream so far, in all."""

    budget: Budget = field(default_factory=Budget)
    spent: Cost = field(default_factory=Cost)
    reserved: dict[str, Cost] = field(default_factory=dict)  # by reservation, not yet settled
    since: float = 0.0  # seconds of work when the budget was set

    @property
    def limited(self) -> bool:
        return self.budget != Budget()

    def apply(self, event: Event, worked: float = 0.0) -> None:
        """Take in the next record; others than those of a budget change nothing."""
        match event:
            case WsCreated() | BudgetSet():
                self.budget, self.spent, self.since = event.budget, Cost(), worked
            case BudgetReserved() if event.tokens or event.money:
                self.reserved[event.reservation] = _cost(event)
            case BudgetReserved():
                self.spent += _cost(event)  # a tool call costs one tool call, come what may
            case BudgetSettled():
                if self.reserved.pop(event.reservation, None) is not None:
                    self.spent += _cost(event)

    def concerns(self, cost: Cost) -> bool:
        """Whether any limit of this budget is about such a cost."""
        budget = self.budget
        return bool(
            (budget.tokens and cost.tokens)
            or (budget.money and cost.money)
            or (budget.tool_calls and cost.tool_calls)
            or (budget.seconds and (cost.tokens or cost.money))
        )

    def fits(self, cost: Cost, worked: float = 0.0) -> bool:
        """Whether this much may still be reserved."""
        left = self.left(worked)
        return not (
            (left.tokens is not None and cost.tokens > left.tokens)
            or (left.money is not None and cost.money > left.money)
            or (left.tool_calls is not None and cost.tool_calls > left.tool_calls)
            or (left.seconds is not None and left.seconds <= 0)
        )

    def left(self, worked: float = 0.0) -> Left:
        """What may still be reserved."""
        used = sum(self.reserved.values(), self.spent)
        budget = self.budget
        return Left(
            budget.tokens - used.tokens if budget.tokens else None,
            budget.seconds - (worked - self.since) if budget.seconds else None,
            budget.tool_calls - used.tool_calls if budget.tool_calls else None,
            budget.money - used.money if budget.money else None,
        )

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


def _least(one: float | None, other: float | None) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
