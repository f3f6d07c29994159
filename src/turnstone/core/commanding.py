"""Carries out slash commands: read by the table, done by a function of its own, and answered.

Whatever goes wrong with a command is its reply, in a sentence; readers of the workstream are
told the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from turnstone.core import command_handlers, command_records
from turnstone.core import events as ev
from turnstone.core.command_order import Desk, Handler, Order, Said
from turnstone.core.commands import Command, parse
from turnstone.core.errors import EmptyMessage, InvalidRequest, TurnstoneError
from turnstone.core.host import CommandReply

#: What each command of the table does that works everywhere.
HANDLERS: Mapping[str, Handler] = {**command_handlers.HANDLERS, **command_records.HANDLERS}


class Commander:
    """One per node."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def command(self, ws_id: str, text: str, command_id: str, by: str) -> CommandReply:
        """`Host.command`."""
        if not text.strip():
            raise EmptyMessage("The command is empty.", hint="/help lists the commands.")
        command_id = command_id or self._desk.engine.ids.correlation()
        async with self._desk.manager.use(ws_id) as workstream:
            try:
                parsed = parse(text)
                order = Order(self._desk, ws_id, workstream, parsed.argument, command_id, by)
                said = await self._carried_out(parsed.command, order)
            except TurnstoneError as error:
                message = str(error)
                workstream.tell(ev.Error(message=message, code=error.code), command_id)
                return CommandReply(text=message, error=error.code, command_id=command_id)
            workstream.tell(ev.Info(message=said.told or said.text), command_id)
            return CommandReply(text=said.text, ws_id=said.ws_id, command_id=command_id)

    async def _carried_out(self, command: Command, order: Order) -> Said:
        carry_out = HANDLERS.get(command.name)
        if carry_out is None:
            raise InvalidRequest(f"{command.name} works in the terminal only.")
        if order.command_id in order.workstream.transcript.commands:
            return Said("Done already.")
        return await carry_out(order)
