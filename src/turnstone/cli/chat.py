"""`turnstone` at a terminal or in a script: the one entry to this package, `run_chat`.

A front end around a `Host`, in this process or over HTTP alike. It keeps nothing and decides
nothing; it closes no host, for whoever made that one lets it go.
"""

from __future__ import annotations

import sys

from turnstone import __version__
from turnstone.cli.begin import begin
from turnstone.cli.conversation import Conversation, GoTo, Next
from turnstone.cli.feed import Feed, following
from turnstone.cli.lines import Lines
from turnstone.cli.plain import sendable
from turnstone.cli.print_mode import FAILED, STOPPED, USAGE, run_print
from turnstone.cli.render import Screen, make_console
from turnstone.cli.streams import (
    StreamFailed,
    check_stdout,
    drop,
    has_keyboard,
    make_ready,
    read_all,
)
from turnstone.core.errors import EmptyMessage, InvalidRequest, TurnstoneError
from turnstone.core.host import CreateWorkstream, Host, NodeHealth
from turnstone.core.practice import MODEL_NAME as PRACTICE

_PRACTICE = (
    "No model answers here, but the practice model: it carries out a few plain requests, to "
    'show how things work. Say "help" to see them.'
)
_ANY = CreateWorkstream()
_KEYS = "/help lists the commands. Ctrl-C stops a turn, Ctrl-D leaves."


async def run_chat(
    host: Host,
    *,
    prompt: str | None = None,
    json: bool = False,
    banner: str = "",
    workspace: str = "",
    create: CreateWorkstream = _ANY,
    resume: str | None = None,
) -> int:
    """Chat with this host, or send the one message `prompt`. Returns the exit code.

    Without `prompt`, and without a terminal to type on, the message is read from stdin.
    `json`: print events as envelopes, one a line, instead of the answer (with a message only).
    `resume` names a session to go on with. `banner`: further lines for the first screen, or for
    stderr. `workspace` is shown there; `create` says how the workstream is made.

    Exit codes: 0 done (or left), 1 failed, 2 wrong usage, 3 something needed an approval and
    nobody could be asked, 130 stopped. A TurnstoneError, and a standard stream that cannot be
    used, is told on stderr, in a sentence.
    """
    make_ready()
    try:
        check_stdout()
        if prompt is None and has_keyboard():
            if json:
                return _misused("--json needs a message: turnstone -p TEXT --json.")
            lines = Lines(on=None if sys.stdout.isatty() else sys.stderr)
            screen = Screen(make_console())
            return await chat(host, screen, lines, create, banner, workspace, resume)
        text = sendable(prompt if prompt is not None else read_all())
        if not text.strip():
            return _misused("There is no message, and no terminal to type one: turnstone -p TEXT.")
        asked = Lines(on=sys.stderr) if has_keyboard() and sys.stderr.isatty() else None
        return await run_print(
            host,
            _beside(),
            text,
            create=create,
            json=json,
            lines=asked,
            resume=resume,
            banner=banner,
        )
    except TurnstoneError as error:
        complain(error)
        return USAGE if isinstance(error, EmptyMessage | InvalidRequest) else FAILED
    except StreamFailed as error:
        _say_error(str(error))
        return FAILED
    except BrokenPipeError:
        drop(sys.stdout)  # whoever read it has enough, as `head` does
        return STOPPED


async def chat(
    host: Host,
    screen: Screen,
    lines: Lines,
    create: CreateWorkstream = _ANY,
    banner: str = "",
    workspace: str = "",
    resume: str | None = None,
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
            going = await Conversation(host, feed, screen, lines, complain, create).run()
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


def complain(error: TurnstoneError) -> None:
    """One sentence and what to do, on stderr."""
    _say_error(error.message)
    if error.hint:
        _beside().line(error.hint, indent="  ")


def _misused(sentence: str) -> int:
    _say_error(sentence)
    return USAGE


def _say_error(sentence: str) -> None:
    _beside().line(f"error: {sentence}", "red")


def _beside() -> Screen:
    """stderr, for what is said beside an answer."""
    return Screen(make_console(sys.stderr), answers=False)
