"""`turnstone doctor`, `completion` and `man`: of this machine, and of the commands themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from turnstone.core.config.flags import options_for
from turnstone.main.running import Flags, run, say

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@options_for("turnstone up")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def doctor(flags: Flags, as_json: bool) -> None:
    """Say what this machine can do for `turnstone up`, and what is in the way."""
    sys.exit(run(_doctor(flags, as_json=as_json)))


async def _doctor(flags: Flags, *, as_json: bool) -> int:
    from turnstone.cli import doctor as looks
    from turnstone.core.config import load_settings

    found = await looks.examine(lambda: load_settings("turnstone up", flags=flags, env=os.environ))
    say(looks.as_json(found) if as_json else looks.as_text(found))
    return 0 if looks.is_well(found) else 1


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print what makes a shell complete the commands and flags of turnstone.

    SHELL is the one that runs, if it is left out. To have it always, in bash: add
    `eval "$(turnstone completion bash)"` to ~/.bashrc; the same for zsh, in ~/.zshrc; in fish:
    `turnstone completion fish > ~/.config/fish/completions/turnstone.fish`.
    """
    from click.shell_completion import get_completion_class

    name = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(name) if name in _SHELLS else None
    if found is None:
        raise click.UsageError(f"Name a shell: {', '.join(_SHELLS)}.")
    root = ctx.find_root().command
    click.echo(found(root, {}, "turnstone", "_TURNSTONE_COMPLETE").source())


@click.command()
@click.pass_context
def man(ctx: click.Context) -> None:
    """Print the manual page, for `man -l -`."""
    from turnstone.cli.man_page import written

    click.echo(written(ctx.find_root().command, "turnstone"), nl=False)
