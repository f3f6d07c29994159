"""Lines that a person types. The only file that knows prompt_toolkit; it prints nothing."""

from __future__ import annotations

import termios
from contextlib import nullcontext
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.output import create_output
from prompt_toolkit.patch_stdout import patch_stdout

from turnstone.cli.plain import sendable


class Interrupted(Exception):
    """Ctrl-C. `typed` is what stood in the line."""

    def __init__(self, typed: str) -> None:
        super().__init__(typed)
        self.typed = typed


class EndOfInput(Exception):
    """Ctrl-D in an empty line, or no terminal any more."""


class Lines:
    """Asks for one line at a time: on stdout, or on the terminal `on`."""

    def __init__(self, on: TextIO | None = None) -> None:
        output = create_output(on) if on is not None else None
        self._own_stdout = on is None
        self._messages: PromptSession[str] = PromptSession(
            history=InMemoryHistory(), output=output, reserve_space_for_menu=0
        )
        self._answers: PromptSession[str] = PromptSession(output=output, reserve_space_for_menu=0)

    async def message(self, prompt: str) -> str:
        """A message to the model. Raises Interrupted, EndOfInput."""
        return await self._line(self._messages, prompt)

    async def answer(self, prompt: str) -> str:
        """An answer to a question that has just been shown. Raises Interrupted, EndOfInput.

        Keys struck before it was shown do not count: they were meant for something else.
        """
        _forget_keys(self._answers.input)
        return await self._line(self._answers, prompt)

    async def _line(self, session: PromptSession[str], prompt: str) -> str:
        """What is printed meanwhile goes above the line, not into it."""
        try:
            with patch_stdout(raw=True) if self._own_stdout else nullcontext():
                return sendable(await session.prompt_async(prompt, handle_sigint=False))
        except KeyboardInterrupt:
            raise Interrupted(session.default_buffer.text) from None
        except EOFError:
            raise EndOfInput from None


def _forget_keys(source: Input) -> None:
    try:
        termios.tcflush(source.fileno(), termios.TCIFLUSH)
    except (termios.error, NotImplementedError):
        pass  # a pipe, or no descriptor at all: what it holds is read and dropped below
    source.read_keys()
    clear_typeahead(source)
