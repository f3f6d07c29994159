"""Handlers for what a workstream may use, and what it has used."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from turnstone.api import endpoints as api
from turnstone.core import events as ev
from turnstone.server.routes import Call, Handler, Node, answer


async def budget(node: Node, call: Call[api.BudgetRequest]) -> Response:
    wanted = ev.Budget(
        tokens=call.body.tokens,
        seconds=call.body.seconds,
        tool_calls=call.body.tool_calls,
        money=call.body.money,
    )
    view = await node.host.set_budget(call.body.ws_id, wanted, by=call.sender)
    return answer(api.BudgetReply(**msgspec.structs.asdict(view)))


async def usage(node: Node, call: Call[None]) -> Response:
    return answer(await node.host.usage(call.request.query_params.get("ws_id", "")))


HANDLERS: Mapping[str, Handler] = {"budget": budget, "usage": usage}
