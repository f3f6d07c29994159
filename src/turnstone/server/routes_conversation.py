"""Handlers for what becomes of a conversation: wound back, forked, commanded."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from turnstone.api import endpoints as api
from turnstone.core.commands import COMMANDS
from turnstone.core.errors import EmptyMessage
from turnstone.server.routes import Call, Handler, Node, answer


async def rewind(node: Node, call: Call[api.RewindRequest]) -> Response:
    done = await node.host.rewind(call.body.ws_id, call.body.to)
    return answer(api.RewindReply(message=done.message))


async def fork(node: Node, call: Call[api.ForkRequest]) -> Response:
    info = await node.host.fork(call.body.ws_id, call.body.at)
    call.note(made=info.id)
    return answer(api.ForkReply(workstream=info))


async def command(node: Node, call: Call[api.CommandRequest]) -> Response:
    text = call.body.command.strip()
    if not text:  # before the workstream is looked for: contract, section 2.3
        raise EmptyMessage("The command is empty.", hint="/help lists the commands.")
    call.note(command=text.split()[0])  # behind it may stand what people wrote
    told = await node.host.command(
        call.body.ws_id, text, command_id=call.body.command_id, by=call.sender
    )
    if told.error:
        call.note(outcome=told.error)
    return answer(api.CommandReply(**msgspec.structs.asdict(told)))


async def commands(_node: Node, _call: Call[None]) -> Response:
    return answer(
        api.CommandsReply(
            commands=[
                api.CommandRow(
                    name=command.name,
                    usage=command.usage,
                    help=command.help,
                    arguments=command.arguments,
                    required=command.required,
                    choices=list(dict.fromkeys(command.choices.values())),
                    aliases=list(command.aliases),
                    where=command.where,
                )
                for command in COMMANDS
            ]
        )
    )


HANDLERS: Mapping[str, Handler] = {
    "rewind": rewind,
    "fork": fork,
    "command": command,
    "commands": commands,
}
