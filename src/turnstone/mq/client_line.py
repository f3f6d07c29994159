"""What a client needs of the way to its nodes: through the queue, or straight to one node.

Protocol only: nothing here does anything.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from turnstone.core.events import Event
from turnstone.core.timers import Timer, TimerAction
from turnstone.mq import protocol as p
from turnstone.mq.results import StoredResult


class Line(Protocol):
    """Raises QueueUnavailable or NodeUnavailable where the way is not open."""

    problem: str  # why the last try failed, while it is tried again; empty when all is well

    async def deliver(self, message: p.InboundMessage, *, new_ws_id: str = "") -> None:
        """Send a message, once, however often it must be tried. `new_ws_id`: what to call the
        workstream that it makes. Raises TurnstoneErrors where it is refused at once."""

    async def place(self, ws_id: str) -> str:
        """Where in the workstream's events a new reader begins."""

    def turn(
        self, correlation_id: str, ws_id: str, after: str
    ) -> AsyncIterator[Event | StoredResult]:
        """The workstream's events behind `after`, in order, none twice; as the last, when the
        turn has ended, what is kept of it, for a reader that has missed events. It may come
        some time after the event of the ending, or in its place."""

    async def workstream_of(self, correlation_id: str) -> str:
        """The workstream of a message's turn; empty while it has none that is known here."""

    async def knows(self, correlation_id: str, ws_id: str = "") -> bool:
        """Whether a message of this id is there, ended or not. `ws_id`: as for `result`."""

    async def cancel(self, correlation_id: str, ws_id: str) -> bool:
        """Stop the turn of a message, or for no message what runs in the workstream; whether
        there was something to stop."""

    async def respond(self, message: p.ApproveMessage | p.PlanFeedbackMessage) -> None:
        """Give an answer to a question."""

    async def result(self, correlation_id: str, ws_id: str = "") -> StoredResult | None:
        """What came of a message; None while it has not ended, or if nobody knows it. `ws_id`:
        its workstream, which one node needs for one that is closed."""

    async def silence(self) -> str:
        """That the other side does not answer now, in a sentence; empty where it does. Waits
        for a second at most."""

    async def absence(self, sent: p.SendMessage) -> str:
        """Why no node works on a message that was delivered, in a sentence; empty where that
        cannot be seen. Waits for a second at most."""

    async def nodes(self) -> list[dict[str, object]]:
        """The nodes that live: what each says of itself, and its `node_id`."""

    async def timers(self) -> list[Timer]:
        """Those that live, by their next time."""

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        """Pause, resume or cancel one. Raises UnknownTimer; InvalidRequest if it is over."""

    async def listen(self, ws_id: str) -> AsyncGenerator[p.OutboundEvent, None]:
        """What happens in a workstream from when this returns; for no `ws_id`, beside all."""

    async def aclose(self) -> None: ...
