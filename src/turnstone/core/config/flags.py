"""The command-line options of each program, made from the table of settings.

The only module of the settings that imports click. It checks the form of a value, so that a
mistake is a usage error like any other; what a value means is the loader's matter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from turnstone.core.config.places import CONFIG_FLAG
from turnstone.core.config.report import shown
from turnstone.core.config.rows import SETTINGS
from turnstone.core.config.table import PROGRAMS, Setting, parameter
from turnstone.core.config.values import WrongValue, from_text

Command: TypeAlias = Callable[..., Any]


def options_for(program: str) -> Callable[[Command], Command]:
    """A decorator for the click command of `program`, one of PROGRAMS.

    It adds the options of the settings, and `--config`. The decorated function gets them all
    in one argument `flags`, as `load_settings` wants it; options of its own come as usual.
    """
    if program not in PROGRAMS:
        raise ValueError(f"There is no program {program!r} that has settings.")
    rows = [row for row in SETTINGS if row.flag_of(program)]
    names = ["config", *(parameter(row.flag) for row in rows)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_flags(*args: Any, **kwargs: Any) -> Any:
            flags = {name: kwargs.pop(name) for name in names}
            return command(*args, flags=flags, **kwargs)

        decorated: Command = config_option()(with_flags)
        for row in reversed(rows):  # click lists the last one first
            decorated = _option(row, program)(decorated)
        return decorated

    return decorate


def config_option() -> Callable[[Command], Command]:
    """The option that names the configuration file."""
    return click.option(
        CONFIG_FLAG,
        type=click.Path(),
        metavar="FILE",
        help="The configuration file.  [default: ~/.config/turnstone/config.toml]",
    )


def _option(row: Setting, program: str) -> Callable[[Command], Command]:
    name, text = parameter(row.flag), _help(row, program)
    if row.kind == "boolean":
        spelled = f"{row.flag}/--no-{row.flag.removeprefix('--')}"
        return click.option(spelled, name, default=None, help=text)
    if row.kind == "choice":
        choice = click.Choice(row.choices, case_sensitive=False)
        return click.option(row.flag, name, type=choice, help=text)
    kind = click.Path() if row.kind == "path" else str
    check = _checker(row)
    return click.option(row.flag, name, type=kind, metavar=metavar(row), callback=check, help=text)


def metavar(row: Setting) -> str:
    """What the argument of the setting's flag is called in help texts."""
    return row.metavar or {"list": "NAMES", "secret": "TEXT"}.get(row.kind, row.kind.upper())


def _help(row: Setting, program: str) -> str:
    default = row.default_of(program)
    if default in ("", (), False):
        return row.meaning
    return f"{row.meaning}  [default: {row.derived or shown(default).strip(chr(34))}]"


def _checker(row: Setting) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Refuses a text that the setting cannot have, and hands on any other as it is."""

    def check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        try:
            if value is not None:
                from_text(row, value, Path)
        except WrongValue as error:
            message = f"{error.given}; it must be {error.right}."
            raise click.BadParameter(message, ctx=ctx, param=param) from error
        return value

    return check
