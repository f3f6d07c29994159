"""What may come next in the input: slash commands, files behind `@`, and on Tab earlier lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import History

from turnstone.cli.plain import one_line
from turnstone.cli.terminal.files import Files, written
from turnstone.core.commands import COMMANDS, named
from turnstone.core.errors import InvalidRequest

#: Entries of one menu.
MOST = 40

_COMMAND = re.compile(r"/\S*")
_ARGUMENT = re.compile(r"(/\S+)\s+(\S*)")
_FILE = re.compile(r'(?:^|[\s(\[])@(?:"(?P<quoted>[^"]*)|(?P<bare>[^\s"@]*))$')


class Completing(Completer):
    """`files` None: none are known. It may wait for files: run it in a thread."""

    def __init__(self, files: Files | None, history: History, *, commands: bool = True) -> None:
        self._files = files
        self._history = history
        self._commands = commands

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if self._files is not None and (found := _FILE.search(text)):
            return self._of_files(self._files, found)
        if self._commands and text.startswith("/") and "\n" not in text:
            return _of_commands(text)
        if event.completion_requested and text.strip():
            return self._earlier(text)
        return ()

    def _of_files(self, files: Files, found: re.Match[str]) -> Iterator[Completion]:
        typed = found["quoted"] if found["quoted"] is not None else found["bare"]
        length = len(typed) + (2 if found["quoted"] is not None else 1)
        for path in files.matching(typed, MOST):
            yield Completion(written(path), -length, display=one_line(path))

    def _earlier(self, text: str) -> Iterator[Completion]:
        lines = dict.fromkeys(reversed(self._history.get_strings()))
        fitting = [line for line in lines if line.startswith(text) and line != text]
        for line in fitting[:MOST]:
            yield Completion(line, -len(text), display=_short(line))


def _of_commands(text: str) -> Iterator[Completion]:
    if _COMMAND.fullmatch(text):
        for command in COMMANDS:
            for name in (command.name, *command.aliases):
                if name.startswith(text.lower()):
                    yield Completion(name, -len(text), display=name, display_meta=command.help)
    elif found := _ARGUMENT.fullmatch(text):
        for choice in _choices(found[1]):
            if choice.startswith(found[2].lower()):
                yield Completion(choice, -len(found[2]))


def _choices(name: str) -> list[str]:
    """What may be written behind a command, each meaning once; nothing behind what is none."""
    try:
        return list(dict.fromkeys(named(name).choices.values()))
    except InvalidRequest:
        return []


def _short(line: str) -> str:
    first = one_line(line)
    return first if len(first) <= 60 else f"{first[:59]}…"
