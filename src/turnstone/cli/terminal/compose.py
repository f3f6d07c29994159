"""What surrounds the input, put together: history, completion, pastes, `@files`, `!commands`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prompt_toolkit.completion import Completer, ThreadedCompleter
from prompt_toolkit.history import History

from turnstone.cli.plain import plain
from turnstone.cli.terminal import own_command, recall
from turnstone.cli.terminal.completion import Completing
from turnstone.cli.terminal.files import Files
from turnstone.cli.terminal.pastes import Pastes
from turnstone.cli.terminal.pictures import pictures
from turnstone.cli.terminal.seams import Composed
from turnstone.core.attachments import MAX_COUNT
from turnstone.core.errors import InvalidRequest


class Composing:
    """A `seams.Compose`. `workspace` None: it is on another machine; images that are named with
    `@` are then those of the folder `here`, if there is one."""

    completer: Completer | None
    history: History | None

    def __init__(
        self,
        workspace: Path | None,
        history: History,
        *,
        here: Path | None = None,
        commands: bool = True,
    ) -> None:
        self._workspace = workspace
        self._here = workspace or here
        self._files = Files(workspace) if workspace is not None else None
        self._pastes = Pastes()
        self.history = history
        self.completer = ThreadedCompleter(Completing(self._files, history, commands=commands))

    def pasted(self, text: str) -> str:
        return self._pastes.shown(text)

    def composed(self, typed: str) -> Composed:
        """Long pastes and images that are named with `@` go along as files; behind the message
        stands which other files are named so.

        Those the model reads itself, with its own tools: so it may change them then, and what is
        in them is judged as everything that a tool returns. Raises InvalidRequest for an image
        that is too large.
        """
        named = Files(self._here).mentioned(typed) if self._here is not None else []
        images = pictures(self._here, named) if self._here is not None else {}
        text, pasted = self._pastes.beside(typed, MAX_COUNT - len(images))
        files = (*images.values(), *pasted)
        others = [plain(name) for name in named if name not in images]
        if others and self._files is not None:
            text = f"{text}\n\n(Named with @, in the workspace: {', '.join(others)})"
        return Composed(text, files)

    async def shell(self, command: str, show: Callable[[str], None]) -> str:
        """`seams.Compose.shell`. Raises InvalidRequest where nothing can be run."""
        command = self._pastes.whole(command).strip()
        if not command:
            raise InvalidRequest("There is no command behind the !", hint="As in: !git status")
        if self._workspace is None:
            raise InvalidRequest(
                "! runs a command on the node's machine, and this terminal is on another one.",
                hint="Run it in a shell of your own, and paste what it says.",
            )
        try:
            return await own_command.run(command, self._workspace, show)
        except OSError as error:
            raise InvalidRequest(f"It cannot be run: {error.strerror or error}.") from error


def make_compose(workspace: Path | None, here: Path | None = None) -> Composing:
    """For one run of the program, with what was typed in those before it."""
    return Composing(workspace, recall.Recalled(recall.place()), here=here)
