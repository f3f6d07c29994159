"""What is kept: `turnstone erase`, `backup`, `restore`, `import` and `export`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from turnstone.core.config.flags import options_for
from turnstone.core.host import ExportFormat
from turnstone.main.running import Flags, run, say, settings_of
from turnstone.main.tree import given

#: Parameters of `turnstone erase` that only a workstream needs.
_OF_A_WORKSTREAM = ("force", "host", "port", "auth_token")

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    help="JSON, or Markdown that people can read.  [default: json]",
)
TARGET = click.option("-o", "target", type=click.Path(), metavar="FILE", help="Write it there.")


@click.command()
@options_for("turnstone erase")
@click.argument("name", metavar="[SESSION]", required=False)
@click.option("--force", is_flag=True, help="Stop its turn first, if it works.")
@click.option("--compact", is_flag=True, help="Write the file of the store anew, without a gap.")
@click.pass_context
def erase(ctx: click.Context, flags: Flags, name: str | None, force: bool, compact: bool) -> None:
    """Delete a session with all its records, for good: by its alias or whole id."""
    if not (name or compact):
        raise click.UsageError("Name a session, or give --compact.")
    for flag in () if name else given(ctx, _OF_A_WORKSTREAM):
        raise click.UsageError(f"{flag} is for a workstream, and none is named.")
    sys.exit(run(erased(flags, name, force=force, compact=compact)))


@click.command()
@options_for("turnstone backup")
@click.argument("file", type=click.Path())
def backup(flags: Flags, file: str) -> None:
    """Copy the store into FILE, while it is in use too."""
    sys.exit(run(_copy("turnstone backup", flags, file)))


@click.command()
@options_for("turnstone restore")
@click.argument("file", type=click.Path())
def restore(flags: Flags, file: str) -> None:
    """Put a backup into the place of the store, which is moved aside."""
    sys.exit(run(_copy("turnstone restore", flags, file)))


@click.command("import")
@options_for("turnstone import")
@click.argument("file", type=click.Path())
def import_(flags: Flags, file: str) -> None:
    """Take over the sessions and memories of a .turnstone.db of 0.2, or an exported session."""
    sys.exit(run(_import(flags, file)))


@click.command()
@options_for("turnstone export")
@click.argument("session")
@FORMAT
@TARGET
def export(flags: Flags, session: str, form: ExportFormat, target: str | None) -> None:
    """Print a session, named by its alias, its id or the beginning of it, as a file."""
    sys.exit(run(exported("turnstone export", flags, session, form, target)))


async def erased(flags: Flags, name: str | None, *, force: bool, compact: bool = False) -> int:
    """Erase this session, or write the store anew, or both."""
    from turnstone.cli import erase as erasing

    settings = settings_of("turnstone erase", flags)
    if name:
        say(await erasing.erase(settings, name, force=force))
    if compact:
        say(await erasing.compact(settings))
    return 0


async def exported(
    program: str, flags: Flags, session: str, form: ExportFormat, target: str | None
) -> int:
    """Print this session, or write it to the file `target`."""
    from turnstone.cli.import_ import give_out

    where = None if target is None else Path(target)
    say(await give_out(settings_of(program, flags), session, form, where))
    return 0


async def _copy(program: str, flags: Flags, file: str) -> int:
    from turnstone.cli import backup as copies

    work = copies.back_up if program == "turnstone backup" else copies.restore
    say(await asyncio.to_thread(work, settings_of(program, flags), Path(file)))
    return 0


async def _import(flags: Flags, file: str) -> int:
    from turnstone.cli.import_ import take_in

    say(await take_in(settings_of("turnstone import", flags), Path(file)))
    return 0
