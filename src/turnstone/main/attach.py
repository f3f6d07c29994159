"""`turnstone attach URL`: the terminal of a node that runs somewhere, with the screens of one here."""

from __future__ import annotations

import sys

import click

from turnstone.core.config.flags import options_for
from turnstone.main.running import Flags, cluster_of, run, settings_of

#: Where `turnstone up` listens if nothing else was said.
_HERE = "http://127.0.0.1:8080"


@click.command()
@options_for("turnstone attach")
@click.argument("url", default=_HERE)
@click.option("--resume", metavar="SESSION", help="Go on with a session: alias, id, or beginning.")
def attach(flags: Flags, url: str, resume: str | None) -> None:
    """Talk to the agents of a node that runs, from this terminal.

    URL is where it listens: http://127.0.0.1:8080 if it is left out. Leaving stops nothing there.
    """
    sys.exit(run(_attach(flags, url, resume)))


async def _attach(flags: Flags, url: str, resume: str | None) -> int:
    from turnstone.cli.chat import run_chat
    from turnstone.cli.reaching import host_at
    from turnstone.cli.streams import has_keyboard

    if not has_keyboard():
        raise click.UsageError(
            "There is no terminal to type on: send messages with POST /api/send."
        )
    settings = settings_of("turnstone attach", flags)
    host = host_at(url, settings)
    try:
        theme = settings.terminal.theme
        cluster = cluster_of(settings)
        return await run_chat(host, resume=resume, attached=True, theme=theme, cluster=cluster)
    finally:
        await host.aclose()
