"""What `bash` leaves running: started, listed, read and stopped by a handle.

Each runs in a sandbox of its own, as any command does. To look after one is no command: it needs
no approval, since it changes nothing but what this workstream has started itself.
"""

from __future__ import annotations

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, Sandbox
from turnstone.core.tool import Background, EmitOutput, Glance, Prepared, ToolContext, ToolResult
from turnstone.tools.bash_output import told_of
from turnstone.tools.text import cut_middle, one_line

#: Seconds that one may run.
LONGEST = 12 * 3600.0

#: Seconds in which first output, or an early end, is waited for.
FIRST = 1.0

ACTIONS = ("list", "read", "stop")


def prepare(command: str, action: str, handle: str | None, *, network: bool) -> Prepared:
    """`network`: what runs has it, so that its output is text from outside."""
    if action not in ACTIONS:
        raise ToolRefused(f"bash: the argument `action` must be one of {', '.join(ACTIONS)}.")
    if command.strip():
        raise ToolRefused("bash: give a `command` or an `action`, not both.")
    if action != "list" and not handle:
        raise ToolRefused(f"bash: to {action} a background process, name its `handle`.")
    about = f" {one_line(handle)}" if handle and action != "list" else ""
    return Prepared(
        tool="bash",
        arguments={"action": action, "handle": handle or ""},
        effect="effect" if action == "stop" else "pure",
        header=f"bash: {action}{about or ' the background processes'}",
        network=network and action != "list",
        tends=True,
    )


async def start(sandbox: Sandbox, command: Command, context: ToolContext) -> ToolResult:
    """Cancelled meanwhile, it stops what it has started."""
    background = _of(context)

    async def run(emit: EmitOutput) -> str:
        try:
            result = await sandbox.run(command, emit)
        except (OSError, ToolRefused) as error:
            return f"could not be started: {error}"
        return told_of(result, command.timeout).strip("[]") or "ended with exit code 0"

    handle = background.start(one_line(command.script), run)
    try:
        await background.wait(handle, FIRST)
    except BaseException:
        await background.stop(handle)
        raise
    where = f"\n[its whole output is kept in {command.keep}]" if command.keep is not None else ""
    return ToolResult("ok", f"{_told(background.read(handle), context)}{where}")


async def tend(prepared: Prepared, context: ToolContext) -> ToolResult:
    background = _of(context)
    action, handle = str(prepared.arguments["action"]), str(prepared.arguments["handle"])
    if action == "list":
        lines = [f"{job.handle}  {_state(job)}  {job.what}" for job in background.list()]
        return ToolResult("ok", "\n".join(lines) or "[no background processes]")
    if action == "stop":
        await background.stop(handle)
    return ToolResult("ok", _told(background.read(handle), context))


def _of(context: ToolContext) -> Background:
    if context.background is None:
        raise ToolRefused("bash: there are no background processes here.")
    return context.background


def _told(job: Glance, context: ToolContext) -> str:
    text = cut_middle(job.text.strip("\n"), context.max_output)
    return "\n".join([text or "[no new output]", f"[{job.handle} {_state(job)}]"])


def _state(job: Glance) -> str:
    return job.ended or "runs"
