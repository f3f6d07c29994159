"""`kill -9` while a conversation is compacted: it is as it was, or compacted, and goes on."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, hold, text
from support.crashing.harness import size
from support.crashing.journals import of_the_ids
from support.crashing.long_life import SAID, WS
from support.crashing.stores import When
from support.long_talk import LongTalk, is_summary, sent
from support.processes import server
from support.strict import faults
from support.watching import send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.core.store import SqliteStore
from turnstone.core.transcript import Transcript

#: How many of the writes are died at, before and after; all of them at the size `long`.
SAMPLE = {"default": 2, "ci": 2}

GOAL = "Find out why the nightly build breaks."


def one_life(folder: Path, *death: str) -> tuple[int, str]:
    """How the process ended, and what it has printed."""
    done = subprocess.run(
        [sys.executable, "-m", "support.crashing.long_life", str(folder), *death],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode, done.stdout.strip()


def violations(folder: Path, records: Sequence[ev.Event]) -> list[str]:
    """What is wrong after the last life; nothing, where all is well."""
    found = list(of_the_ids(records))
    if (folder / "faults").exists():
        found.append((folder / "faults").read_text())
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
        said = "\n".join(m["content"] for m in transcript.messages)
        heard = [m.content for m in transcript.history if m.role == "user"]
        found += [f"{record.id}: {words} is lost" for words in heard if words not in said]
        whole, _ = transcript.conversation.whole()
        if transcript.turn is None or not transcript.turn.calls:
            found += [f"{record.id}: {fault}" for fault in faults(whole)]
    for before, record in itertools.pairwise(records):
        if isinstance(record, ev.Compacted) and not isinstance(before, ev.PromptSet):
            found.append(f"{record.id}: compacted without a fresh prompt")
    endings = [e.correlation_id for e in records if isinstance(e, ev.TurnEnded)]
    if endings != [f"c{number}" for number in range(len(SAID))]:
        found.append(f"the endings are {endings}")
    return found


async def read(folder: Path) -> list[ev.AnyEvent]:
    store = await SqliteStore.open(folder / "turnstone.db")
    try:
        return await store.records(WS)
    finally:
        await store.aclose()


@pytest.mark.timeout(900)
def test_a_kill_around_a_write_leaves_the_conversation_as_it_was_or_compacted(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    (tmp_path / "whole").mkdir()
    status, printed = one_life(tmp_path / "whole")
    assert status == 0
    records = asyncio.run(read(tmp_path / "whole"))
    assert violations(tmp_path / "whole", records) == []
    assert sum(isinstance(e, ev.Compacted) for e in records) > len(SAID)
    writes = range(1, int(printed) + 1)
    whens: list[When] = ["before", "after"]
    deaths = [(number, when) for number in writes for when in whens]
    count = min(2 * SAMPLE.get(size(), len(deaths)), len(deaths))
    died = 0
    for number, when in dice.sample(deaths, count):
        folder = tmp_path / f"{number}-{when}"
        folder.mkdir()
        died += one_life(folder, str(number), when)[0] == -9
        assert one_life(folder)[0] == 0, (number, when)
        assert violations(folder, asyncio.run(read(folder))) == [], (number, when)
    assert died >= count // 2


async def test_a_server_killed_while_a_model_sums_up_goes_on_with_all_that_was_said(
    tmp_path: Path,
) -> None:
    gate, begun = threading.Event(), threading.Event()
    talk = LongTalk()
    requests: list[dict[str, Any]] = []

    def plan(body: dict[str, Any]) -> Reply:
        requests.append(body)
        if is_summary(body) and not gate.is_set():
            begun.set()
            return hold(text("never read"), gate)
        return talk(body)

    folder = tmp_path / "workspace"
    (folder / "notes").mkdir(parents=True)
    for step, number in itertools.product(range(12), range(2)):
        (folder / f"notes/{step}-{number}.txt").write_text("a line of notes, as any other\n" * 60)
    with ModelServer(plan) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(folder)]
        asking += ["--context-window", "8192", "--max-tokens", "512"]
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            await send(host, ws.id, f"{GOAL} read 12", "c1")
            assert await asyncio.to_thread(begun.wait, 30)
            await host.aclose()
            await node.kill()
        gate.set()
        before = len(requests)
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            ended, seen = await until(host, ws.id, ev.TurnEnded, "c1", after=None)
            await host.aclose()

    assert ended.outcome == "done"
    assert talk.refused == []
    assert any(is_summary(body) for body in requests[before:])
    assert all(GOAL in sent(body) for body in requests if not is_summary(body))
    assert "never read" not in "".join(map(sent, requests))
