"""A node is killed at each system call by which it changes a file, and its turn comes out right."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.crashing import deeds
from support.crashing.campaign import AtCall, Order, Outcome
from support.crashing.harness import campaign, ordered, running, size

#: Of some 560 points; all of them at the size `long`.
SAMPLE = {"default": 45, "ci": 45}


#: The same of a turn with sub-agents, which has more than three times as many.
SUB_AGENTS = {"default": 3, "ci": 3}


def points(
    total: int, sample: Mapping[str, int] = SAMPLE, *, everything: bool = False
) -> list[int]:
    """The calls to die at, in an order of chance: a few more than were counted once, for the
    count differs by the order in which threads run."""
    calls = range(1, total + 11)
    count = len(calls) if everything else min(sample.get(size(), len(calls)), len(calls))
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


@pytest.mark.timeout(3600)
def test_a_kill_at_any_system_call_while_sub_agents_work_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    died: Counter[str] = Counter()
    with running("support.crashing.deeds", str(tmp_path)) as process:
        whole = ordered(process, deeds.Order("sub-agents"), deeds.Left)
        assert whole.faults == []
        for number in points(whole.calls, SUB_AGENTS):
            left = ordered(process, deeds.Order("sub-agents", number), deeds.Left)
            assert left.faults == [], f"at call {number}, {left.died}"
            died[left.died] += bool(left.died)
    print(whole.calls, died)
    assert died.total() > SUB_AGENTS["default"] // 2


def doubled(outcome: Outcome) -> bool:
    return max(Counter(outcome.effects).values(), default=0) > 1
