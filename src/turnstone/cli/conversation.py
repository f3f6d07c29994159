"""One workstream at the terminal: a line is taken, its turn is shown, and again.

Types for the person and prints for the node. What a message, an answer or a stop means is
the node's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.cli.approve import Approver
from turnstone.cli.feed import Feed
from turnstone.cli.here import HERE, Cluster, Here
from turnstone.cli.lines import EndOfInput, Interrupted, Lines
from turnstone.cli.render import Screen
from turnstone.cli.turn import Turns
from turnstone.core.commands import is_command
from turnstone.core.errors import TurnstoneError, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host


@dataclass(frozen=True, slots=True)
class GoTo:
    """Another workstream is to be talked to."""

    ws_id: str


Next: TypeAlias = Literal["stay", "leave"] | GoTo

Complain: TypeAlias = Callable[[TurnstoneError], None]


class Conversation:
    """`complain` tells of errors after which it goes on; `create` says how others are made,
    `cluster` answers `/cluster`."""

    def __init__(
        self,
        host: Host,
        feed: Feed,
        screen: Screen,
        lines: Lines,
        complain: Complain,
        create: CreateWorkstream,
        cluster: Cluster | None = None,
    ) -> None:
        self._host = host
        self._going: Next = "stay"  # what a command of the terminal leads to
        self._here = Here(host, self, create, cluster)
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
            await here(self._here, argument.strip())
            return self._going
        reply = await self._host.command(self._feed.ws_id, line)
        self._screen.answer(reply, as_it_is=name.lower() == "/export")
        return GoTo(reply.ws_id) if reply.ws_id else "stay"

    async def _message(self, text: str) -> Next:
        if await self._turns.run(text) is None:
            self._screen.line("Left before the turn had stopped.", "yellow")
            return "leave"
        return "stay"

    # `here.Front`

    @property
    def ws_id(self) -> str:
        return self._feed.ws_id

    def tell(self, line: str) -> None:
        self._screen.line(line)

    async def go_to(self, ws_id: str) -> None:
        self._going = GoTo(ws_id)

    def leave(self) -> None:
        self._going = "leave"
