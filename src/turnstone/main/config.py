"""`turnstone config`: the settings as they are, where each is from, and what is wrong with them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from turnstone.cli.tables import json_of, table
from turnstone.core.config import Settings, describe, load_settings
from turnstone.core.config.flags import config_option
from turnstone.core.config.places import Places
from turnstone.core.config.table import PROGRAMS
from turnstone.core.errors import ConfigurationError, TurnstoneError
from turnstone.main.running import told

_PROGRAM = click.option(
    "--program",
    type=click.Choice(PROGRAMS),
    default="turnstone up",
    help="Whose settings and defaults.  [default: turnstone up]",
)


@click.group("config")
def config() -> None:
    """Show the settings, where they come from, and what is wrong with them."""


@config.command()
@config_option()
@_PROGRAM
@click.option("--sources", is_flag=True, help="Where each value comes from.")
@click.option("--all", "every", is_flag=True, help="Those too that the program does not use.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def show(config: str | None, program: str, sources: bool, every: bool, as_json: bool) -> None:
    """The settings of a program as they are now; secrets are masked."""
    settings = _load(config, program)
    rows = describe(settings, every=every)
    if as_json:
        click.echo(json_of(msgspec.to_builtins(rows)))
    elif sources:
        heads = ("setting", "value", "source")
        click.echo(table(heads, [(row.name, row.value, str(row.source)) for row in rows]))
    else:
        click.echo(table(("setting", "value"), [(row.name, row.value) for row in rows]))


@config.command()
@config_option()
def path(config: str | None) -> None:
    """Where the configuration file is, or would be."""
    try:
        click.echo(_place(config))
    except ConfigurationError as error:
        sys.exit(told(error))


@config.command()
@config_option()
@_PROGRAM
def check(config: str | None, program: str) -> None:
    """Say everything that is wrong with file and environment; ends with 1 if something is."""
    settings = _load(config, program)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}")
    where = f"The settings of {settings.file}" if settings.file else "The settings (without a file)"
    click.echo(f"{where} are in order." if not settings.warnings else f"{where} can be used.")


def _load(config: str | None, program: str) -> Settings:
    try:
        return load_settings(program, flags={"config": config}, env=os.environ)
    except TurnstoneError as error:
        sys.exit(told(error))


def _place(config: str | None) -> Path:
    places = Places(os.environ, None, Path.cwd())
    named = places.named_file(config)
    found = named[0] if named else places.usual_file()
    if found is None:
        raise ConfigurationError(
            "There is no place for a configuration file: HOME is not set.",
            hint="Name one with --config, or the variable TURNSTONE_CONFIG.",
        )
    return found
