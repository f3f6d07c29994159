"""Handlers for messages that are sent later."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from turnstone.api import endpoints as api
from turnstone.core.timers import NewTimer, TimerAction
from turnstone.server.routes import Call, Handler, Node, answer


async def timers(node: Node, _call: Call[None]) -> Response:
    return answer(api.TimersReply(timers=await node.host.timers()))


async def set_timer(node: Node, call: Call[NewTimer]) -> Response:
    return answer(await node.host.set_timer(call.body))


async def pause_timer(node: Node, call: Call[api.PauseTimerRequest]) -> Response:
    action: TimerAction = "pause" if call.body.paused else "resume"
    return answer(await node.host.alter_timer(call.body.timer_id, action))


async def cancel_timer(node: Node, call: Call[None]) -> Response:
    timer_id = call.request.query_params.get("timer_id", "")
    return answer(await node.host.alter_timer(timer_id, "cancel"))


HANDLERS: Mapping[str, Handler] = {
    "timers": timers,
    "set_timer": set_timer,
    "pause_timer": pause_timer,
    "cancel_timer": cancel_timer,
}
