"""The console scripts: parse the command line, start a program, print errors, exit.

The top layer, and a thin one: `turnstone` (chat, `up`), `turnstone-server` and
`turnstone-bridge`. What a program needs is imported when it runs, so that `--help` answers at
once. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 needs an approval that nobody can give,
130 stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import click

from turnstone import __version__
from turnstone.core.config import Settings, load_settings
from turnstone.core.config.flags import options_for
from turnstone.core.errors import TurnstoneError

_INTERRUPTED = 130

#: Settings of 0.2 that are taken, and that nothing acts on yet; `docs/configuration.md` says so.
_NO_EFFECT_YET = (
    "model.reasoning_effort",
    "session.persona",
    "session.compact_max_tokens",
    "session.auto_compact_pct",
    "tools.agent_max_turns",
    "bridge.heartbeat_ttl",
)

_LEFT_BEHIND = (
    "{count} turn(s) of earlier sessions were cut off and wait; `turnstone up` takes them up."
)

Flags = Mapping[str, object]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@options_for("turnstone")
@click.option("-p", "--print", "prompt", metavar="TEXT", help="Answer this one message, and end.")
@click.option("--json", "as_json", is_flag=True, help="With -p: one event a line, as JSON.")
@click.version_option(__version__, message="turnstone %(version)s")
@click.pass_context
def turnstone(ctx: click.Context, flags: Flags, prompt: str | None, as_json: bool) -> None:
    """Talk to an agent that works on this machine with tools."""
    if ctx.invoked_subcommand is None:
        sys.exit(_run(_chat(flags, prompt, as_json)))


@turnstone.command()
@options_for("turnstone up")
def up(flags: Flags) -> None:
    """Run Turnstone on this machine: a node and its page, in one process."""
    sys.exit(_run(_serve("turnstone up", flags, or_practice=True)))


@turnstone.command()
@options_for("turnstone erase")
@click.argument("ws_id", metavar="WORKSTREAM")
@click.option("--force", is_flag=True, help="Stop its turn first, if it works.")
def erase(flags: Flags, ws_id: str, force: bool) -> None:
    """Delete a workstream with all its records, for good."""
    sys.exit(_run(_erase(flags, ws_id, force=force)))


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
    logging.getLogger("turnstone").setLevel(settings.bridge.log_level)
    await run_bridge(settings, _say)
    return 0


async def _chat(flags: Flags, prompt: str | None, as_json: bool) -> int:
    from turnstone.cli.chat import run_chat
    from turnstone.core.permissions import notice_of_node
    from turnstone.wiring import build_local_host, find_model

    settings = _settings("turnstone", flags)
    endpoint = await find_model(settings)
    host = await build_local_host(settings, endpoint, "process")
    try:
        engine = host.engine
        if notice := notice_of_node(engine):
            click.echo(f"warning: {notice}", err=True)
        where = str(settings.tools.workspace)
        left = await host.left_behind()
        banner = _LEFT_BEHIND.format(count=left) if left else ""
        return await run_chat(host, prompt=prompt, json=as_json, workspace=where, banner=banner)
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


async def _erase(flags: Flags, ws_id: str, *, force: bool) -> int:
    from turnstone.cli.erase import erase

    _say(await erase(_settings("turnstone erase", flags), ws_id, force=force))
    return 0


async def _serve(program: str, flags: Flags, *, or_practice: bool = False) -> int:
    from turnstone.app import serve

    settings = _settings(program, flags)
    await serve(settings, _say, or_practice=or_practice)
    return 0


def _settings(program: str, flags: Flags) -> Settings:
    settings = load_settings(program, flags=flags, env=os.environ)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    for name in _NO_EFFECT_YET:
        if settings.source(name).kind == "command line":  # a file of 0.2 may well have them all
            click.echo(f"warning: {name} has no effect in this version.", err=True)
    return settings


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program to its exit code; what went wrong is told in a sentence."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        return asyncio.run(program)
    except TurnstoneError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
