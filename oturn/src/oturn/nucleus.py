"""The smallest runtime: a state, a reducer that decides, and subscribers that are told.

It has nothing to do with language models, performs no effects and keeps no history. For
turns, effects are performed by `oturn.driver`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable
from typing import Any, Generic, Protocol

from oturn.transition import EventT, Reducer, SignalT, StateT, Transition

__all__ = ["AsyncPubSub", "OTurnNucleus", "Reducer", "Transition"]


class Subscriber(Protocol):
    """Anything with an awaitable `put`; an `asyncio.Queue` is the usual one."""

    def put(self, item: Any, /) -> Awaitable[None]: ...


class AsyncPubSub(Generic[EventT]):
    """Gives every event, the same object, to every subscriber, one after another.

    Nothing is lost: where a bounded queue is full, `publish` waits until there is room, or
    until that queue is unsubscribed. A subscriber whose `put` raises is dropped. (An `Oturn`
    never waits for its subscribers: see `oturn.subscribers`.)
    """

    def __init__(self) -> None:
        # In the order of subscription; the value is what waits for room there.
        self._subscribers: dict[Subscriber, set[asyncio.Future[None]]] = {}

    def subscribe(self, queue: Subscriber | None) -> bool:
        """Add a subscriber, once. False for None; TypeError for what cannot be hashed."""
        if queue is None:
            return False
        self._subscribers.setdefault(queue, set())
        return True

    def unsubscribe(self, queue: Subscriber | None) -> bool:
        """Remove a subscriber, if it is one; safe while an event is being published."""
        if queue is None:
            return False
        for waiting in self._subscribers.pop(queue, ()):
            waiting.cancel()
        return True

    async def publish(self, event: EventT) -> None:
        for queue in list(self._subscribers):
            if queue not in self._subscribers:
                continue  # unsubscribed while another was waited for
            try:
                if type(queue) is asyncio.Queue and not queue.full():
                    queue.put_nowait(event)
                else:
                    await self._put(queue, event)
            except Exception:  # a subscriber that cannot take an event is none any more
                self.unsubscribe(queue)

    async def _put(self, queue: Subscriber, event: EventT) -> None:
        awaitable = queue.put(event)
        if not inspect.isawaitable(awaitable):
            raise TypeError("a subscriber's put must be awaitable")
        putting = asyncio.ensure_future(awaitable)
        waiting = self._subscribers.get(queue, set())
        waiting.add(putting)
        try:
            await asyncio.wait({putting})
        finally:
            waiting.discard(putting)
            putting.cancel()
        if not putting.cancelled():  # else unsubscribed
            putting.result()


class OTurnNucleus(Generic[StateT, SignalT, EventT]):
    """A state machine with subscribers: `reducer(state, signal)` decides, `step` applies it."""

    def __init__(self, initial_state: StateT, reducer: Reducer[StateT, SignalT, EventT]) -> None:
        self._state = initial_state
        self._reducer = reducer
        self._terminal = False
        self._events: AsyncPubSub[EventT] = AsyncPubSub()

    @property
    def state(self) -> StateT:
        return self._state

    @property
    def terminal(self) -> bool:
        return self._terminal

    def subscribe(self, queue: Subscriber | None) -> bool:
        return self._events.subscribe(queue)

    def unsubscribe(self, queue: Subscriber | None) -> bool:
        return self._events.unsubscribe(queue)

    async def step(self, signal: SignalT) -> Transition[StateT, EventT]:
        """Apply one signal, then publish what it brought about.

        After a terminal transition the reducer is not called any more. An exception of the
        reducer passes through, and leaves the state as it was.
        """
        if self._terminal:
            return Transition(self._state, [], True)
        transition = self._reducer(self._state, signal)
        self._state, self._terminal = transition.state, transition.terminal
        for event in transition.events:
            await self._events.publish(event)
        return transition

    async def run(self, signals: AsyncIterable[SignalT]) -> StateT:
        """Step over the signals up to the first terminal transition; the final state."""
        async for signal in signals:
            if (await self.step(signal)).terminal:
                break
        return self._state
