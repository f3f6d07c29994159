"""The workstreams of a node that are in memory, and which of them may leave it.

One is let go of only when nobody uses it and nothing of it runs, waits or is being written.
Looking and letting go happen without an await in between, and whoever uses one holds it: so
nothing is ever lost to a sleep. Knows no store; never wakes anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from turnstone.core.clock import Clock
from turnstone.core.events import EventId
from turnstone.core.workstream import Workstream


@dataclass(slots=True)
class _Held:
    """`touched`: when it was last used or written to, on the monotonic clock."""

    workstream: Workstream
    touched: float
    users: int = 0  # calls in progress, readers among them

    @property
    def quiet(self) -> bool:
        one = self.workstream
        return self.users == 0 and one.quiet and not one.asks_for_title


class Awake:
    """Workstreams by id. `limit`: how many there should be at most."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._held: OrderedDict[str, _Held] = OrderedDict()  # the longest unused first
        self._places: dict[str, EventId] = {}  # of sleepers, where it is behind the last record

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Workstream]:
        return iter([held.workstream for held in self._held.values()])

    def get(self, ws_id: str) -> Workstream | None:
        held = self._held.get(ws_id)
        return held.workstream if held else None

    def enter(self, ws_id: str, workstream: Workstream) -> None:
        self._held[ws_id] = _Held(workstream, self._clock.monotonic())

    @contextmanager
    def hold(self, ws_id: str) -> Iterator[Workstream]:
        """Keep it awake in the block. Raises KeyError for one that is not."""
        held = self._held[ws_id]
        held.users += 1
        try:
            yield held.workstream
        finally:
            held.users -= 1
            self.touch(ws_id)

    def touch(self, ws_id: str) -> None:
        """It was used, or written to, just now."""
        if (held := self._held.get(ws_id)) is not None:
            held.touched = self._clock.monotonic()
            self._held.move_to_end(ws_id)

    def make_room(self) -> bool:
        """Where there is no room, let go of the one that was unused for longest.

        False: all of them are in use.
        """
        if len(self._held) < self._limit:
            return True
        return any(self.let_go(ws_id) for ws_id in list(self._held))

    def let_go(self, ws_id: str) -> bool:
        """Let go of it if it is quiet, or not awake at all; False: it is in use."""
        held = self._held.get(ws_id)
        if held is None:
            return True
        if not held.quiet:
            return False
        place = held.workstream.place()
        if place.n:
            self._places[ws_id] = place
        del self._held[ws_id]
        return True

    def let_go_unused(self, seconds: float) -> None:
        """Let go of all the quiet ones that were not used for so long."""
        limit = self._clock.monotonic() - seconds
        for ws_id in [ws for ws, held in self._held.items() if held.touched <= limit]:
            self.let_go(ws_id)

    def place(self, ws_id: str) -> EventId | None:
        """The last event id that was given out before it went to sleep, if its next could be
        the same. Asked once, by whoever wakes it."""
        return self._places.pop(ws_id, None)

    def forget(self, ws_id: str) -> None:
        """It is closed, or gone: never to wake."""
        self._held.pop(ws_id, None)
        self._places.pop(ws_id, None)

    def clear(self) -> None:
        self._held.clear()
        self._places.clear()
