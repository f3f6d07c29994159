"""Stopping a message's turn over the queue, wherever the message is: on this node, on another
one, or still in a list, where it is ended before any node takes it.

It never touches what has effects already: that is for the node to stop.
"""

from __future__ import annotations

import asyncio

from turnstone.core.host import Host
from turnstone.mq import protocol as p
from turnstone.mq.entry import read
from turnstone.mq.results import StoredResult
from turnstone.mq.work import Claimed, Work
from turnstone.mq.worker_link import Link
from turnstone.mq.worker_turns import Turns

#: Seconds for a message that is just being taken into the journal here; and between two looks.
_TAKING = 5.0
_LOOK = 0.02

#: What the sender is told, and what comes of a message that was ended before it was taken.
STOPPED = "It was stopped."
NOTHING = "There is nothing to stop: no such turn runs or waits."
CANCELLED = "The turn was cancelled."


class Cancelling:
    """That of one worker."""

    def __init__(self, host: Host, work: Work, link: Link, turns: Turns) -> None:
        self._host, self._work, self._link, self._turns = host, work, link, turns

    async def elsewhere(self, claimed: Claimed) -> str:
        """The node that must do it, if another has the message to stop; else empty."""
        if read(claimed.entry).kind != "cancel" or claimed.ws_id:
            return ""
        message = p.parse(claimed.raw)
        assert isinstance(message, p.CancelMessage)
        state, node = await self._noted(message.message_id)
        other = state in {"claimed", "accepted"} and node != self._work.node_id
        return node if other else ""

    async def stop(self, message: p.CancelMessage) -> bool:
        """Whether something was stopped, or will not begin. Raises UnknownWorkstream."""
        cid, ws_id = message.message_id, message.ws_id
        if not cid:
            return await self._host.cancel(ws_id)
        turn = await self._taken(cid)
        if turn:
            return await self._host.cancel(turn, cid)
        if ws_id and await self._host.knows(ws_id, cid):
            return await self._host.cancel(ws_id, cid)
        kept = StoredResult(
            correlation_id=cid, ws_id=ws_id, outcome="cancelled", errors=[CANCELLED]
        )
        told = [
            p.InfoEvent(ws_id=ws_id, correlation_id=cid, message=CANCELLED),
            p.TurnCompleteEvent(ws_id=ws_id, correlation_id=cid),
        ]
        told[1].extra["outcome"] = "cancelled"
        final = [one.to_json().encode() for one in told]
        return await self._link.insist(
            lambda: self._work.forestall(cid, ws_id, kept.encode(), final)
        )

    async def _taken(self, cid: str) -> str:
        """The workstream of the message's turn, once that is in the journal; empty if this node
        does not have it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TAKING
        while True:
            turn = self._turns.get(cid)
            if turn is not None and turn.settled.is_set():
                return turn.ws_id
            mine = await self._noted(cid) == ("claimed", self._work.node_id)
            if (turn is None and not mine) or loop.time() > deadline:
                return turn.ws_id if turn is not None else ""
            await asyncio.sleep(_LOOK)

    async def _noted(self, cid: str) -> tuple[str, str]:
        return await self._link.insist(lambda: self._work.noted(cid))
