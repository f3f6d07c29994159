"""The nucleus as a runtime for machines that know no language model, and its pub/sub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from oturn import AsyncPubSub, OTurnNucleus, Transition

Light = Literal["red", "green", "yellow", "off"]
AFTER: dict[Light, Light] = {"red": "green", "green": "yellow", "yellow": "red", "off": "off"}


def traffic_light(state: Light, signal: str) -> Transition[Light, str]:
    if signal == "power cut":
        return Transition("off", ["dark"], terminal=True)
    if signal != "tick":
        raise ValueError(f"unknown signal {signal!r}")
    return Transition(AFTER[state], [f"{state} is over", f"{AFTER[state]} now"])


async def signals(*given: str) -> AsyncIterator[str]:
    for signal in given:
        yield signal


def drained(queue: asyncio.Queue[str]) -> list[str]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_a_step_stores_the_state_and_publishes_its_events_in_order() -> None:
    light = OTurnNucleus[Light, str, str]("red", traffic_light)
    queue: asyncio.Queue[str] = asyncio.Queue()
    assert light.subscribe(queue)
    transition = await light.step("tick")
    assert (light.state, light.terminal) == ("green", False)
    assert transition == Transition("green", ["red is over", "green now"])
    assert drained(queue) == ["red is over", "green now"]


async def test_a_run_stops_at_the_first_terminal_transition_and_pulls_no_further_signal() -> None:
    light = OTurnNucleus[Light, str, str]("red", traffic_light)
    given = signals("tick", "power cut", "tick")
    assert await light.run(given) == "off"
    assert [left async for left in given] == ["tick"]
    assert await light.step("tick") == Transition("off", [], True)


async def test_a_reducer_that_raises_leaves_the_state_as_it_was() -> None:
    light = OTurnNucleus[Light, str, str]("red", traffic_light)
    with pytest.raises(ValueError, match="unknown signal"):
        await light.step("earthquake")
    assert (light.state, light.terminal) == ("red", False)


def test_transitions_are_compared_by_value_and_share_no_list() -> None:
    assert Transition(1) == Transition(1, [], False)
    assert Transition(1).events is not Transition(1).events
    with pytest.raises(AttributeError):
        Transition(1).other = 2  # type: ignore[attr-defined]


async def test_every_subscriber_gets_the_same_object_once_and_in_order() -> None:
    hub: AsyncPubSub[object] = AsyncPubSub()
    queues: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in range(3)]
    for queue in [*queues, queues[0]]:
        assert hub.subscribe(queue)
    events = [object(), object()]
    for event in events:
        await hub.publish(event)
    for queue in queues:
        assert [queue.get_nowait() for _ in range(queue.qsize())] == events


async def test_nothing_is_published_to_those_who_left() -> None:
    hub: AsyncPubSub[str] = AsyncPubSub()
    queue: asyncio.Queue[str] = asyncio.Queue()
    hub.subscribe(queue)
    assert hub.unsubscribe(queue)
    assert hub.unsubscribe(queue)
    await hub.publish("late")
    assert queue.empty()


def test_none_is_no_subscriber_and_what_cannot_be_hashed_is_refused() -> None:
    hub: AsyncPubSub[str] = AsyncPubSub()
    assert not hub.subscribe(None)
    assert not hub.unsubscribe(None)
    with pytest.raises(TypeError):
        hub.subscribe([])  # type: ignore[arg-type]


async def test_publishing_waits_for_room_in_a_full_queue_and_loses_nothing() -> None:
    hub: AsyncPubSub[str] = AsyncPubSub()
    small: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
    large: asyncio.Queue[str] = asyncio.Queue()
    hub.subscribe(small)
    hub.subscribe(large)

    async def publish() -> None:
        for event in "abc":
            await hub.publish(event)

    publishing = asyncio.create_task(publish())
    async with asyncio.timeout(5):
        read = [await small.get() for _ in range(3)]
        await publishing
    assert read == drained(large) == ["a", "b", "c"]


async def test_unsubscribing_a_full_queue_frees_the_publisher() -> None:
    hub: AsyncPubSub[str] = AsyncPubSub()
    small: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
    large: asyncio.Queue[str] = asyncio.Queue()
    hub.subscribe(small)
    hub.subscribe(large)
    await hub.publish("a")
    publishing = asyncio.create_task(hub.publish("b"))
    await asyncio.wait({publishing}, timeout=0)
    hub.unsubscribe(small)
    await asyncio.wait_for(publishing, 5)
    assert drained(small) == ["a"]
    assert drained(large) == ["a", "b"]


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
    hub: AsyncPubSub[str] = AsyncPubSub()
    failing, odd = Failing(), NotAwaitable()
    queue: asyncio.Queue[str] = asyncio.Queue()
    for subscriber in (failing, odd, queue):
        hub.subscribe(subscriber)  # type: ignore[arg-type]
    await hub.publish("a")
    await hub.publish("b")
    assert failing.times == 1
    assert odd.items == ["a"]
    assert drained(queue) == ["a", "b"]
