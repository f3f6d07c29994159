"""The timers of a node somewhere else: their rows of the endpoint table, as methods of `Host`.

Holds no state, and decides nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from turnstone.api import endpoints as api
from turnstone.api.http_calls import HttpCalls
from turnstone.core.timers import NewTimer, Timer, TimerAction


class TimerCalls(HttpCalls):
    """The part of `HttpHost` that is about timers."""

    async def set_timer(self, timer: NewTimer) -> Timer:
        """`Host.set_timer`; asked once more after a lost connection, under the same id."""
        named = msgspec.structs.replace(timer, timer_id=timer.timer_id or secrets.token_hex(6))
        return await self._call("set_timer", Timer, named, again=True)

    async def timers(self) -> Sequence[Timer]:
        return (await self._call("timers", api.TimersReply, again=True)).timers

    async def alter_timer(self, timer_id: str, action: TimerAction) -> Timer:
        if action == "cancel":
            query = {"timer_id": timer_id}
            return await self._call("cancel_timer", Timer, query=query, again=True)
        body = api.PauseTimerRequest(timer_id=timer_id, paused=action == "pause")
        return await self._call("pause_timer", Timer, body, again=True)
