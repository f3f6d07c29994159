"""`turnstone sessions`: listed, searched, shown, exported, deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

import click

from turnstone.core.config import Settings
from turnstone.core.config.flags import options_for
from turnstone.core.host import ExportFormat
from turnstone.main.keeping import FORMAT, TARGET, erased, exported
from turnstone.main.running import Flags, run, say, settings_of

_PROGRAM = "turnstone sessions"
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


@click.group("sessions")
def sessions() -> None:
    """List, search, show, export and delete sessions."""


@sessions.command("list")
@options_for(_PROGRAM)
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    default=20,
    help="The most that are listed.  [default: 20]",
)
@click.option("--after", default="", metavar="SESSION", help="Those that are older than this one.")
@_AS_JSON
def list_(flags: Flags, limit: int, after: str, as_json: bool) -> None:
    """The newest sessions, open and closed, of every node of the store."""
    _told(flags, lambda work, settings: work.listed(settings, limit, after, as_json=as_json))


@sessions.command()
@options_for(_PROGRAM)
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=20,
    help="The most that are shown.  [default: 20]",
)
@click.option("--in", "session", default="", metavar="SESSION", help="In this session alone.")
@_AS_JSON
def search(flags: Flags, words: tuple[str, ...], limit: int, session: str, as_json: bool) -> None:
    """Where all of these words were said, in whatever case."""
    query = " ".join(words)
    _told(
        flags,
        lambda work, settings: work.searched(settings, query, limit, session, as_json=as_json),
    )


@sessions.command()
@options_for(_PROGRAM)
@click.argument("session")
@_AS_JSON
def show(flags: Flags, session: str, as_json: bool) -> None:
    """What was said in a session, named by its alias, its id or the beginning of it."""
    _told(flags, lambda work, settings: work.shown(settings, session, as_json=as_json))


@sessions.command()
@options_for(_PROGRAM)
@click.argument("session")
@FORMAT
@TARGET
def export(flags: Flags, session: str, form: ExportFormat, target: str | None) -> None:
    """Print a session as a file that `turnstone import` takes."""
    sys.exit(run(exported(_PROGRAM, flags, session, form, target)))


@sessions.command()
@options_for("turnstone erase")
@click.argument("session")
@click.option("--force", is_flag=True, help="Stop its turn first, if it works.")
@click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")
def delete(flags: Flags, session: str, force: bool, yes: bool) -> None:
    """Delete a session with all its records, for good: by its alias or whole id."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked whether this is meant: say so with --yes.")
        click.confirm(f"Delete session {session} for good?", abort=True)
    sys.exit(run(erased(flags, session, force=force)))


def _told(flags: Flags, work: Callable[[ModuleType, Settings], Coroutine[Any, Any, str]]) -> None:
    async def done() -> int:
        from turnstone.cli import sessions as looking

        say(await work(looking, settings_of(_PROGRAM, flags)))
        return 0

    sys.exit(run(done()))
