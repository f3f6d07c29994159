"""`turnstone` at a terminal: `run_chat`. For scripts there is `cli.script`.

A front end around a `Host`, in this process or over HTTP alike. It keeps nothing and decides
nothing; it closes no host, for whoever made that one lets it go.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

from turnstone import __version__
from turnstone.cli.begin import begin
from turnstone.cli.complaints import complain, say_error
from turnstone.cli.conversation import Conversation, GoTo, Next
from turnstone.cli.feed import Feed, following
from turnstone.cli.here import Cluster
from turnstone.cli.lines import Lines
from turnstone.cli.print_mode import FAILED, STOPPED, USAGE
from turnstone.cli.render import Screen, make_console
from turnstone.cli.streams import StreamFailed, check_stdout, drop, make_ready
from turnstone.core.errors import EmptyMessage, InvalidRequest, TurnstoneError
from turnstone.core.host import CreateWorkstream, Host, NodeHealth
from turnstone.core.practice import MODEL_NAME as PRACTICE

_PRACTICE = (
    "No model answers here, but the practice model: it carries out a few plain requests, to "
    'show how things work. Say "help" to see them.'
)
_ANY = CreateWorkstream()
#: Terminals that cannot move their cursor.
_PLAIN = ("", "dumb")
_KINDS: dict[str, Literal["strong", "warn"]] = {"bold": "strong", "yellow": "warn"}
_KEYS = "/help lists the commands. Ctrl-C stops a turn, Ctrl-D leaves."


async def run_chat(
    host: Host,
    *,
    banner: str = "",
    workspace: str = "",
    create: CreateWorkstream = _ANY,
    resume: str | None = None,
    attached: bool = False,
    theme: str = "auto",
    cluster: Cluster | None = None,
) -> int:
    """Chat with this host. Returns the exit code.

    `resume` names a session to go on with. `banner`: further lines for the first screen.
    `workspace` is shown there; `create` says how the workstream is made. `attached`: the host
    is a node elsewhere, which goes on when this has ended. `theme` is that of the settings.
    `cluster` answers `/cluster`.

    On a terminal that can do no more than print lines, and where stdout is none, it is a plain
    conversation, line after line.

    Exit codes: 0 left, 1 failed, 2 wrong usage, 130 nobody reads any more. A TurnstoneError, and a
    standard stream that cannot be used, is told on stderr, in a sentence.
    """
    make_ready()
    try:
        check_stdout()
        if sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in _PLAIN:
            return await _on_terminal(
                host, banner, workspace, create, resume, cluster, attached=attached, theme=theme
            )
        lines = Lines(on=None if sys.stdout.isatty() else sys.stderr)
        screen = Screen(make_console())
        return await chat(host, screen, lines, create, banner, workspace, resume, cluster)
    except TurnstoneError as error:
        complain(error)
        return USAGE if isinstance(error, EmptyMessage | InvalidRequest) else FAILED
    except StreamFailed as error:
        say_error(str(error))
        return FAILED
    except BrokenPipeError:
        drop(sys.stdout)  # whoever read it has enough, as `head` does
        return STOPPED


async def _on_terminal(
    host: Host,
    banner: str,
    workspace: str,
    create: CreateWorkstream,
    resume: str | None,
    cluster: Cluster | None,
    *,
    attached: bool,
    theme: str,
) -> int:
    from turnstone.cli.terminal.app import run_app
    from turnstone.cli.terminal.printed import Note
    from turnstone.cli.terminal.theme import theme_of

    where = workspace or create.workspace
    lines = first_screen(await host.health(), where, banner)
    first = [Note(text, _KINDS.get(style, "note")) for text, style in lines]
    return await run_app(
        host,
        first,
        create=create,
        resume=resume,
        workspace=where,
        attached=attached,
        theme=theme_of(theme),
        cluster=cluster,
    )


async def chat(
    host: Host,
    screen: Screen,
    lines: Lines,
    create: CreateWorkstream = _ANY,
    banner: str = "",
    workspace: str = "",
    resume: str | None = None,
    cluster: Cluster | None = None,
) -> int:
    """Chat until the person leaves. Raises the TurnstoneErrors after which it cannot go on."""
    begun = await begin(host, create, resume)
    for line, style in first_screen(await host.health(), workspace or create.workspace, banner):
        screen.line(line, style)
    going: Next = GoTo(begun.id)
    first = resume is None
    while isinstance(going, GoTo):
        async with following(host, going.ws_id) as feed:
            if not first:
                await say_where(host, feed, screen)
            first = False
            going = await Conversation(host, feed, screen, lines, complain, create, cluster).run()
    return 0


async def say_where(host: Host, feed: Feed, screen: Screen) -> None:
    """Which workstream this is, and what was said in it."""
    screen.line(f"{feed.connected.name} ({feed.ws_id})", "bold")
    screen.answer(await host.command(feed.ws_id, "/history"))


def first_screen(health: NodeHealth, workspace: str, banner: str) -> list[tuple[str, str]]:
    """The first lines and their styles: what this is, who answers, where, how confined."""
    parts = [f"turnstone {__version__}"]
    parts += [f"model {health.model}"] if health.model else []
    parts += [f"workspace {workspace}"] if workspace else []
    parts += [f"sandbox {health.sandbox}"] if health.sandbox else []
    found = [(" · ".join(parts), "bold")]
    if health.model == PRACTICE:
        found.append((_PRACTICE, "yellow"))
    found += [(line, "dim") for line in banner.splitlines() if line.strip()]
    return [*found, (_KEYS, "dim")]
