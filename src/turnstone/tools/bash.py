"""The tool `bash`: one command, exactly as it was approved, in the sandbox.

Claims no safety of its own: it reads no words out of the command, and refuses none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, CommandResult, Sandbox
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.spec import load_spec
from turnstone.tools.text import foreign, one_line, visible

#: Bytes. The kernel takes 128 KiB for one argument of a program, its ending included.
MAX_COMMAND = 120_000


class BashArguments(msgspec.Struct, frozen=True):
    command: str


class Bash:
    def __init__(self, sandbox: Sandbox, *, network: bool = False) -> None:
        self.spec = load_spec("bash")
        self._sandbox = sandbox
        self._network = network

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        command = parse_arguments("bash", BashArguments, arguments).command
        _check(command)
        return Prepared(
            tool="bash",
            arguments={"command": command},
            effect=self.spec.effect,
            header=f"bash: {one_line(command)} {foreign(command)}".rstrip(" "),
            preview=visible(command),
            commands=(command,),
            network=self._network,
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        command = Command(
            script=prepared.commands[0],
            workspace=context.workspace,
            timeout=context.timeout,
            network=prepared.network,
            max_output=context.max_output,
        )
        try:
            if not context.workspace.is_dir():
                return ToolResult("error", f"The workspace {context.workspace} is gone.")
            result = await self._sandbox.run(command, emit)
        except OSError as error:
            return ToolResult("error", f"The command could not be started: {error}.")
        except ToolRefused as refusal:
            return ToolResult("error", str(refusal))
        ok = result.exit_code == 0
        return ToolResult("ok" if ok else "error", _report(result, context.timeout))

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


def _report(result: CommandResult, timeout: float) -> str:
    """The output, and under it what the model must know about how it ended."""
    lines = [text] if (text := result.output.strip("\n")) else []
    if result.timed_out:
        lines.append(f"[stopped after {timeout:g} s, the time limit, with all it had started]")
    elif result.exit_code is not None and result.exit_code < 0:
        lines.append(f"[ended by signal {-result.exit_code}]")
    elif result.exit_code:
        lines.append(f"[exit code {result.exit_code}]")
    return "\n".join(lines or ["[no output]"])
