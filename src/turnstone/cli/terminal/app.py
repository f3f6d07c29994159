"""The terminal front end for a person: put together, run, left.

A front end around a `Host`, in this process or over HTTP alike. It keeps nothing, decides
nothing, and closes no host.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prompt_toolkit.application.current import get_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output

from turnstone.cli.begin import begin
from turnstone.cli.here import Cluster
from turnstone.cli.terminal.acts import Acts
from turnstone.cli.terminal.chat import Chat
from turnstone.cli.terminal.compose import make_compose
from turnstone.cli.terminal.keys import of_a_question, of_everything
from turnstone.cli.terminal.printed import Note, Printed
from turnstone.cli.terminal.seams import Compose
from turnstone.cli.terminal.stage import Stage
from turnstone.cli.terminal.theme import Theme, theme_of
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo

_ANY = CreateWorkstream()

_GOES_ON = "It goes on there."
_CUT_OFF = "With this program it stops; `turnstone --resume {name}` takes it up again."


async def run_app(
    host: Host,
    first: Sequence[Printed],
    *,
    create: CreateWorkstream = _ANY,
    resume: str | None = None,
    workspace: str = "",
    attached: bool = False,
    theme: Theme | None = None,
    compose: Compose | None = None,
    cluster: Cluster | None = None,
) -> int:
    """Until the person leaves; returns the exit code. `first` is printed first of all.

    `attached`: the host is a node elsewhere, on which turns go on when this has ended. `workspace`
    is the folder of `@files` and `!commands`, `cluster` answers `/cluster`. Raises the
    TurnstoneErrors after which it cannot go on.
    """
    begun = await begin(host, create, resume)
    theme = theme or theme_of()
    compose = compose or _compose(workspace, attached=attached)
    chat = Chat(host, await host.health())
    buffer = _input(compose)
    acts = Acts(host, chat, buffer, compose, create, cluster)
    keys = of_everything(acts, chat, buffer, compose)
    chat.stage = Stage(chat, buffer, keys, of_a_question(acts), theme, _output())
    buffer.on_text_changed += lambda _buffer: acts.typed()
    try:
        chat.stage.print(first)
        await chat.go_to(begun.id, first=True)
        if attached:
            chat.workstreams.look_after()
        code = await _run(chat)
        chat.flush()
        working = chat.workstreams.working(followed=attached)
        chat.stage.print(left_running(working, attached=attached))
        return code
    finally:
        chat.stage.clear_title()
        await acts.aclose()
        await chat.aclose()


def _compose(workspace: str, *, attached: bool) -> Compose:
    if attached:
        return make_compose(None, here=Path.cwd())
    return make_compose(Path(workspace or Path.cwd()))


async def _run(chat: Chat) -> int:
    try:
        return await chat.stage.app.run_async(set_exception_handler=False)
    except EOFError:
        return 0  # there is no terminal any more


def left_running(working: Sequence[WorkstreamInfo], *, attached: bool) -> list[Note]:
    """What is said of turns that run when the program is left."""
    said = []
    for info in working:
        what = "waits for an answer" if info.state == "attention" else "is at work"
        then = _GOES_ON if attached else _CUT_OFF.format(name=info.alias or info.id)
        said.append(Note(f"{info.name} ({info.id}) {what}. {then}", "warn"))
    return said


def _input(compose: Compose) -> Buffer:
    return Buffer(
        completer=compose.completer,
        history=compose.history,
        complete_while_typing=True,
        multiline=True,
    )


def _output() -> Output:
    """The terminal's; it is not asked where its cursor is: nothing here needs that, and what it
    answers would be mixed with what is typed."""
    output = get_app_session().output
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output
