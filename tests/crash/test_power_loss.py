"""A model of a loss of power: on whatever a disk may have kept, all that was kept is there.

A model, since no power is cut: what of a turn's writes was not synced vanishes, wholly or in
part and in any order. What is expected is that the store opens, and that its journal is a
beginning of the whole one, with every record that anybody could know of: the messages that were
accepted, and what tools were about to do.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from support.crashing.harness import ordered, running, size
from support.crashing.power import Losses, Lost

#: Disks that are looked at, of each turn.
DISKS = {"default": 30, "ci": 30, "long": 1500}


def lost(tmp_path: Path, pages: int = 1000, *, hasty: bool = False) -> Lost:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    order = Losses(seed=seed, count=DISKS[size()], pages=pages, hasty=hasty)
    with running("support.crashing.power", str(tmp_path)) as process:
        found = ordered(process, order, Lost)
    assert found.differing > order.count // 2, "there was next to nothing to lose"
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pages", [1000, 7], ids=["long-log", "short-log"])
def test_what_was_kept_is_there_after_a_loss_of_power(tmp_path: Path, pages: int) -> None:
    assert lost(tmp_path, pages).violations == []


@pytest.mark.timeout(300)
def test_the_same_disks_lack_records_where_the_store_does_not_wait_for_them(
    tmp_path: Path,
) -> None:
    """Disks that cannot show the fault would say nothing by showing none."""
    found = lost(tmp_path, hasty=True)
    assert any("records that were kept" in violation for violation in found.violations)
