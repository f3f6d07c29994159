"""The console scripts: parse the command line, start a program, print errors, exit.

The top layer, and a thin one: `turnstone` (chat, `up`), `turnstone-server` and
`turnstone-bridge`. What a program needs is imported when it runs, so that `--help` answers at
once. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 needs an approval that nobody can give,
130 stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from turnstone import __version__
from turnstone.cli.queue import queue_commands
from turnstone.core.config import Settings, load_settings
from turnstone.core.config.flags import options_for
from turnstone.core.errors import StoreError, TurnstoneError
from turnstone.core.host import ExportFormat
from turnstone.core.logs import log_as, mask_logs
from turnstone.core.masking import Masking, secrets_of

if TYPE_CHECKING:
    from turnstone.core.local_host import Left

_INTERRUPTED = 130

#: Settings of 0.2 that are taken, and that nothing acts on yet; `docs/configuration.md` says so.
_NO_EFFECT_YET = ("bridge.heartbeat_ttl",)

_LEFT_BEHIND = "{count} conversation(s) of earlier sessions were cut off in a turn:"
_LEFT_TO_DO = (
    "`turnstone up` takes them up, at what they were doing; `turnstone erase ID --force` drops one."
)

#: Conversations that are named, and characters of a message that are shown of each.
_LEFT_TOLD, _LEFT_WIDTH = 3, 60

#: Parameters of `turnstone erase` that only a workstream needs.
_OF_A_WORKSTREAM = ("force", "host", "port", "auth_token")

Flags = Mapping[str, object]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@options_for("turnstone")
@click.option("-p", "--print", "prompt", metavar="TEXT", help="Answer this one message, and end.")
@click.option("--resume", metavar="SESSION", help="Go on with a session: alias, id, or beginning.")
@click.option("--json", "as_json", is_flag=True, help="With -p: one event a line, as JSON.")
@click.version_option(__version__, message="turnstone %(version)s")
@click.pass_context
def turnstone(
    ctx: click.Context, flags: Flags, prompt: str | None, resume: str | None, as_json: bool
) -> None:
    """Talk to an agent that works on this machine with tools."""
    if ctx.invoked_subcommand is None:
        sys.exit(_run(_chat(flags, prompt, resume, as_json)))
    for given in _given(ctx, ctx.command.params):
        raise click.UsageError(
            f"{given} stands before `{ctx.invoked_subcommand}`, where it means nothing: put it "
            "behind, if that takes it."
        )


@turnstone.command()
@options_for("turnstone up")
def up(flags: Flags) -> None:
    """Run Turnstone on this machine: a node and its page, in one process."""
    sys.exit(_run(_serve("turnstone up", flags, or_practice=True)))


@turnstone.command()
@options_for("turnstone erase")
@click.argument("name", metavar="[SESSION]", required=False)
@click.option("--force", is_flag=True, help="Stop its turn first, if it works.")
@click.option("--compact", is_flag=True, help="Write the file of the store anew, without a gap.")
@click.pass_context
def erase(ctx: click.Context, flags: Flags, name: str | None, force: bool, compact: bool) -> None:
    """Delete a session with all its records, for good: by its alias or whole id."""
    if not (name or compact):
        raise click.UsageError("Name a session, or give --compact.")
    for given in () if name else _given(ctx, _OF_A_WORKSTREAM):
        raise click.UsageError(f"{given} is for a workstream, and none is named.")
    sys.exit(_run(_erase(flags, name, force=force, compact=compact)))


@turnstone.command()
@options_for("turnstone backup")
@click.argument("file", type=click.Path())
def backup(flags: Flags, file: str) -> None:
    """Copy the store into FILE, while it is in use too."""
    sys.exit(_run(_copy("turnstone backup", flags, file)))


@turnstone.command()
@options_for("turnstone restore")
@click.argument("file", type=click.Path())
def restore(flags: Flags, file: str) -> None:
    """Put a backup into the place of the store, which is moved aside."""
    sys.exit(_run(_copy("turnstone restore", flags, file)))


@turnstone.command()
@options_for("turnstone up")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def doctor(flags: Flags, as_json: bool) -> None:
    """Say what this machine can do for `turnstone up`, and what is in the way."""
    sys.exit(_run(_doctor(flags, as_json=as_json)))


@turnstone.command("import")
@options_for("turnstone import")
@click.argument("file", type=click.Path())
def import_(flags: Flags, file: str) -> None:
    """Take over the sessions and memories of a .turnstone.db of 0.2, or an exported session."""
    sys.exit(_run(_import(flags, file)))


@turnstone.command()
@options_for("turnstone export")
@click.argument("session")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "markdown"]),
    default="json",
    help="JSON, or Markdown that people can read.  [default: json]",
)
@click.option("-o", "target", type=click.Path(), metavar="FILE", help="Write it there.")
def export(flags: Flags, session: str, form: ExportFormat, target: str | None) -> None:
    """Print a session, named by its alias, its id or the beginning of it, as a file."""
    sys.exit(_run(_export(flags, session, form, target)))


@turnstone.group()
def token() -> None:
    """Tokens for other people and programs, each with a name and a role."""


@token.command("new")
@options_for("turnstone token")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "approve", "full"]),
    default="read",
    help="What it may do; each includes those before it.  [default: read]",
)
def token_new(flags: Flags, name: str, role: Literal["read", "approve", "full"]) -> None:
    """Make a token, and print it this once. Nodes of this store take it at once."""
    sys.exit(_run(_token(flags, lambda tokens, settings: tokens.new(settings, name, role))))


@token.command("list")
@options_for("turnstone token")
def token_list(flags: Flags) -> None:
    """List the tokens that were made: name, role, day."""
    sys.exit(_run(_token(flags, lambda tokens, settings: tokens.listed(settings))))


@token.command("revoke")
@options_for("turnstone token")
@click.argument("name")
def token_revoke(flags: Flags, name: str) -> None:
    """Take a token back: who shows it is refused from now on."""
    sys.exit(_run(_token(flags, lambda tokens, settings: tokens.revoke(settings, name))))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@options_for("turnstone-server")
@click.version_option(__version__, message="turnstone-server %(version)s")
def server(flags: Flags) -> None:
    """Run a node with its HTTP API."""
    sys.exit(_run(_serve("turnstone-server", flags)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@options_for("turnstone-bridge")
@click.version_option(__version__, message="turnstone-bridge %(version)s")
def bridge(flags: Flags) -> None:
    """Take work from the Redis queue for a node that runs beside this."""
    sys.exit(_run(_bridge(flags)))


async def _bridge(flags: Flags) -> int:
    from turnstone.mq.bridge import run_bridge

    settings = _settings("turnstone-bridge", flags)
    _log(settings)
    logging.getLogger("turnstone").setLevel(settings.bridge.log_level)
    await run_bridge(settings, _say)
    return 0


async def _chat(flags: Flags, prompt: str | None, resume: str | None, as_json: bool) -> int:
    from turnstone.cli.chat import run_chat
    from turnstone.cli.streams import has_keyboard
    from turnstone.core.model_setup import window_unknown
    from turnstone.core.permissions import notice_of_node
    from turnstone.wiring import build_local_host, find_model

    settings = _settings("turnstone", flags)
    if prompt is not None or not has_keyboard():
        settings = _untitled(settings)
    endpoint = await find_model(settings)
    host = await build_local_host(settings, endpoint, "process")
    try:
        engine = host.engine
        if notice := notice_of_node(engine):
            click.echo(f"warning: {notice}", err=True)
        where = str(settings.tools.workspace)
        banner = _told(await host.left_behind())
        if not engine.models.default.context_window and endpoint.url:
            banner = f"{banner}\nwarning: {window_unknown('--context-window')}".lstrip()
        return await run_chat(
            host, prompt=prompt, json=as_json, workspace=where, banner=banner, resume=resume
        )
    finally:
        await host.aclose()


async def _copy(program: str, flags: Flags, file: str) -> int:
    from turnstone.cli import backup

    work = backup.back_up if program == "turnstone backup" else backup.restore
    _say(await asyncio.to_thread(work, _settings(program, flags), Path(file)))
    return 0


async def _doctor(flags: Flags, *, as_json: bool) -> int:
    from turnstone.cli import doctor

    found = await doctor.examine(lambda: load_settings("turnstone up", flags=flags, env=os.environ))
    _say(doctor.as_json(found) if as_json else doctor.as_text(found))
    return 0 if doctor.is_well(found) else 1


async def _erase(flags: Flags, name: str | None, *, force: bool, compact: bool) -> int:
    from turnstone.cli import erase

    settings = _settings("turnstone erase", flags)
    if name:
        _say(await erase.erase(settings, name, force=force))
    if compact:
        _say(await erase.compact(settings))
    return 0


async def _import(flags: Flags, file: str) -> int:
    from turnstone.cli.import_ import take_in

    _say(await take_in(_settings("turnstone import", flags), Path(file)))
    return 0


async def _export(flags: Flags, session: str, form: ExportFormat, target: str | None) -> int:
    from turnstone.cli.import_ import give_out

    where = None if target is None else Path(target)
    _say(await give_out(_settings("turnstone export", flags), session, form, where))
    return 0


async def _token(flags: Flags, what: Callable[[ModuleType, Settings], str]) -> int:
    from turnstone.cli import tokens

    _say(what(tokens, _settings("turnstone token", flags)))
    return 0


async def _serve(program: str, flags: Flags, *, or_practice: bool = False) -> int:
    from turnstone.app import serve

    settings = _settings(program, flags)
    _log(settings)
    await serve(settings, _say, or_practice=or_practice)
    return 0


def _given(ctx: click.Context, names: Iterable[click.Parameter | str]) -> Iterator[str]:
    """The flags among these that stand on the command line, as they are spelled."""
    wanted = {name if isinstance(name, str) else name.name for name in names}
    for option in ctx.command.params:
        source = ctx.get_parameter_source(option.name or "")
        if option.name in wanted and source is click.core.ParameterSource.COMMANDLINE:
            yield option.opts[0]


def _settings(program: str, flags: Flags) -> Settings:
    settings = load_settings(program, flags=flags, env=os.environ)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    for name in _NO_EFFECT_YET:
        if settings.source(name).kind == "command line":  # a file of 0.2 may well have them all
            click.echo(f"warning: {name} has no effect in this version.", err=True)
    with contextlib.suppress(PermissionError):  # what it is, is told where it is opened
        if settings.store.path.is_dir():
            raise StoreError(
                f"The store {settings.store.path} is a directory.", hint="Name a file with --store."
            )
    return settings


def _told(left: Sequence[Left]) -> str:
    """What an earlier session left: whose turn it is, and what to do; empty for nothing."""
    lines = [_LEFT_BEHIND.format(count=len(left))] if left else []
    for one in left[:_LEFT_TOLD]:
        said = " ".join(one.message.split())
        said = said if len(said) <= _LEFT_WIDTH else f"{said[:_LEFT_WIDTH]}…"
        lines.append(f"  {one.ws_id} ({one.name}): {said}")
    if len(left) > _LEFT_TOLD:
        lines.append(f"  … and {len(left) - _LEFT_TOLD} more")
    return "\n".join([*lines, _LEFT_TO_DO] if left else [])


def _untitled(settings: Settings) -> Settings:
    """For one message: the program is gone before a title could come."""
    change = msgspec.structs.replace
    return change(settings, session=change(settings.session, titles=False))


def _log(settings: Settings) -> None:
    """The log of a program that runs for long: in the form that is set, without its secrets."""
    log_as(settings.log.format)
    mask_logs(Masking([*settings.secrets(), *secrets_of(os.environ)]))


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program to its exit code; what went wrong is told in a sentence."""
    log_as("text")
    try:
        return asyncio.run(program)
    except TurnstoneError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


turnstone.add_command(queue_commands(_settings, _run))
