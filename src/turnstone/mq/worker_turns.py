"""The queue's turns on this node: which are open, what each has said, what is kept of it.

A fold of events into results; it asks neither Redis nor the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from turnstone.core import events as ev
from turnstone.mq.results import OUTPUT_KEPT, UNANSWERED, StoredResult
from turnstone.mq.work import Lane

#: Turns that are remembered as another's while this node has not ended them. Such a turn runs for
#: a moment, or waits behind one: there are never so many at once.
_SUPERSEDED = 10_000


@dataclass
class Turn:
    """A message of the queue that this node has, from just before its acceptance to its end.

    `settled` is set when Redis knows that it was accepted (`ours`), or that it is another's.
    """

    correlation_id: str
    epoch: int
    lane: Lane
    raw: bytes
    ws_id: str
    message: str
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    ours: bool = True
    ended: ev.TurnEnded | None = None
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _begun: bool = False
    _said: dict[ev.EventId, tuple[str, str]] = field(default_factory=dict)
    _tools: dict[ev.EventId, tuple[str, str]] = field(default_factory=dict)

    def begins(self, event: ev.Event) -> float | None:
        """Seconds that it waited on this node, if this event is the first of its work."""
        if not isinstance(event, ev.StepStarted) or self._begun:
            return None
        self._begun = True
        return asyncio.get_running_loop().time() - self.since

    def collect(self, event: ev.Event) -> None:
        """Take in an event of this turn. It may come twice, and out of its order: what happens
        now, while what happened before is being recalled."""
        match event:
            case ev.StepFinished():
                self._said[ev.EventId.parse(event.id)] = event.text, event.reasoning
            case ev.ToolFinished():
                output = event.output[:OUTPUT_KEPT]
                self._tools[ev.EventId.parse(event.id)] = event.name, output
            case ev.TurnEnded():
                self.ended = event

    def result(self) -> StoredResult:
        """What is kept of it, once it has ended."""
        said, ending = [self._said[place] for place in sorted(self._said)], self.ended
        kept = StoredResult(
            correlation_id=self.correlation_id,
            ws_id=self.ws_id,
            content=[text for text, _ in said if text],
            reasoning=[reasoning for _, reasoning in said if reasoning],
            tool_results=[self._tools[place] for place in sorted(self._tools)],
        )
        if ending is not None:
            kept.outcome = ending.outcome
            if ending.text and ending.text not in kept.content:
                kept.content.append(ending.text)
            if ending.outcome in UNANSWERED and not kept.errors:
                kept.errors.append(ending.reason or f"The turn {UNANSWERED[ending.outcome]}.")
        return kept


class Turns:
    """All of them. `changed` is set whenever one has come or gone."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._open: dict[str, Turn] = {}
        self._superseded: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Turn]:
        return iter(list(self._open.values()))

    def add(self, turn: Turn) -> None:
        self._superseded.pop(turn.correlation_id, None)
        self._open[turn.correlation_id] = turn
        self.changed.set()

    def get(self, correlation_id: str) -> Turn | None:
        return self._open.get(correlation_id)

    def waits(self, turn: Turn) -> bool:
        """Whether its ending has not come yet."""
        return turn.ended is None and self._open.get(turn.correlation_id) is turn

    def drop(self, turn: Turn) -> None:
        """It has ended, or was never this node's."""
        if self._open.get(turn.correlation_id) is turn:
            del self._open[turn.correlation_id]
        turn.settled.set()
        self.changed.set()

    def supersede(self, turn: Turn) -> None:
        """Another has it: this turn may have no effects for it any more."""
        turn.ours = False
        if self._open.get(turn.correlation_id, turn) is turn:  # and not a later copy, here
            self._superseded[turn.correlation_id] = None
            if len(self._superseded) > _SUPERSEDED:
                del self._superseded[next(iter(self._superseded))]
        self.drop(turn)

    def superseded(self, correlation_id: str) -> bool:
        return correlation_id in self._superseded

    def over(self, correlation_id: str) -> None:
        """The node has ended it: it will ask for no effects any more."""
        self._superseded.pop(correlation_id, None)

    def of(self, ws_id: str) -> list[Turn]:
        return [turn for turn in self._open.values() if turn.ws_id == ws_id]

    @property
    def busy(self) -> set[str]:
        """The workstreams that have one: each runs one at a time, and so takes one slot."""
        return {turn.ws_id for turn in self._open.values()}
