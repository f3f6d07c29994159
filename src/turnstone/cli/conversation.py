"""One workstream at the terminal: a line is taken, its turn is shown, and again.

Types for the person and prints for the node. What a message, an answer or a stop means is
the node's affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from turnstone.cli.approve import Approver
from turnstone.cli.feed import Feed
from turnstone.cli.lines import EndOfInput, Interrupted, Lines
from turnstone.cli.render import Screen
from turnstone.cli.turn import Turns
from turnstone.core.commands import is_command
from turnstone.core.errors import InvalidRequest, TurnstoneError, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo


@dataclass(frozen=True, slots=True)
class GoTo:
    """Another workstream is to be talked to."""

    ws_id: str


Next: TypeAlias = Literal["stay", "leave"] | GoTo

#: The console comes with another part of Turnstone.
_NO_CLUSTER = "/cluster asks a console, and this version has none. /ws lists what is on this node."

Complain: TypeAlias = Callable[[TurnstoneError], None]


class Conversation:
    """`complain` tells of errors after which it goes on; `create` says how others are made."""

    def __init__(
        self,
        host: Host,
        feed: Feed,
        screen: Screen,
        lines: Lines,
        complain: Complain,
        create: CreateWorkstream,
    ) -> None:
        self._host = host
        self._create = create
        self._feed = feed
        self._screen = screen
        self._lines = lines
        self._complain = complain
        self._turns = Turns(host, feed, screen, Approver(host, feed, screen, lines), screen.show)

    async def run(self) -> Next:
        """Take lines until one of them leads out of this workstream.

        Raises TurnstoneError when the workstream can no longer be followed.
        """
        warned = False
        while True:
            try:
                line = (await self._lines.message("› ")).strip()
            except EndOfInput:
                return "leave"
            except Interrupted as interrupted:
                if warned and not interrupted.typed:
                    return "leave"
                warned = not interrupted.typed
                if warned:
                    self._screen.line("Press Ctrl-C once more to leave, or Ctrl-D.", "dim")
                continue
            warned = False
            going = await self._take(line) if line else "stay"
            if going != "stay":
                return going

    async def _take(self, line: str) -> Next:
        try:
            return await (self._command(line) if is_command(line) else self._message(line))
        except TurnstoneError as error:
            if self._feed.failed:
                raise
            self._complain(error)
            if isinstance(error, UnknownWorkstream):
                self._screen.line("/ws new begins another workstream.", "dim")
            return "stay"

    async def _command(self, line: str) -> Next:
        """Those of the terminal are carried out here, all others by the node."""
        name, _, argument = line.partition(" ")
        here = HERE.get(name.lower())
        if here is not None:
            return await here(self, argument.strip())
        reply = await self._host.command(self._feed.ws_id, line)
        self._screen.answer(reply, as_it_is=name.lower() == "/export")
        return GoTo(reply.ws_id) if reply.ws_id else "stay"

    async def _message(self, text: str) -> Next:
        if await self._turns.run(text) is None:
            self._screen.line("Left before the turn had stopped.", "yellow")
            return "leave"
        return "stay"

    async def workstreams(self, argument: str) -> Next:
        """`/ws`: see the table of commands."""
        word, _, rest = argument.partition(" ")
        match word.lower(), rest.strip():
            case (("" | "list"), ""):
                return await self._list()
            case "new", name:
                return await self._begin(name)
            case "close", number:
                return await self._close(number)
            case "rename", name if name:
                return await self._rename(name)
            case number, "":
                return GoTo((await self._numbered(number)).id)
        raise InvalidRequest(f"/ws knows no {argument!r}.", hint="/help ws says what it knows.")

    async def _list(self) -> Next:
        for number, info in enumerate(await self._host.list(), start=1):
            here = "*" if info.id == self._feed.ws_id else " "
            title = f" · {info.title}" if info.title else ""
            self._screen.line(f"{here} {number} {info.name} ({info.id}) {info.state}{title}")
        return "stay"

    async def _begin(self, name: str) -> GoTo:
        name = name or self._create.name
        wanted = msgspec.structs.replace(self._create, ws_id="", name=name)
        info = await self._host.create(wanted)
        self._screen.line(f"{info.name} ({info.id}), a new workstream.", "dim")
        return GoTo(info.id)

    async def _close(self, number: str) -> Next:
        ws_id = (await self._numbered(number)).id if number else self._feed.ws_id
        await self._host.close(ws_id)
        self._screen.line(f"Workstream {ws_id} is closed.", "dim")
        if ws_id != self._feed.ws_id:
            return "stay"
        others = await self._host.list()
        return GoTo(others[-1].id) if others else await self._begin("")

    async def _rename(self, name: str) -> Next:
        info = await self._host.rename(self._feed.ws_id, name)
        self._screen.line(f"This workstream is called {info.name}.", "dim")
        return "stay"

    async def _numbered(self, number: str) -> WorkstreamInfo:
        """The workstream of this number in the list, or of this id."""
        infos = await self._host.list()
        for place, info in enumerate(infos, start=1):
            if number in (str(place), info.id):
                return info
        raise InvalidRequest(f"There is no workstream {number!r}.", hint="/ws lists them.")

    async def cluster(self, _argument: str) -> Next:
        self._screen.line(_NO_CLUSTER, "yellow")
        return "stay"

    async def leave(self, _argument: str) -> Next:
        return "leave"


HERE: Mapping[str, Callable[[Conversation, str], Awaitable[Next]]] = {
    "/ws": Conversation.workstreams,
    "/cluster": Conversation.cluster,
    "/exit": Conversation.leave,
    "/quit": Conversation.leave,
    "/q": Conversation.leave,
}
"""The commands that the terminal carries out itself."""
