"""What a reducer returns. Holds no behaviour, and knows no event loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

StateT = TypeVar("StateT")
SignalT_contra = TypeVar("SignalT_contra", contravariant=True)
SignalT = TypeVar("SignalT")
EventT = TypeVar("EventT")


@dataclass(slots=True)
class Transition(Generic[StateT, EventT]):
    """One step of a state machine: the state after it, what to publish, whether it was the last.

    Events are published in the order of the list, after the state has been stored.
    """

    state: StateT
    events: list[EventT] = field(default_factory=list)
    terminal: bool = False


class Reducer(Protocol[StateT, SignalT_contra, EventT]):
    """A synchronous function that decides: it waits for nothing and touches nothing outside."""

    def __call__(self, state: StateT, signal: SignalT_contra, /) -> Transition[StateT, EventT]: ...
