"""The programs that run for long: `turnstone up`, `turnstone serve`, and the two console scripts."""

from __future__ import annotations

import logging
import os
import sys

import click

from turnstone import __version__
from turnstone.core.config import Settings
from turnstone.core.config.flags import options_for
from turnstone.main.running import Flags, run, say, settings_of
from turnstone.main.tree import Program

_HELP = {"help_option_names": ["-h", "--help"]}


@click.command()
@options_for("turnstone up")
def up(flags: Flags) -> None:
    """Run Turnstone on this machine: a node and its page, in one process."""
    sys.exit(run(_serve("turnstone up", flags, or_practice=True)))


@click.command()
@options_for("turnstone-server")
def serve(flags: Flags) -> None:
    """Run a node with its HTTP API."""
    sys.exit(run(_serve("turnstone-server", flags)))


@click.command(cls=Program, context_settings=_HELP)
@options_for("turnstone-server")
@click.version_option(__version__, message="turnstone-server %(version)s")
def server(flags: Flags) -> None:
    """Run a node with its HTTP API."""
    sys.exit(run(_serve("turnstone-server", flags)))


@click.command(cls=Program, context_settings=_HELP)
@options_for("turnstone-bridge")
@click.version_option(__version__, message="turnstone-bridge %(version)s")
def bridge(flags: Flags) -> None:
    """Take work from the Redis queue for a node that runs beside this."""
    sys.exit(run(_bridge(flags)))


async def _serve(program: str, flags: Flags, *, or_practice: bool = False) -> int:
    from turnstone.app import serve as serve_node

    settings = settings_of(program, flags)
    _log(settings)
    await serve_node(settings, say, or_practice=or_practice)
    return 0


async def _bridge(flags: Flags) -> int:
    from turnstone.mq.bridge import run_bridge

    settings = settings_of("turnstone-bridge", flags)
    _log(settings)
    logging.getLogger("turnstone").setLevel(settings.bridge.log_level)
    await run_bridge(settings, say)
    return 0


def _log(settings: Settings) -> None:
    """The log of a program that runs for long: in the form that is set, without its secrets."""
    from turnstone.core.logs import log_as, mask_logs
    from turnstone.core.masking import Masking, secrets_of

    log_as(settings.log.format)
    mask_logs(Masking([*settings.secrets(), *secrets_of(os.environ)]))
