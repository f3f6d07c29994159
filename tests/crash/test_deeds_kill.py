"""A node is killed in the middle of one deed: it is done once and whole, or not at all.

Memories, an import, a fork, and the erasure of a tree: at each system call by which the process
changes a file.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from support.crashing.deeds import Left, Order
from support.crashing.harness import ordered, running, size

#: Of the calls of a deed, so many are died at; all of them at the size `long`.
SAMPLE = {"default": 15, "ci": 15}

#: What a kill may leave of each.
LEFT = {
    "remember": {"done"},
    "import": {"done"},
    "fork": {"as it was", "forked"},
    "erase": {"there", "gone"},
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("deed", LEFT)
def test_a_kill_at_any_system_call_leaves_it_done_once_and_whole_or_not_at_all(
    tmp_path: Path, deed: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    found: Counter[str] = Counter()
    with running("support.crashing.deeds", str(tmp_path)) as process:
        whole = ordered(process, Order(deed), Left)
        assert whole.faults == []
        calls = range(1, whole.calls + 1)
        count = min(SAMPLE.get(size(), len(calls)), len(calls))
        for number in random.Random(seed).sample(calls, count):
            left = ordered(process, Order(deed, number), Left)
            assert left.faults == [], f"{deed} at call {number}, {left.died}"
            found[left.found] += bool(left.died)
    print(whole.calls, found)
    assert set(found) <= LEFT[deed]
    assert found.total() > count // 2
