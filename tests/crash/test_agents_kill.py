"""A node is killed around each write while its agent has sub-agents: nothing lost or doubled."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from modelserver import ModelServer
from support.crashing.family import Life, killed_when_asked, lived, violations
from support.crashing.harness import size
from support.crashing.stores import AtWrite, When
from support.processes import server
from support.teams import children, team
from support.watching import PATIENCE, ending, send
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host

#: Of all writes, every so many is died at; and the lives of one turn that die.
EVERY = {"default": (8, 1), "ci": (8, 1), "long": (1, 3)}


def survives(folder: Path, *deaths: AtWrite) -> int:
    """The turn with a process for each death, and one that lives; how many writes that made."""
    for deadly in deaths:
        if lived(Life(folder, deadly)) is not None:
            break
    told = lived(Life(folder))
    assert told is not None
    assert [*told.faults, *violations(folder)] == [], deaths
    return told.writes


@pytest.mark.timeout(900)
def test_a_kill_around_any_write_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    every, lives = EVERY[size()]
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    writes = survives(tmp_path / "whole")
    assert writes > 30
    whens: tuple[When, ...] = ("before", "after")
    moments = [
        AtWrite(number, when) for number, when in itertools.product(range(1, writes + 1), whens)
    ]
    for place, first in enumerate(moments[dice.randrange(every) :: every]):
        # The lives after the first die early, while they take up what they find.
        more = [AtWrite(dice.randrange(1, 9), first.when) for _ in range(lives - 1)]
        survives(tmp_path / str(place), first, *more)


def test_lives_that_end_while_a_sub_agent_asks_use_up_no_attempt(tmp_path: Path) -> None:
    for _ in range(3):
        killed_when_asked(Life(tmp_path, answers=False, attempts=2))
    told = lived(Life(tmp_path, attempts=2))
    assert told is not None
    assert violations(tmp_path) == []


async def test_questions_of_two_of_three_sub_agents_outlive_the_node_and_are_answered_in_any_order(
    tmp_path: Path,
) -> None:
    said = "sub [bash echo one >> effects; say 1] & sub [say 2] & sub [bash echo two >> effects]"
    with ModelServer(team) as model:
        asking = ["--base-url", model.base_url]
        async with server(tmp_path, *asking) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream(auto_approve_tools=["task"]))
            cid = await send(host, ws.id, f"{said}; say all done")
            before = await questions(host, ws.id, 2)
            await host.aclose()
            await node.kill()
        async with server(tmp_path, *asking) as node:
            host = node.client()
            after = await questions(host, ws.id, 2)
            below = {child.id for child in await children(host, ws.id)}
            for command in sorted(after, reverse=True):
                request_id = after[command].request_id
                await host.approve(Answer(ws_id=ws.id, request_id=request_id, approved=True))
            ended = await ending(host, ws.id, cid)
            await host.aclose()

    assert {c: q.request_id for c, q in before.items()} == {
        c: q.request_id for c, q in after.items()
    }
    assert {q.origin.ws_id for q in after.values() if q.origin is not None} < below
    assert len(below) == 3
    assert (ended.outcome, ended.text) == ("done", "all done")
    assert sorted((tmp_path / "effects").read_text().split()) == ["one", "two"]


async def questions(host: Host, ws_id: str, number: int) -> dict[str, ev.ApprovalAsked]:
    """So many that wait, by the commands that they are about."""
    found: dict[str, ev.ApprovalAsked] = {}
    events = host.follow(ws_id)
    assert isinstance(events, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(events):
        async for event in events:
            if isinstance(event, ev.ApprovalAsked):
                found[str(event.items[0].arguments["command"])] = event
            if len(found) == number:
                break
    return found
