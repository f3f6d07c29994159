"""One workstream at the terminal: a line is taken, its turn is shown, and again.

Types for the person and prints for the node. What a message, an answer or a stop means is
the node's affair.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.cli.approve import Approver
from turnstone.cli.feed import Feed
from turnstone.cli.lines import EndOfInput, Interrupted, Lines
from turnstone.cli.render import Screen
from turnstone.cli.turn import Turns
from turnstone.core.errors import TurnstoneError, UnknownWorkstream
from turnstone.core.host import Host

Next: TypeAlias = Literal["stay", "new", "leave"]

_OLD_ONE = "The old one ({}) stays on record; the terminal cannot go back to it yet."

Complain: TypeAlias = Callable[[TurnstoneError], None]


class Conversation:
    """`complain` tells of errors after which it goes on."""

    def __init__(
        self, host: Host, feed: Feed, screen: Screen, lines: Lines, complain: Complain
    ) -> None:
        self._host = host
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
            return await (self._command(line) if line.startswith("/") else self._message(line))
        except TurnstoneError as error:
            if self._feed.failed:
                raise
            self._complain(error)
            if isinstance(error, UnknownWorkstream):
                self._screen.line("/new begins another workstream.", "dim")
            return "stay"

    async def _command(self, line: str) -> Next:
        name = line.split(maxsplit=1)[0].lower()
        command = COMMANDS.get(name)
        if command is None:
            self._screen.line(f"There is no command {name}. /help lists those there are.", "yellow")
            return "stay"
        return await command.run(self)

    async def _message(self, text: str) -> Next:
        if await self._turns.run(text) is None:
            self._screen.line("Left before the turn had stopped.", "yellow")
            return "leave"
        return "stay"

    async def help(self) -> Next:
        self._screen.table((name, command.meaning) for name, command in COMMANDS.items())
        return "stay"

    async def cancel(self) -> Next:
        """No turn of ours runs while a line is taken; one that somebody else began may."""
        stopped = await self._host.cancel(self._feed.ws_id)
        self._screen.line("Stopped." if stopped else "No turn is running.", "dim")
        return "stay"

    async def new(self) -> Next:
        self._screen.line(f"A new workstream. {_OLD_ONE.format(self._feed.ws_id)}", "dim")
        return "new"

    async def leave(self) -> Next:
        return "leave"


@dataclass(frozen=True, slots=True)
class Command:
    meaning: str
    run: Callable[[Conversation], Awaitable[Next]]


COMMANDS: Mapping[str, Command] = {
    "/help": Command("this list", Conversation.help),
    "/new": Command(
        "begin a new workstream; there is no way back to the old one yet", Conversation.new
    ),
    "/cancel": Command("stop the turn that runs in this workstream", Conversation.cancel),
    "/exit": Command("leave (also Ctrl-D)", Conversation.leave),
    "/quit": Command("leave", Conversation.leave),
    "/q": Command("leave", Conversation.leave),
}
"""The slash commands: the only list of them."""
