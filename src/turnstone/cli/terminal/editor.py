"""A text in the person's own editor, `$VISUAL` or `$EDITOR`, while the screen is left to it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit.application import run_in_terminal

from turnstone.cli.plain import sendable
from turnstone.core.errors import TurnstoneError

#: Editors that are tried where none is named.
_USUAL = ("editor", "nano", "vim", "vi")
#: What may end the name of a file: it comes from the name of a file of a model's choice.
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


class NoEditor(TurnstoneError):
    """There is no editor, or it cannot be started."""

    code = "no_editor"


async def edit(text: str, suffix: str = ".txt") -> str | None:
    """The text as it was left in the editor; None where nothing was changed, or where the editor
    said that it failed. Raises NoEditor."""
    command = editor_of(os.environ)
    if not _SUFFIX.fullmatch(suffix):
        suffix = ".txt"
    with tempfile.TemporaryDirectory(prefix="turnstone-") as folder:  # of mode 0700
        path = Path(folder) / f"text{suffix}"
        path.write_text(sendable(text), encoding="utf-8", newline="")
        try:
            code = await run_in_terminal(
                lambda: subprocess.call([*command, str(path)]), in_executor=True
            )
        except OSError as error:
            raise NoEditor(
                f"The editor {command[0]!r} cannot be started: {error.strerror}.",
                hint="Set VISUAL or EDITOR to one that can.",
            ) from error
        if code:
            return None
        try:
            changed = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            return None
    return None if changed == text else changed


def editor_of(environment: Mapping[str, str]) -> list[str]:
    """The editor's command, in words. Raises NoEditor."""
    for variable in ("VISUAL", "EDITOR"):
        if named := environment.get(variable, "").strip():
            try:
                return shlex.split(named)
            except ValueError as error:
                raise NoEditor(f"{variable} is no command: {error}.") from error
    for name in _USUAL:
        if found := shutil.which(name, path=environment.get("PATH")):
            return [found]
    raise NoEditor("There is no editor.", hint="Set VISUAL or EDITOR to the one to use.")
