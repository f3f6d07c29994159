"""The tool `bash`: one command, exactly as it was approved, in the sandbox.

Claims no safety of its own: what it reads out of a command are labels for whoever is asked, and
it refuses nothing for its words. What runs in the background is in `bash_background`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.permissions import has_repository
from turnstone.core.policy import EXPOSES_HOOKS, PLANTED
from turnstone.core.sandbox import Command, CommandResult, Level, Sandbox
from turnstone.core.shell_planting import planted
from turnstone.core.shell_warnings import warnings_of
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools import bash_background
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.bash_output import (
    made_starters,
    new_output,
    starters_in,
    told_of,
    whole_output,
)
from turnstone.tools.paths import shown
from turnstone.tools.spec import load_spec
from turnstone.tools.text import foreign, one_line, visible

#: Bytes. The kernel takes 128 KiB for one argument of a program, its ending included.
MAX_COMMAND = 120_000

#: Seconds from which a command's time is told.
LONG = 10.0


class BashArguments(msgspec.Struct, frozen=True):
    command: str
    background: bool | None = None
    action: str | None = None
    handle: str | None = None


class Bash:
    def __init__(self, sandbox: Sandbox, *, network: bool = False) -> None:
        self.spec = load_spec("bash")
        self._sandbox = sandbox
        self._network = network

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        if arguments.get("action"):
            arguments = {"command": "", **arguments}
        wanted = parse_arguments("bash", BashArguments, arguments)
        if wanted.action:
            return bash_background.prepare(
                wanted.command, wanted.action, wanted.handle, network=self._network
            )
        command = wanted.command
        _check(command)
        background = bool(wanted.background)
        if background and context.background is None:
            raise ToolRefused("bash: nothing can be left in the background here.")
        directory = _directory(context)
        return Prepared(
            tool="bash",
            arguments={"command": command, **({"background": True} if background else {})},
            effect=self.spec.effect,
            header=_header(command, directory, context, background=background),
            preview=visible(command),
            commands=(command,),
            network=self._network,
            directory=directory,
            exposes=self._exposes(command, context.workspace),
            background=background,
        )

    def _exposes(self, command: str, workspace: Path) -> str:
        """Why only who permits exactly this command permits it; or empty."""
        if self._sandbox.confinement.level is Level.L2 and has_repository(workspace):
            return f"the workspace has a .git: {EXPOSES_HOOKS}"
        if name := planted(command):
            return f"it may write {visible(name)}, {PLANTED}"
        return ""

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        if prepared.tends:
            return await bash_background.tend(prepared, context)
        background = "background" in prepared.arguments
        command = Command(
            script=prepared.commands[0],
            workspace=context.workspace,
            timeout=bash_background.LONGEST if background else context.timeout,
            network=prepared.network,
            max_output=0 if background else context.max_output,
            directory=prepared.directory,
            report=not background,
            keep=new_output(context.outputs),
            outputs=context.outputs,
        )
        try:
            if not context.workspace.is_dir():
                return ToolResult("error", f"The workspace {context.workspace} is gone.")
            if background:
                return await bash_background.start(self._sandbox, command, context)
            starters = starters_in(context.workspace)
            result = await self._sandbox.run(command, emit)
        except OSError as error:
            return ToolResult("error", f"The command could not be started: {error}.")
        except ToolRefused as refusal:
            return ToolResult("error", str(refusal))
        return _result(command, result, context, made_starters(context.workspace, starters))

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def _check(command: str) -> None:
    if not command.strip():
        raise ToolRefused("bash: the argument `command` is empty.")
    if "\0" in command:
        raise ToolRefused("bash: the argument `command` contains a NUL character.")
    try:
        size = len(command.encode())
    except UnicodeEncodeError:
        raise ToolRefused("bash: the argument `command` contains half of a character.") from None
    if size > MAX_COMMAND:
        raise ToolRefused(
            f"bash: the argument `command` has {size:,} bytes; {MAX_COMMAND:,} can be run.",
            hint="Write the script to a file first, then run the file.",
        )


def _header(command: str, directory: Path | None, context: ToolContext, *, background: bool) -> str:
    place = f" in {one_line(shown(directory, context))}" if directory else ""
    labels = [*(["in the background"] if background else []), *warnings_of(command)]
    noted = f" ({'; '.join(labels)})" if labels else ""
    return f"bash{place}{noted}: {one_line(command)} {foreign(command)}".rstrip(" ")


def _directory(context: ToolContext) -> Path | None:
    """Where a command starts; None for the workspace, also where the folder is no more."""
    directory = context.directory
    if directory is None or directory == context.workspace:
        return None
    return directory if _inside(directory, context.workspace) == directory else None


def _inside(path: Path, workspace: Path) -> Path | None:
    """The folder that this is, if it is one of the workspace."""
    try:
        path = path.resolve(strict=True)
        str(path).encode()
    except (OSError, RuntimeError, ValueError):
        return None
    return path if path.is_dir() and path.is_relative_to(workspace) else None


def _result(command: Command, result: CommandResult, context: ToolContext, made: str) -> ToolResult:
    """The output, and under it what must be known about how it ended, and what it has `made`."""
    lines = [text] if (text := result.output.strip("\n")) else []
    if result.dropped and command.keep is not None:
        lines.append(whole_output(command.keep, result))
    if ending := told_of(result, command.timeout):
        lines.append(ending)
    if result.duration >= LONG and not result.timed_out:
        lines.append(f"[took {result.duration:.0f} s]")
    directory, moved = _moved(command, result, context)
    lines = lines or ["[no output]"]
    lines += filter(None, (made, moved))
    ok = result.exit_code == 0
    return ToolResult("ok" if ok else "error", "\n".join(lines), directory=directory)


def _moved(command: Command, result: CommandResult, context: ToolContext) -> tuple[str, str]:
    """Where the next command starts, and a line about it; both empty if that has not changed.

    What the command says is looked at as it is on the disk: no word of it leads out.
    """
    workspace = context.workspace
    before = context.directory or workspace
    after, why = command.start, ""
    if before != after:
        why = f", since {shown(before, context)} is no folder of it any more"
    if result.directory:
        said = Path(result.directory)
        found = _inside(said, workspace) if said.is_absolute() else None
        after = found or workspace
        if found is None:
            why = f", since {visible(result.directory)} is no folder of it"
    if after == before:
        return "", ""
    place = "the workspace" if after == workspace else shown(after, context)
    return str(after), f"[the next command starts in {place}{why}]"
