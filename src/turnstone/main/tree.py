"""Commands that are loaded when they are called, and the last place where an error is caught.

Knows click and no command. A group tells what it has from its table alone: neither `--help` nor a
shell that completes a word loads a command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

#: Below which the table's places are.
_HERE = "turnstone.main"


class Caught:
    """What any of our programs does with an error that nobody expected: a report, and a sentence.

    For a click command, to its left.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)  # type: ignore[misc]  # of the command beside it
        except Exception as error:
            from turnstone.main.crash import report

            click.echo(report(error), err=True)
            sys.exit(1)


class Program(Caught, click.Command):
    """A program without commands of its own."""


class Tree(Caught, click.Group):
    """`lazy`: by the name of a command, its module and name there, and a sentence about it."""

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(commands=_Loading(lazy), **kwargs)
        self._about = {name: about for name, (_, about) in lazy.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._about)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._about.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=about)
            for name, about in self._about.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


class _Loading(MutableMapping[str, click.Command]):
    """Commands by name, each imported when it is first looked up."""

    def __init__(self, lazy: Mapping[str, tuple[str, str]]) -> None:
        self._places = {name: place for name, (place, _) in lazy.items()}
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, _, attribute = self._places[name].partition(":")
            found: click.Command = getattr(import_module(f"{_HERE}.{module}"), attribute)
            self._loaded[name] = found
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._places.setdefault(name, "")
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def given(ctx: click.Context, names: Iterable[click.Parameter | str]) -> Iterator[str]:
    """The flags among these that stand on the command line, as they are spelled."""
    wanted = {name if isinstance(name, str) else name.name for name in names}
    for option in ctx.command.params:
        source = ctx.get_parameter_source(option.name or "")
        if option.name in wanted and source is click.core.ParameterSource.COMMANDLINE:
            yield option.opts[0]
