"""A person at the terminal front end, for tests: strikes keys, sees what is printed and what is
alive. No terminal: the program draws for one of 100 columns and 40 rows that keeps everything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prompt_toolkit.application import AppSession, create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from turnstone.cli.terminal.app import run_app
from turnstone.cli.terminal.compose import Composing
from turnstone.cli.terminal.printed import Printed
from turnstone.cli.terminal.theme import Theme
from turnstone.core.host import Host

#: Seconds for something to appear; more is a failure.
PATIENCE = 60.0

CTRL_C, CTRL_D, ENTER, ALT_ENTER, TAB = "\x03", "\x04", "\r", "\x1b\r", "\t"

#: The last line of a question that may be answered, and a word of the input's hint when nothing
#: goes on.
KEYS, IDLE = "y once", "a message"

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Paper(DummyOutput):
    """A terminal that keeps what is printed, and how often it rang, and its title."""

    def __init__(self) -> None:
        self.text = ""
        self.bells = 0
        self.titles: list[str] = []

    def write_raw(self, data: str) -> None:
        self.text += data

    def bell(self) -> None:
        self.bells += 1

    def set_title(self, title: str) -> None:
        self.titles.append(title)

    def get_size(self) -> Size:
        return Size(rows=40, columns=100)


class Person:
    """`sees` waits for what is printed, behind what it has found before; `finds` for what is
    alive now: the end of the answer, the question, the input, the status bar."""

    def __init__(
        self, keys: PipeInput, paper: Paper, session: AppSession, leaving: asyncio.Task[int]
    ) -> None:
        self.paper = paper
        self._keys = keys
        self._session = session
        self._leaving = leaving
        self._read = 0

    @property
    def printed(self) -> str:
        return _ESCAPES.sub("", self.paper.text).replace("\r\n", "\n")

    @property
    def alive(self) -> str:
        app = self._session.app
        screen = app.renderer.last_rendered_screen if app is not None else None
        if screen is None:
            return ""
        rows = (screen.data_buffer[y] for y in range(screen.height))
        return "\n".join(
            "".join(row[x].char for x in range(max(row, default=-1) + 1)).rstrip() for row in rows
        )

    def strikes(self, keys: str) -> None:
        self._keys.send_text(keys)

    async def types(self, text: str) -> None:
        """Into the input, until it stands there."""
        self.strikes(text)
        await self.finds(text.splitlines()[-1])

    async def says(self, message: str) -> None:
        """A message, or a command: typed, and entered."""
        await self.types(message)
        self.strikes(ENTER)

    async def answers(self, key: str) -> None:
        """To a question, when it takes answers."""
        await self.finds(KEYS)
        self.strikes(key)

    async def sees(self, text: str) -> str:
        """Waits until this is printed; returns what stood before it since the last time."""
        async with asyncio.timeout(PATIENCE):
            while (found := self.printed.find(text, self._read)) < 0:
                assert not self._leaving.done(), f"left without {text!r}:\n{self.printed}"
                await asyncio.sleep(0.005)
        before = self.printed[self._read : found]
        self._read = found + len(text)
        return before

    async def finds(self, text: str) -> str:
        """Waits until this is alive; returns all that is."""
        async with asyncio.timeout(PATIENCE):
            while text not in (alive := self.alive):
                assert not self._leaving.done(), f"left without {text!r}:\n{self.printed}"
                await asyncio.sleep(0.005)
        return alive

    async def misses(self, text: str) -> str:
        """Waits until this is alive no more."""
        async with asyncio.timeout(PATIENCE):
            while text in (alive := self.alive):
                await asyncio.sleep(0.005)
        return alive

    async def leaves(self) -> int:
        """Waits for the end; returns the exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self._leaving


@asynccontextmanager
async def at_front(
    host: Host, first: Sequence[Printed] = (), **arguments: Any
) -> AsyncIterator[Person]:
    """The front end of this host, and the person before it."""
    paper = Paper()
    arguments.setdefault("compose", Composing(None, InMemoryHistory()))
    arguments.setdefault("theme", Theme(colours=False))
    with create_pipe_input() as keys, create_app_session(keys, paper) as session:
        leaving = asyncio.create_task(run_app(host, first, **arguments))
        person = Person(keys, paper, session, leaving)
        try:
            await person.finds("›")
            yield person
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
