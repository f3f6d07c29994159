"""What every command does around its work: read the settings, run it to an exit code, and tell in
a sentence what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from turnstone.cli.plain import plain
from turnstone.core.config import Settings, load_settings
from turnstone.core.errors import StoreError, TurnstoneError
from turnstone.main import crash

if TYPE_CHECKING:
    from turnstone.cli.here import Cluster

INTERRUPTED = 130

#: Settings of 0.2 that are taken, and that nothing acts on yet; `docs/configuration.md` says so.
_NO_EFFECT_YET = ("bridge.heartbeat_ttl",)

Flags: TypeAlias = Mapping[str, object]


def settings_of(program: str, flags: Flags) -> Settings:
    """The settings of a program; its warnings are told. Raises ConfigurationError, StoreError."""
    settings = load_settings(program, flags=flags, env=os.environ)
    crash.know(settings)
    for warning in settings.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)
    for name in _NO_EFFECT_YET:
        if settings.source(name).kind == "command line":  # a file of 0.2 may well have them all
            click.echo(f"warning: {name} has no effect in this version.", err=True)
    with contextlib.suppress(PermissionError):  # what it is, is told where it is opened
        if settings.store.path.is_dir():
            raise StoreError(
                f"The store {settings.store.path} is a directory.", hint="Name a file with --store."
            )
    return settings


def cluster_of(settings: Settings) -> Cluster:
    """What answers `/cluster` in a terminal with these settings."""

    async def told_of(argument: str) -> str:
        from turnstone.cli.cluster import answer  # only here: it loads the client of Redis

        return await answer(settings, argument.split())

    return told_of


def say(line: str) -> None:
    """On stdout, at once."""
    click.echo(line)
    sys.stdout.flush()


def run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program to its exit code; what went wrong is told in a sentence."""
    from turnstone.core.logs import log_as

    log_as("text")
    try:
        return asyncio.run(program)
    except TurnstoneError as error:
        return told(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def told(error: TurnstoneError) -> int:
    """Say it on stderr, with what to do; the exit code for it. Names of files may be in it, which
    can hold anything."""
    click.echo(f"error: {plain(error.message)}", err=True)
    if error.hint:
        click.echo(f"  {plain(error.hint)}", err=True)
    return 1
