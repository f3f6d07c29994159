"""Many subscribers, slow ones, those that leave: none slows a turn, none is left in the dark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_session import PATIENCE, Session, kinds, resolve, scripted
from oturn.events import ev_assistant_delta, ev_assistant_final
from oturn.subscribers import LANDMARKS, RESERVE, Subscribers
from oturn.transport.scripted import call, call_tools, say
from tools_for_tests import SmallTool

Event = dict[str, Any]
Queue = asyncio.Queue[Event]


def deltas(*numbers: int) -> list[Any]:
    return [ev_assistant_delta(str(number)) for number in numbers]


async def publish(hub: Subscribers, events: Iterable[Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        for event in events:
            await hub.publish(event)


def drained(queue: Queue) -> list[Event]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def texts(events: Iterable[Event]) -> list[str]:
    return [str(event.get("text", event.get("missed"))) for event in events]


async def read(queue: Queue, count: int) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return [await queue.get() for _ in range(count)]


async def test_a_full_queue_stops_nobody_and_finds_how_much_it_missed_where_it_missed_it() -> None:
    hub = Subscribers(backlog=100)
    small, large = Queue(maxsize=3), Queue()
    hub.subscribe(small)
    hub.subscribe(large)
    await publish(hub, deltas(*range(10)))
    assert texts(await read(small, 4)) == ["0", "1", "2", "7"]
    await publish(hub, deltas(10))
    assert texts(await read(small, 1)) == ["10"]
    assert texts(drained(large)) == [str(number) for number in range(11)]


async def test_a_queue_without_a_bound_that_nobody_reads_does_not_grow_without_end() -> None:
    hub = Subscribers(backlog=5)
    queue = Queue()
    hub.subscribe(queue)
    await publish(hub, deltas(*range(1000)))
    assert queue.qsize() == 6
    *first, lagged = drained(queue)
    assert texts(first) == ["0", "1", "2", "3", "4"]
    assert lagged == {"type": "lagged", "missed": 995}
    await publish(hub, deltas(1, 2))
    assert texts(drained(queue)) == ["1", "2"]


@pytest.mark.parametrize("size", [0, 2])
async def test_endings_and_questions_are_kept_for_one_who_lags(size: int) -> None:
    hub = Subscribers(backlog=2)
    queue = Queue(maxsize=size)
    hub.subscribe(queue)
    kept = [{"type": kind} for kind in sorted(LANDMARKS)]
    await publish(hub, [*deltas(1, 2, 3, 4), *kept, *deltas(5), ev_assistant_final("end")])
    seen = await read(queue, 5 + len(kept))
    assert texts(seen[:3]) == ["1", "2", "2"]
    assert seen[3:-2] == kept
    assert seen[-2:] == [{"type": "lagged", "missed": 1}, ev_assistant_final("end")]


@pytest.mark.parametrize("size", [0, 2])
async def test_even_endings_are_only_counted_when_there_are_too_many(size: int) -> None:
    hub = Subscribers(backlog=2)
    queue = Queue(maxsize=size)
    hub.subscribe(queue)
    await publish(hub, [ev_assistant_final("") for _ in range(2 * RESERVE)])
    seen = await read(queue, RESERVE + 3)
    assert seen[-1] == {"type": "lagged", "missed": RESERVE - 2}
    assert queue.empty()


async def test_a_reader_that_is_ready_misses_nothing_however_small_its_queue() -> None:
    hub = Subscribers(backlog=2)
    queue = Queue(maxsize=1)
    hub.subscribe(queue)
    reading = asyncio.create_task(read(queue, 500))
    await publish(hub, deltas(*range(500)))
    assert texts(await reading) == [str(number) for number in range(500)]


async def test_readers_get_to_run_while_a_fast_publisher_never_waits() -> None:
    hub = Subscribers(backlog=1000)
    queue = Queue()
    hub.subscribe(queue)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            await queue.get()
            most = max(most, queue.qsize())

    watching = asyncio.create_task(watch())
    await publish(hub, deltas(*range(1000)))
    watching.cancel()
    assert most < 100


class Slow:
    """A subscriber of a program's own, that takes one event when it is let."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.let = asyncio.Semaphore(0)
        self.took = asyncio.Semaphore(0)

    async def put(self, item: Event) -> None:
        await self.let.acquire()
        self.seen.append(item)
        self.took.release()

    async def take(self, count: int) -> list[Event]:
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                self.let.release()
                await self.took.acquire()
        return self.seen


async def test_a_subscriber_with_a_put_of_its_own_gets_the_same_in_its_own_time() -> None:
    hub = Subscribers(backlog=3)
    slow = Slow()
    hub.subscribe(slow)
    await publish(hub, deltas(0, 1, 2, 3, 4))
    assert texts(await slow.take(4)) == ["0", "1", "2", "2"]
    await publish(hub, deltas(5))
    assert texts(await slow.take(1)) == ["0", "1", "2", "2", "5"]


async def test_one_that_leaves_gets_nothing_more_not_even_what_waited_for_it() -> None:
    hub = Subscribers(backlog=3)
    slow, small = Slow(), Queue(maxsize=1)
    hub.subscribe(slow)
    hub.subscribe(small)
    await publish(hub, [*deltas(0, 1), ev_assistant_final("")])
    assert hub.unsubscribe(slow)
    assert hub.unsubscribe(small)
    assert hub.unsubscribe(small)
    slow.let.release()
    await publish(hub, deltas(*range(100)))
    assert slow.seen == []
    assert texts(drained(small)) == ["0"]
    assert small.empty()


class Failing:
    def __init__(self) -> None:
        self.times = 0

    async def put(self, item: object) -> None:
        self.times += 1
        raise ConnectionError("gone")


class NotAwaitable:
    def __init__(self) -> None:
        self.items: list[object] = []

    def put(self, item: object) -> None:
        self.items.append(item)


async def test_a_subscriber_that_cannot_take_an_event_is_dropped_and_others_go_on() -> None:
    hub = Subscribers(backlog=100)
    failing, odd, queue = Failing(), NotAwaitable(), Queue()
    for subscriber in (failing, odd, queue):
        hub.subscribe(subscriber)  # type: ignore[arg-type] # one of them is none, on purpose
    await publish(hub, deltas(*range(100)))
    assert failing.times == 1
    assert len(odd.items) == 1
    assert len(drained(queue)) == 100


def test_none_is_no_subscriber_and_what_cannot_be_hashed_is_refused() -> None:
    agent = scripted()
    assert not agent.subscribe(None)
    assert not agent.unsubscribe(None)
    with pytest.raises(TypeError):
        agent.subscribe([])  # type: ignore[arg-type] # on purpose


@given(
    st.lists(st.sampled_from(["delta", "final", "read"]), max_size=80),
    st.integers(0, 3),
    st.integers(1, 5),
)
def test_what_is_read_and_what_is_told_to_be_missed_is_all_there_was(
    moves: list[str], size: int, backlog: int
) -> None:
    async def play() -> None:
        hub = Subscribers(backlog)
        queue = Queue(maxsize=size)
        hub.subscribe(queue)
        seen: list[Event] = []
        sent = 0
        for move in moves:
            if move == "read":
                seen += [] if queue.empty() else [queue.get_nowait()]
            else:
                sent += 1
                made = {"type": "assistant_final" if move == "final" else "x", "number": sent}
                await hub.publish(made)
        await moved_up()
        while not queue.empty():
            seen.append(queue.get_nowait())
            await moved_up()
        numbers = [event["number"] for event in seen if event["type"] != "lagged"]
        missed = [event["missed"] for event in seen if event["type"] == "lagged"]
        assert numbers == sorted(numbers)
        assert len(numbers) + sum(missed) == sent
        finals = moves_of("final", moves)
        assert set(finals) <= set(numbers)

    asyncio.run(play())


async def moved_up() -> None:
    """What waits outside a bounded queue takes the place that became free."""
    for _ in range(3):
        await asyncio.sleep(0)


def moves_of(kind: str, moves: list[str]) -> list[int]:
    published = [move for move in moves if move != "read"]
    return [number for number, move in enumerate(published, 1) if move == kind]


async def test_every_subscriber_of_an_agent_sees_the_same_in_the_same_order() -> None:
    class Chatty(SmallTool):
        name = "chatty"

        @staticmethod
        async def execute(event_publish: Any, emit_event: Any) -> str:
            for number in range(40):
                emit_event({"type": "emitted", "number": number})
                await event_publish({"type": "published", "number": number})
            return "said"

    agent = scripted(call_tools(call("chatty")), say("ok " * 50), tools=[Chatty])
    others = [Queue() for _ in range(50)]
    for queue in others:
        agent.subscribe(queue)
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    for queue in others:
        assert kinds(drained(queue)) == kinds(events)


async def test_a_turn_ends_with_a_subscriber_that_never_reads() -> None:
    agent = scripted(say("many words " * 200), event_backlog=20)
    stuck, bounded = Queue(), Queue(maxsize=5)
    agent.subscribe(stuck)
    agent.subscribe(bounded)
    async with Session(agent) as session:
        sent = len(await session.ask())
        seen = drained(stuck)
        told = [event["missed"] for event in seen if event["type"] == "lagged"]
        assert sum(told) + len(seen) - len(told) == sent
        assert kinds(seen)[-2:] == ["lagged", "assistant_final"]
        while (last := await asyncio.wait_for(bounded.get(), PATIENCE))["type"] != "lagged":
            pass
        assert last["missed"] == sent - 6
        assert (await asyncio.wait_for(bounded.get(), PATIENCE))["type"] == "assistant_final"
