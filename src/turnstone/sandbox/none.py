"""L0: a command runs as it is, in a process group of its own, with a clean environment.

It confines nothing: no file, no process and no network is out of reach. A process that puts
itself into another session outlives its command. So the policy asks about each command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from turnstone.core.sandbox import Command, CommandResult, Confinement, Level
from turnstone.sandbox.identity import environment_for, identity_for
from turnstone.sandbox.limits import Limits, shell
from turnstone.sandbox.report import reporting
from turnstone.sandbox.runner import run_group


class Unconfined:
    """A Sandbox of level L0. `notes` say why there is no better one."""

    def __init__(self, notes: Sequence[str] = (), limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.confinement = Confinement(Level.L0, "L0 (not confined)", tuple(notes))

    async def run(self, command: Command, emit: Callable[[str], None]) -> CommandResult:
        identity = identity_for(command.workspace)
        with reporting(command) as reported:
            report = reported.descriptor
            result = await run_group(
                shell(command.script, self._limits, count_processes=False, report=report),
                identity=identity,
                environment=environment_for(identity),
                directory=command.start,
                command=command,
                emit=emit,
                descriptors=reported.descriptors,
                tell_stopped=True,
            )
            return replace(result, directory=reported.read())
