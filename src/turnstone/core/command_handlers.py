"""What slash commands do to a conversation, and to how its model is asked: one function each.

They use the workstream's own methods, and the node's; nothing is decided here that those decide.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from turnstone.core import effort, forking, rewinding
from turnstone.core import events as ev
from turnstone.core.command_order import LISTED, NOTHING, Handler, Order, Said, cut
from turnstone.core.commands import COMMANDS, Command, named
from turnstone.core.host import PolicyView

#: Columns of a list of commands that their names take, with what may stand behind them.
_NAMES = 26

#: How `/creative` stands.
_WRITES = "The model writes, and has no tools. /creative off gives them back."
_WORKS = (
    "The model has its tools. /creative on takes them away, and forgets the conversation if tools"
    " were used in it."
)

#: Characters of the instructions that are shown (contract, section 6.5).
_INSTRUCTIONS_SHOWN = 100


async def show_help(order: Order) -> Said:
    if not order.argument:
        return Said("\n".join(map(_row, COMMANDS)))
    command = named(order.argument)
    return Said(f"{', '.join([command.usage, *command.aliases])}\n{command.meaning}")


async def clear(order: Order) -> Said:
    became = ev.ConversationSet(why="cleared", correlation_id=order.command_id)
    await order.workstream.change(became, resting=True)
    return Said("The conversation is forgotten; /rewind goes back into it.")


async def new(order: Order) -> Said:
    session = order.desk.engine.ids.session()
    was = order.workstream.info()
    became = ev.ConversationSet(why="new", session_id=session, correlation_id=order.command_id)
    await order.workstream.change(became, resting=True)
    along = f" The alias {was.alias} goes along to this one." if was.alias else ""
    return Said(
        f"A new conversation, session {session}. /resume {was.session_id} goes on with the one "
        f"before, in a workstream of its own.{along}"
    )


async def rewind(order: Order) -> Said:
    if not order.argument:
        found = rewinding.heard(await order.desk.store.records(order.ws_id))[-LISTED:]
        if not found:
            return Said("There is no message yet to go back to.")
        rows = [f"{message.seq:>6}  {cut(message.text)}" for message in found]
        return Said("\n".join([*rows, "/rewind NUMBER goes back to just before one."]))
    taken = (
        await forking.rewind(
            order.desk.manager, order.desk.store, order.ws_id, order.argument, order.command_id
        )
    ).message
    behind = f" before: {cut(taken)}" if taken else "."
    return Said(f"The conversation is as it was{behind}")


async def fork(order: Order) -> Said:
    desk = order.desk
    info = await forking.fork(
        desk.manager, desk.store, desk.engine, order.ws_id, order.argument, order.command_id
    )
    alias = order.workstream.info().alias
    stays = f" The alias {alias} stays with this one." if alias else ""
    return Said(f"It goes on in workstream {info.id} ({info.name}).{stays}", info.id)


async def cancel(order: Order) -> Said:
    """Recorded also where nothing ran: sent again, it must not stop what has begun since."""
    stopped = await order.desk.host.cancel(order.ws_id)
    await order.workstream.done("/cancel", order.command_id)
    return Said("Stopped." if stopped else "No turn is running.")


async def compact(order: Order) -> Said:
    return Said((await order.workstream.compact()).text)


async def persona(order: Order) -> Said:
    if order.argument:
        await _set(order, ev.SettingsChanged(persona=_text(order.argument)), resting=True)
    now = order.transcript.settings.persona
    shown = order.desk.engine.persona if now is None else now
    return Said(f"The model speaks as {shown}." if shown else "The model speaks as itself.")


async def instructions(order: Order) -> Said:
    if order.argument:
        change = ev.SettingsChanged(instructions=_text(order.argument))
        await _set(order, change, resting=True)
    now = order.transcript.settings.instructions
    shown = order.desk.engine.instructions if now is None else now
    if not shown:
        return Said("No instructions are set.")
    return Said(f"Instructions: {cut(shown, _INSTRUCTIONS_SHOWN)}")


async def model(order: Order) -> Said:
    models = order.desk.engine.models
    if order.argument:
        models.named(order.argument)
        await _set(order, ev.SettingsChanged(model=order.argument), resting=True)
    chosen = models.of(order.transcript.summary)
    window = chosen.context_window
    size = f"a window of {window:,} tokens" if window else "a window of unknown size"
    others = [other.name for other in models if other is not chosen]
    there = f" There are also: {', '.join(others)}." if others else ""
    return Said(f"{chosen.name}: {chosen.id}, {size}.{there}")


async def reason(order: Order) -> Said:
    if order.argument:
        wanted = "" if order.argument == effort.NONE else order.argument
        await _set(order, ev.SettingsChanged(effort=wanted))
    now = effort.chosen(order.transcript.settings, order.desk.engine.effort)
    return Said(f"Reasoning effort: {now or 'as the model does by itself'}.")


async def raw(order: Order) -> Said:
    shown = _switched(order, was=order.transcript.settings.show_reasoning is not False)
    await _set(order, ev.SettingsChanged(show_reasoning=shown))
    return Said(f"The model's reasoning is {'shown' if shown else 'hidden'}.")


async def creative(order: Order) -> Said:
    """A history with tool traffic is forgotten: a model that has no tools cannot read it. So it
    is switched on by its word alone, and shown without one."""
    if not order.argument:
        return Said(_WRITES if order.transcript.settings.creative else _WORKS)
    on = _switched(order, was=bool(order.transcript.settings.creative))
    change = ev.SettingsChanged(creative=on, correlation_id=order.command_id)
    records: list[ev.Event] = [change]
    if clears := on and any(m.role == "tool" for m in order.transcript.history):
        records.append(ev.ConversationSet(why="cleared", correlation_id=order.command_id))
    await order.workstream.change(*records, resting=True)
    if not on:
        return Said("The model has its tools again.")
    forgotten = " What was done with tools before is forgotten." if clears else ""
    return Said(f"The model writes, and has no tools.{forgotten}")


async def debug(order: Order) -> Said:
    on = _switched(order, was=bool(order.transcript.settings.debug))
    await _set(order, ev.SettingsChanged(debug=on))
    shown = "shown, with secrets masked" if on else "no longer shown"
    return Said(f"What is sent to the model and what comes back is {shown}.")


async def policy(order: Order) -> Said:
    return Said(_policy_in_words(await order.desk.host.policy(order.ws_id)))


async def leave(_order: Order) -> Said:
    return Said("Nothing ends here: only a terminal can be left.")


def _row(command: Command) -> str:
    """How it is written, and what it does; below each other where there is no room beside."""
    if len(command.usage) < _NAMES - 1:
        return f"{command.usage:{_NAMES}}{command.meaning}"
    return f"{command.usage}\n{'':{_NAMES}}{command.meaning}"


async def _set(order: Order, change: ev.SettingsChanged, *, resting: bool = False) -> None:
    named = msgspec.structs.replace(change, correlation_id=order.command_id)
    await order.workstream.change(named, resting=resting)


HANDLERS: Mapping[str, Handler] = {
    "/help": show_help,
    "/clear": clear,
    "/new": new,
    "/rewind": rewind,
    "/fork": fork,
    "/cancel": cancel,
    "/compact": compact,
    "/persona": persona,
    "/instructions": instructions,
    "/model": model,
    "/reason": reason,
    "/raw": raw,
    "/creative": creative,
    "/debug": debug,
    "/policy": policy,
    "/exit": leave,
}
"""Those that are done here; see `core.command_records` for the others."""


def _switched(order: Order, *, was: bool) -> bool:
    """What `on`, `off`, or nothing makes of a switch."""
    return order.argument == "on" if order.argument else not was


def _text(argument: str) -> str:
    return "" if argument == NOTHING else argument


def _policy_in_words(view: PolicyView) -> str:
    rows = [
        ("denied by a rule", view.deny),
        ("asked by a rule", view.ask),
        ("allowed by a rule", view.allow),
        ("unasked in the workspace", view.unasked),
        ("approved beforehand on this node", view.auto_approve_tools),
        ("permitted in this workstream", [granted.text for granted in view.grants]),
    ]
    said = [f"{name}: {', '.join(what)}" for name, what in rows if what]
    if view.auto_approve:
        said.append("Every call is approved on this node.")
    return "\n".join([*said, *([view.notice] if view.notice else [])])
