"""A person at a terminal, for tests: types keys, and sees what is on the screen."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from turnstone.cli.chat import chat
from turnstone.cli.lines import Lines
from turnstone.cli.render import Screen, make_console
from turnstone.core.host import Host

#: Seconds for something to appear; more is a failure.
PATIENCE = 60.0

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"

#: What stands on the screen while a message, and while an answer to a question, is awaited.
PROMPT, ASKED = "› ", "allow? "


class Told(Lines):
    """Lines whose prompts are put on paper, at the moment from which keys count."""

    def __init__(self, paper: io.StringIO) -> None:
        super().__init__()
        self._paper = paper

    async def _line(self, session: PromptSession[str], prompt: str) -> str:
        self._paper.write(prompt)
        return await super()._line(session, prompt)


class Person:
    """`screen` is everything printed so far. `sees` looks behind what it has found before."""

    def __init__(self, keys: PipeInput, paper: io.StringIO, leaving: asyncio.Task[int]) -> None:
        self._keys = keys
        self._paper = paper
        self._leaving = leaving
        self._read = 0

    @property
    def screen(self) -> str:
        return self._paper.getvalue()

    def types(self, text: str) -> None:
        self._keys.send_text(text)

    async def says(self, message: str) -> None:
        """Types a line when the prompt is there."""
        await self.sees(PROMPT)
        self.types(message + ENTER)

    async def answers(self, reply: str) -> None:
        """Types an answer when a question is there."""
        await self.sees(ASKED)
        self.types(reply + ENTER)

    async def sees(self, text: str) -> str:
        """Waits until this is printed; returns what stood before it since the last time."""
        async with asyncio.timeout(PATIENCE):
            while (found := self.screen.find(text, self._read)) < 0:
                assert not self._leaving.done(), f"left without {text!r}:\n{self.screen}"
                await asyncio.sleep(0.005)
        before = self.screen[self._read : found]
        self._read = found + len(text)
        return before

    async def leaves(self) -> int:
        """Waits for the end; returns the exit code."""
        async with asyncio.timeout(PATIENCE):
            return await self._leaving


@asynccontextmanager
async def at_terminal(host: Host, **arguments: Any) -> AsyncIterator[Person]:
    """A chat with this host, and the person who has it."""
    paper = io.StringIO()
    with create_pipe_input() as keys, create_app_session(keys, DummyOutput()):
        talking = chat(host, Screen(make_console(paper)), Told(paper), **arguments)
        leaving = asyncio.create_task(talking)
        try:
            yield Person(keys, paper, leaving)
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
