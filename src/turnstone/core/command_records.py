"""Slash commands about what is kept and what was used: sessions, history, export, budget, usage.

One function each, around the methods of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core import spending
from turnstone.core.command_order import LISTED, NOTHING, Handler, Order, Said, cut
from turnstone.core.errors import InvalidRequest
from turnstone.core.event_base import counted
from turnstone.core.events import Budget, HistoryMessage, ToolCallRecord, WsRename
from turnstone.core.host import ExportFormat, Used
from turnstone.core.sessions import before, check_names, found_whole
from turnstone.core.timers import ACTIONS, TimerAction, described
from turnstone.core.tool import Tool

#: How one entry of `/budget` is written, and what sets all of them to no limit.
_BUDGET = "tokens=200000 seconds=3600 tool_calls=100 money=2.5"
_NO_LIMIT = "none"


async def sessions(order: Order) -> Said:
    rows = []
    for info in await order.desk.host.sessions(LISTED):
        name = info.alias or info.title or info.name
        here = "*" if info.ws_id == order.ws_id else " "
        rows.append(
            f"{here} {info.session_id}  {info.updated}  {info.message_count:>5}  {cut(name, 80)}"
        )
    return Said("\n".join(rows) or "There are no sessions yet.")


async def resume(order: Order) -> Said:
    info = await order.desk.host.resume(order.argument)
    name = info.alias or info.title or info.name
    return Said(f"{name} goes on in workstream {info.id}.", info.id)


async def name(order: Order) -> Said:
    info = order.workstream.info()
    if order.argument:
        alias = "" if order.argument == NOTHING else order.argument
        check_names(alias, alias)
        called = WsRename(name=alias or info.name, alias=alias, correlation_id=order.command_id)
        await order.workstream.change(called)
        return Said(f"The session is called {alias}." if alias else "The session has no alias now.")
    alias = f", alias {info.alias}" if info.alias else ""
    return Said(f"Workstream {info.id} ({info.name}), session {info.session_id}{alias}.")


async def delete(order: Order) -> Said:
    row, session_id, _ = await found_whole(order.desk.store, order.argument)
    if row.ws_id == order.ws_id:
        raise InvalidRequest(
            "That is the session you are in; another one can be deleted.",
            hint="Go to another one first, or use /clear.",
        )
    earlier = await before(order.desk.store, row)
    await order.desk.host.erase(row.ws_id)
    these = f" and those of {', '.join(earlier)} before it" if earlier else ""
    return Said(f"Session {session_id} is deleted, with all its records{these}.")


async def history(order: Order) -> Said:
    if order.argument:
        hits = await order.desk.host.search(order.argument, LISTED)
        rows = [f"{hit.session_id}  {hit.role}: {cut(hit.snippet)}" for hit in hits]
        return Said("\n".join(rows) or "Nothing was found.")
    newest = order.transcript.history[-LISTED:]
    tools = order.desk.engine.tools
    rows = [f"{message.role}: {cut(_shown(message, tools))}" for message in newest]
    return Said("\n".join(rows) or "Nothing was said yet.")


async def export(order: Order) -> Said:
    form: ExportFormat = "json" if order.argument == "json" else "markdown"
    text = await order.desk.host.export(order.ws_id, form)
    return Said(text, told=f"The session was exported as {form}: {len(text):,} characters.")


async def budget(order: Order) -> Said:
    notice = ""
    if order.argument:
        wanted = _read(order.argument, (await order.desk.host.usage(order.ws_id)).budget)
        desk = order.desk
        notice = (
            await spending.set_budget(
                desk.manager, desk.engine, order.ws_id, wanted, order.by, order.command_id
            )
        ).notice
    left = (await order.desk.host.usage(order.ws_id)).left
    said = f"Left of the budget: {left.in_words()}." if left.limited else "No budget is set."
    return Said(f"{said} {notice}".strip())


async def usage(order: Order) -> Said:
    view = await order.desk.host.usage(order.ws_id)
    rows = [f"this workstream: {_in_words(view.own)}"]
    if view.agents:
        rows.append(f"with its {counted(view.agents, 'sub-agent')}: {_in_words(view.tree)}")
    rows += [f"{model}: {_in_words(used, calls=False)}" for model, used in view.models.items()]
    left = [f"left of the budget: {view.left.in_words()}"] if view.left.limited else []
    return Said("\n".join([*rows, *left]))


async def timers(order: Order) -> Said:
    if not order.argument:
        rows = [
            f"{described(one)}: {cut(one.message, 60)}" for one in await order.desk.host.timers()
        ]
        return Said("\n".join(rows) or "There are no timers.")
    wanted, _, timer_id = order.argument.partition(" ")
    action: TimerAction | None = next((one for one in ACTIONS if one == wanted), None)
    if action is None or not timer_id.strip():
        raise InvalidRequest(
            f"/timers does not understand {order.argument!r}.",
            hint=f"Alone it lists them; with {', '.join(ACTIONS)} and an id it changes one.",
        )
    return Said(described(await order.desk.host.alter_timer(timer_id.strip(), action)))


HANDLERS: Mapping[str, Handler] = {
    "/sessions": sessions,
    "/resume": resume,
    "/name": name,
    "/delete": delete,
    "/history": history,
    "/export": export,
    "/budget": budget,
    "/usage": usage,
    "/timers": timers,
}


def _read(text: str, now: Budget) -> Budget:
    """`tokens=200000 money=2`: the budget with these changed. Raises InvalidRequest."""
    if text == _NO_LIMIT:
        return Budget()
    entries = dict(entry.partition("=")[::2] for entry in text.split())
    if unknown := entries.keys() - set(Budget.__struct_fields__):
        raise _no_budget(" ".join(sorted(unknown)))
    try:
        return msgspec.convert(msgspec.to_builtins(now) | entries, Budget, strict=False)
    except msgspec.ValidationError as error:
        raise _no_budget(text) from error


def _no_budget(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"/budget does not understand {text!r}.", hint=f"Write {_NO_LIMIT}, or some of: {_BUDGET}."
    )


def _shown(message: HistoryMessage, tools: Mapping[str, Tool]) -> str:
    """What was said, and each call with what sums it up."""
    called = [_call_in_words(call, tools) for call in message.tool_calls]
    return " ".join([*([message.content] if message.content else []), *called])


def _call_in_words(call: ToolCallRecord, tools: Mapping[str, Tool]) -> str:
    key = tools[call.name].spec.primary_key if call.name in tools else ""
    try:
        about = msgspec.json.decode(call.arguments, type=dict[str, Any]).get(key, "")
    except (msgspec.DecodeError, UnicodeEncodeError):
        about = ""
    return f"▸ {call.name}: {about}" if about else f"▸ {call.name}"


def _in_words(used: Used, *, calls: bool = True) -> str:
    sides = f"{used.prompt_tokens:,} sent, {used.completion_tokens:,} answered"
    said = [counted(used.requests, "request"), f"{counted(used.total_tokens, 'token')} ({sides})"]
    if used.money:
        said.append(f"{used.money:.4f} of money")
    if calls:
        said += [counted(used.tool_calls, "tool call"), f"{used.seconds:,.0f} s of work"]
    return ", ".join(said)
