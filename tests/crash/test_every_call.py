"""A node is killed at each system call by which it changes a file, and its turn comes out right."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from support.crashing.campaign import AtCall, Order, Outcome
from support.crashing.harness import campaign, size

#: Of some 560 points; all of them at the size `long`.
SAMPLE = {"default": 90, "ci": 180}


def points(total: int, *, everything: bool = False) -> list[int]:
    """The calls to die at, in an order of chance: a few more than were counted once, for the
    count differs by the order in which threads run."""
    calls = range(1, total + 11)
    count = len(calls) if everything else min(SAMPLE.get(size(), len(calls)), len(calls))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed).sample(calls, count)


@pytest.mark.timeout(900)
def test_a_kill_at_any_system_call_loses_nothing_and_doubles_nothing() -> None:
    died: Counter[str] = Counter()
    with campaign() as nodes:
        whole = nodes.expect_no_violation(Order(deaths=[AtCall(0)]))
        assert whole.effects == ["one", "two"]
        for number in points(whole.calls):
            died.update(nodes.expect_no_violation(Order(deaths=[AtCall(number)])).died)
    print(died)
    assert died.total() > SAMPLE["default"] // 2


@pytest.mark.timeout(900)
def test_the_same_kills_find_doubled_effects_where_the_intent_is_written_too_late() -> None:
    """A harness that cannot find the fault would say nothing by finding none."""
    with campaign() as nodes:
        whole = nodes.carry_out(Order(deaths=[AtCall(0)], late=True))
        for number in points(whole.calls, everything=True):
            if doubled(nodes.carry_out(Order(deaths=[AtCall(number)], late=True))):
                return
    raise AssertionError("no kill has doubled an effect")


def doubled(outcome: Outcome) -> bool:
    return max(Counter(outcome.effects).values(), default=0) > 1
