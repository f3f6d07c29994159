"""The invariants of a turn (I1 to I5), through the whole runtime, with a model that goes wrong.

Each seed is a conversation of several turns with a chaotic transport, tools of every kind and
cancels at any moment. A seed that fails is printed; `trial(seed)` repeats it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent_session import LONG, Session, config, kinds
from oturn import BaseTool, Message, Oturn
from oturn.tools.base import ToolExecutionError
from oturn.tools.precheck import STATUS_DENY, ToolPrecheckResult
from oturn.transport.base import ModelRequest
from oturn.transport.chaotic import ChaoticTransport
from oturn.transport.echo import EchoTransport
from oturn.transport.scripted import Reply, ScriptedTransport, call, call_tools, say
from tools_for_tests import SmallTool

SEEDS = 6000 if os.environ.get("TURNSTONE_TEST_SIZE") == "long" else 500
#: Seeds in one test: what fails is found quickly, and a block stays far below the time limit.
BLOCK = 100
FRESH = 20
TURNS = 3
MAX_STEPS = 4
#: A cancel comes with one of so many first events of a turn, or behind its end.
EVENTS_REACH = 25
#: Or it comes after so many rounds of the event loop, whatever goes on then.
ROUNDS_REACH = 150

Event = dict[str, Any]


async def no_time(_: float) -> None:
    await asyncio.sleep(0)


class World:
    """The tools of one trial, what they did, and the model that calls them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.effects: Counter[str] = Counter()
        self.begun = 0  # effects of tools on the loop, whose beginning is no race with a thread
        self.problems: list[str] = []
        self.script = ScriptedTransport(self.reply)
        self.tools = self._tools()

    def reply(self, request: ModelRequest) -> Reply:
        self.problems += problems_of(request.messages)
        words = "Some words, " * self.random.randrange(4) + "and no more."
        if self.random.random() < 0.4:
            return say(words, usage={"total_tokens": self.random.randrange(100)})
        names = ["unheard_of", *(str(tool.name) for tool in self.tools)]
        made = [call(self.random.choice(names), key=key) for key in self._keys()]
        return call_tools(*made, text=self.random.choice(("", words)), chunk=6)

    async def policy(self, name: str, arguments: Mapping[str, Any]) -> bool:
        return self.random.random() < 0.9

    def _keys(self) -> list[str]:
        return [f"{self.random.randrange(10**9)}" for _ in range(self.random.randint(1, 3))]

    def _tools(self) -> list[type[BaseTool]]:
        did = self.effects

        def begin(key: str) -> None:
            did[key] += 1
            self.begun += 1

        class Keyed(SmallTool):
            properties = {"key": {"type": "string"}}  # noqa: RUF012
            required = ["key"]  # noqa: RUF012

        class Quick(Keyed):
            name = "quick"

            @staticmethod
            async def execute(key: str) -> str:
                begin(key)
                return key

        class Slow(Keyed):
            name = "slow"

            @staticmethod
            async def execute(key: str) -> str:
                begin(key)
                for _ in range(30):
                    await asyncio.sleep(0)
                return key

        class Threaded(Keyed):
            name = "threaded"

            @staticmethod
            def execute(key: str) -> dict[str, str]:
                did[key] += 1
                return {"key": key}

        class Failing(Keyed):
            name = "failing"

            @staticmethod
            async def execute(key: str) -> str:
                begin(key)
                raise ToolExecutionError("It does not work.", metadata={"key": key})

        class Forbidden(Keyed):
            name = "forbidden"

            @classmethod
            def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult:
                return ToolPrecheckResult(STATUS_DENY, "Never.")

            @staticmethod
            async def execute(key: str) -> str:
                did["forbidden"] += 1
                return key

        return [Quick, Slow, Threaded, Failing, Forbidden]


class Cancels:
    """Lets every call go on, and cancels each turn at a moment of chance, or not at all.

    `count` tells how many effects there were; after a cancel none is issued any more.
    """

    def __init__(self, agent: Oturn, seed: int, count: Callable[[], int]) -> None:
        self._agent = agent
        self._count = count
        self._effects: int | None = None
        self._random = Random(f"{seed}/cancels")
        self._at: int | None = None

    def __call__(self, event: Event) -> None:
        if event["type"] == "tool_call":
            event["future"].set_result(None)
        if self._at == 0:
            self._cancel()
        self._at = self._at - 1 if self._at else None

    @contextlib.asynccontextmanager
    async def during_a_turn(self) -> AsyncIterator[None]:
        kind = self._random.choice(("never", "event", "round"))
        self._at = self._random.randrange(EVENTS_REACH) if kind == "event" else None
        rounds = self._random.randrange(ROUNDS_REACH) if kind == "round" else None
        waiting = asyncio.create_task(self._after(rounds))
        yield
        waiting.cancel()
        await asyncio.wait({waiting})
        self._at = None
        before, self._effects = self._effects, None
        if before is not None:
            # One may have been issued before the cancel, and begin in the same round of the loop.
            assert self._count() - before <= 1, "there were effects after the cancel"

    async def _after(self, rounds: int | None) -> None:
        if rounds is not None:
            for _ in range(rounds):
                await asyncio.sleep(0)
            self._cancel()

    def _cancel(self) -> None:
        self._agent.request_cancel_tool()
        self._effects = self._count()


async def trial(seed: int) -> None:
    """One conversation. Raises AssertionError for whatever must not happen."""
    world = World(seed)
    chaos = ChaoticTransport(world.script, seed=seed, sleep=no_time)
    transport = Switch(chaos)
    agent = Oturn(
        Path.cwd(),
        config(grace=LONG, max_steps=MAX_STEPS),
        world.policy,
        world.tools,
        transport=transport,
    )
    cancels = Cancels(agent, seed, lambda: len(chaos.happened) + world.begun)
    async with Session(agent, cancels) as session:
        for _ in range(TURNS):
            asked = len(chaos.happened)
            async with cancels.during_a_turn():
                check_turn(await session.ask("go on"))
            assert len(chaos.happened) - asked <= MAX_STEPS
        transport.use(EchoTransport())
        check_turn(await session.ask("first"))  # a cancel behind the last turn may still meet it
        assert (await session.ask("Are you well?"))[-1]["text"] == "Are you well?"
        history = session.context.history
    assert session.nothing_more()
    assert world.problems == []
    check_history(history, world.effects)


class Switch:
    """A transport that hands on to another one, which can be changed between two turns."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def use(self, inner: Any) -> None:
        self._inner = inner

    def stream(self, request: ModelRequest) -> Any:
        return self._inner.stream(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def check_turn(events: Sequence[Event]) -> None:
    """Exactly one ending, spelled as one event or as a pair, and nothing before the beginning."""
    seen = kinds(list(events))
    assert seen[0] in ("message_sent", "run_aborted"), seen
    assert seen.count("assistant_final") == 1, seen
    assert seen.count("message_sent") <= MAX_STEPS, seen
    first_of_pair = [kind for kind in seen if kind in ("error", "run_aborted")]
    final = events[-1]["text"]
    if first_of_pair:
        assert first_of_pair == [seen[-2]], seen
    match first_of_pair:
        case ["error"]:
            assert final == f"Error: {events[-2]['error']}"
            assert "traceback" not in events[-2]
        case ["run_aborted"]:
            assert final == ""
        case _:
            assert final


def check_history(history: Sequence[Any], effects: Mapping[str, int]) -> None:
    """Every call has one result, right behind it, and has run at most once."""
    records = [record for record in history if isinstance(record, Message)]
    asked: Counter[str] = Counter()
    for place, record in enumerate(records):
        wanted = [made.id for made in record.tool_calls or ()]
        results = records[place + 1 : place + 1 + len(wanted)]
        assert len(set(wanted)) == len(wanted)
        assert sorted(wanted) == sorted(str(result.tool_call_id) for result in results)
        for made in record.tool_calls or ():
            if isinstance(made.function.arguments, dict):
                asked[str(made.function.arguments.get("key"))] += 1
    assert sum(record.role == "tool" for record in records) == sum(
        len(record.tool_calls or ()) for record in records
    )
    assert effects.get("forbidden", 0) == 0
    for key, times in effects.items():
        assert times <= asked[key], f"{key} had its effect {times} times for {asked[key]} calls"


def problems_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a strict provider would refuse in these messages."""
    found = []
    for place, message in enumerate(messages):
        made = message.get("tool_calls") or []
        behind = messages[place + 1 : place + 1 + len(made)]
        if sorted(one["id"] for one in made) != sorted(
            str(result.get("tool_call_id")) for result in behind
        ):
            found.append(f"the calls of message {place} are not all answered behind it")
        for one in made:
            try:
                value = json.loads(one["function"]["arguments"])
            except ValueError:
                value = None
            if not isinstance(value, dict):
                found.append(f"the arguments of a call of message {place} are no JSON object")
    return found


async def run_all(seeds: Sequence[int]) -> None:
    failed: dict[int, str] = {}
    for seed in seeds:
        try:
            await trial(seed)
        except (AssertionError, TimeoutError):
            failed[seed] = traceback.format_exc()
    if failed:
        first = next(iter(failed))
        pytest.fail(f"seeds that fail: {sorted(failed)}; seed {first}:\n{failed[first]}")


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
async def test_the_invariants_hold_whatever_the_model_does(first: int) -> None:
    await run_all(range(first, first + BLOCK))


async def test_the_invariants_hold_for_seeds_that_nobody_has_tried() -> None:
    start = int.from_bytes(os.urandom(4))
    print(f"fresh seeds from {start}")
    await run_all(range(start, start + FRESH))
