"""`kill -9` before and after each step of the queue, in each lane: every message ends just once.

A real node, a real Redis, and a gate between them that knows each step by its name and kills the
node there. Then the node comes back, or another takes over and it comes back later. What must
hold of it all is in `support.queue_world`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest

from modelserver import ModelServer
from support.crashing.harness import size
from support.queue_farm import Farm, Process, farm
from support.queue_world import World, message, new_ws, plan, world
from support.redis import redis_server
from support.redis_gate import Gate, Trap, When, gate_to, load_scripts

Lane: TypeAlias = Literal["directed", "shared", "ws"]
LANES: tuple[Lane, ...] = ("directed", "shared", "ws")

#: A record of the journal, where others are commands.
RECORD = "record "


@dataclass(frozen=True)
class Step:
    """One step of the table in docs/redis.md: what a process does when it dies there.

    `before`, `after`: the name of a command, or of a record. `first`: where an earlier life has
    died, so that this step has something to do. `lanes`: whose messages take it; in the others it
    passes all the same, and is about nothing.
    """

    before: str
    after: str = ""
    first: str = ""
    about: bool = True
    lanes: tuple[Lane, ...] = LANES

    def named(self, when: When) -> str:
        return self.before if when == "before" else self.after or self.before


STEPS = {
    "beat": Step("beat", about=False),
    "directed lane": Step("wait directed", about=False, lanes=("directed", "ws")),
    "shared lane": Step("wait shared", about=False, lanes=("shared", "ws")),
    "claim": Step("claim", about=False, lanes=("shared", "ws")),
    "admit": Step("admit"),
    "journal": Step(f"{RECORD}message_accepted"),
    "accept": Step("accept"),
    "run": Step("emit step_started", "emit tool_finished"),
    "resume": Step("stand", first="accept"),
    "fence": Step("fence"),
    "done": Step("done"),
    "reap": Step("reap", first="admit", about=False),
    "sweep": Step("held", about=False),
    # Beside the thirteen: the second half of the directed lane, and the effect itself.
    "pull": Step("pull", about=False, lanes=("directed", "ws")),
    "effect": Step(f"{RECORD}tool_started", f"{RECORD}tool_finished"),
}

#: After these nobody but the node itself may go on: effects may have begun.
ITS_OWN = {("run", "after"), ("fence", "after"), ("done", "before"), ("done", "after")}
ITS_OWN |= {("effect", "before"), ("effect", "after")}


class Case(NamedTuple):
    step: str
    when: When
    lane: Lane
    heir: str = "n1"  # who is started next

    def __str__(self) -> str:
        return f"{self.when} {self.step}, {self.lane}, {self.heir}"


def cases() -> list[Case]:
    """All; or, where it must be quick, each step one way in one lane, in turn."""
    found: list[Case] = []
    for number, (name, step) in enumerate(STEPS.items()):
        for shift, when in enumerate[When](("before", "after")):
            heirs = ["n1"] if (name, when) in ITS_OWN else ["n1", "n2"]
            every = [
                Case(name, when, lane, heir)
                for lane in LANES
                for heir in (heirs if lane == "shared" else ["n1"])
            ]
            quick = [case for case in every if case.lane in step.lanes]
            if size() == "long":
                found += every
            elif shift == number % 2:
                found.append(quick[number % len(quick)])
    return found


#: The message about which it dies, and one behind it.
CIDS = ["first", "second"]

#: What the reply of a command says that has just given the node the first message.
TOLD = {
    ("wait shared", "shared"): b"first",
    ("wait shared", "ws"): b"first",
    ("wait directed", "directed"): b"first",
    ("wait directed", "ws"): b"first",
    ("claim", "shared"): b"first",
    ("pull", "directed"): b":1",
    ("pull", "ws"): b":1",
}


class Fixture(NamedTuple):
    farm: Farm
    port: int
    model_url: str


@pytest.fixture(scope="module")
def machine() -> Iterator[Fixture]:
    with redis_server() as redis, farm() as nodes, ModelServer(plan) as model:
        load_scripts(redis.port)
        yield Fixture(nodes, redis.port, model.base_url)


@pytest.mark.parametrize("case", cases(), ids=str)
async def test_a_kill_around_a_step_loses_nothing_and_doubles_nothing(
    tmp_path: Path, machine: Fixture, case: Case
) -> None:
    prefix = str(case).replace(" ", "-")
    async with world(*machine, tmp_path, prefix) as here, gate_to(machine.port) as gate:
        ws_id = await begun(here) if case.lane == "ws" else ""
        step = STEPS[case.step]
        if step.first:
            await die(here, gate, step.first, "after", case.lane, again=False)
        if case.step == "sweep":
            await die_sweeping(here, gate, case.when, case.lane)
        else:
            again = bool(step.first)
            await die(here, gate, step.named(case.when), case.when, case.lane, again=again)
        await (await here.node(case.heir)).ready()
        results = await here.ended(CIDS)
        if case.heir != "n1":
            late = await here.node("n1")  # with what it had begun, and another has taken over
            await late.ready()
            await late.at_rest()
        await here.settled()
        await here.stop()

        assert await here.violations(CIDS) == []
        assert {cid: result.outcome for cid, result in results.items()} == dict.fromkeys(
            CIDS, "done"
        )
        if ws_id:
            assert await here.order_of(ws_id) == ["begin", *CIDS]


async def begun(here: World) -> str:
    """A workstream of n1."""
    node = await here.node()
    await node.ready()
    await here.push(message("begin"))
    await here.ended(["begin"])
    await node.end()
    return new_ws("begin")


async def send(here: World, lane: Lane) -> None:
    for cid in CIDS:
        fields = {"ws_id": new_ws("begin")} if lane == "ws" else {}
        await here.push(message(cid, **fields), "n1" if lane == "directed" else "")


async def die(here: World, gate: Gate, name: str, when: When, lane: Lane, *, again: bool) -> None:
    """One life of n1, until it dies around this command or record. `again`: what it dies at was
    sent in an earlier life."""
    if name.startswith(RECORD):
        deadly = (name.removeprefix(RECORD), when)
        node = await here.node(deadly=deadly, about=CIDS[0])
        await node.ready()
        await send(here, lane)
        await node.gone()
        return
    trap = Trap(name, when, act=lambda: here.processes[-1].kill())
    step = next(step for step in STEPS.values() if step.named(when) == name or name in step.first)
    if step.about:
        trap.about = CIDS[0].encode()
    elif when == "after" and lane in step.lanes:
        trap.told = TOLD.get((name, lane), b"")
    if again or (when == "before" and name.startswith("wait")):
        gate.set(trap)
        if not again:
            await send(here, lane)
        node = await here.node(port=gate.port)
    else:
        node = await waiting(here, gate)
        gate.set(trap)
        await send(here, lane)
    await gate.sprung(trap)
    await node.gone()


async def die_sweeping(here: World, gate: Gate, when: When, lane: Lane) -> None:
    """A life of n1 that does not learn what it was given, until it dies around its sweep."""
    taking = "claim" if lane == "shared" else "pull"
    node = await waiting(here, gate)
    lost = gate.set(Trap(taking, "after", told=TOLD[taking, lane]))
    await send(here, lane)
    await gate.sprung(lost)
    held = "held shared" if lane == "shared" else "held directed"
    trap = gate.set(Trap(held, when, act=node.kill))
    await gate.sprung(trap)
    await node.gone()


async def waiting(here: World, gate: Gate) -> Process:
    """A life of n1 that waits in both lanes."""
    before = gate.passed.copy()
    node = await here.node(port=gate.port)
    await here.until(lambda: waits(gate, before), "a node that waits")
    return node


async def waits(gate: Gate, before: Counter[str]) -> bool:
    return all(gate.passed[lane] > before[lane] for lane in ("wait shared", "wait directed"))
