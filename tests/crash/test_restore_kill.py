"""A restore is killed at each call by which it changes a file: the store is the old or the new."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo
from support.crashing.harness import ordered, running, size
from support.crashing.restoring import Deaths, Left
from support.processes import run, server
from support.watching import ending, send
from turnstone.core.host import CreateWorkstream

#: While a restore copies, every so many of its calls is died at, from one of chance on; of its
#: last calls, by which the new store takes the place of the old one, each is.
EVERY, LAST = {"default": 3, "ci": 3, "long": 1}, 40

#: Calls of the start after it, at one of which that is killed too.
START = 60


@pytest.mark.timeout(300)
def test_a_store_is_the_old_one_or_the_new_one_wherever_its_restore_was_killed(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    found: Counter[str] = Counter()
    with running("support.crashing.restoring", str(tmp_path)) as process:
        whole = ordered(process, Deaths(), Left)
        every, last = EVERY[size()], whole.calls - LAST
        assert last > 0
        copying = range(1 + dice.randrange(every), last, every)
        for number in (*copying, *range(last, whole.calls + 3)):
            deaths = Deaths(restore=number, start=dice.randrange(START))
            left = ordered(process, deaths, Left)
            told = f"{deaths}: {left}"
            assert left.store in ("old", "new"), told
            assert left.aside == (["old"] if left.store == "new" else []), told
            assert left.again == "new", told
            assert left.litter == [], told
            if left.said:
                assert "It is finished now; what was there before is in" in left.said, told
            found.update([left.store, *["finished"] * bool(left.said)])
    print(found)
    assert min(found["old"], found["new"], found["finished"]) > 0


async def test_a_restore_while_a_node_runs_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    backup = str(tmp_path / "backup.db")
    with ModelServer(echo) as model:
        async with server(tmp_path, "--base-url", model.base_url) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            assert (await run(tmp_path, "turnstone", "backup", backup))[0] == 0
            await send(host, ws.id, "after the backup", "cid")

            code, _, complaint = await run(tmp_path, "turnstone", "restore", backup)

            assert code == 1
            assert "is served by another turnstone process already" in complaint
            assert (await ending(host, ws.id, "cid")).text == "after the backup"
            await host.aclose()
            await node.kill()

        code, printed, complaint = await run(tmp_path, "turnstone", "restore", backup)

    assert code == 0, complaint
    assert "What was there before is in" in printed
