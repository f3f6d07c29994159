"""The console scripts: parse the command line, start a program, print errors, exit.

The top layer, and a thin one: a command is loaded when it is called, and what it needs is imported
when it runs, so that `--help` answers at once. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 needs
an approval that nobody can give, 130 stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from turnstone import __version__
from turnstone.core.config.flags import options_for
from turnstone.main.tree import Tree, given

#: Each command: where it is, and what the list of commands says of it.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("nodes:up", "Run Turnstone on this machine: a node and its page, in one process."),
    "serve": ("nodes:serve", "Run a node with its HTTP API."),
    "attach": ("attach:attach", "Talk to the agents of a node that runs, from this terminal."),
    "sessions": ("sessions:sessions", "List, search, show, export and delete sessions."),
    "queue": ("queue:queue", "Look into the queue in Redis: what waits, who works, what will not be run."),
    "cluster": ("cluster:cluster", "Show the nodes of a cluster, and their workstreams."),
    "token": ("tokens:token", "Tokens for other people and programs, each with a name and a role."),
    "config": ("config:config", "Show the settings, where they come from, and what is wrong with them."),
    "doctor": ("looking:doctor", "Say what this machine can do for `turnstone up`, and what is in the way."),
    "erase": ("keeping:erase", "Delete a session with all its records, for good: by its alias or whole id."),
    "backup": ("keeping:backup", "Copy the store into FILE, while it is in use too."),
    "restore": ("keeping:restore", "Put a backup into the place of the store, which is moved aside."),
    "import": ("keeping:import_", "Take over the sessions and memories of a .turnstone.db of 0.2, or an exported session."),
    "export": ("keeping:export", "Print a session, named by its alias, its id or the beginning of it, as a file."),
    "completion": ("looking:completion", "Print what makes a shell complete the commands and flags of turnstone."),
    "man": ("looking:man", "Print the manual page, for `man -l -`."),
}  # fmt: skip


@click.group(
    cls=Tree,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@options_for("turnstone")
@click.option(
    "-p",
    "--print",
    "prompt",
    metavar="TEXT",
    help="Answer this one message, and end. What is piped in goes along with it.",
)
@click.option(
    "-f",
    "--file",
    "files",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="With -p: send the text of this file along. Can be given again.",
)
@click.option("--resume", metavar="SESSION", help="Go on with a session: alias, id, or beginning.")
@click.option(
    "-c", "--continue", "newest", is_flag=True, help="Go on with the newest session of this folder."
)
@click.option(
    "--budget",
    metavar="LIMITS",
    help="What may be used, as tokens=200000,seconds=600,tool_calls=50,money=2.5.",
)
@click.option(
    "--output-format",
    "output",
    type=click.Choice(["text", "json", "stream-json"]),
    help="With -p: the answer; one JSON object at the end; or one event a line.  [default: text]",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --output-format stream-json.")
@click.version_option(__version__, message="turnstone %(version)s")
@click.pass_context
def turnstone(ctx: click.Context, /, **given_here: Any) -> None:
    """Talk to an agent that works on this machine with tools."""
    if ctx.invoked_subcommand is None:
        from turnstone.main.chat import chat

        sys.exit(chat(**given_here))
    for flag in given(ctx, ctx.command.params):
        raise click.UsageError(
            f"{flag} stands before `{ctx.invoked_subcommand}`, where it means nothing: put it "
            "behind, if that takes it."
        )


def server() -> None:
    """`turnstone-server`."""
    from turnstone.main.nodes import server as program

    program()


def bridge() -> None:
    """`turnstone-bridge`."""
    from turnstone.main.nodes import bridge as program

    program()
