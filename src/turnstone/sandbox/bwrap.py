"""L3: a command sees a file system, processes and a network of its own, made by bubblewrap.

The workspace can be written to; the rest is read-only or hidden. Why each option is there
is said beside it; each was tried, with and without. bwrap itself is started with the
command's clean environment, because /proc/1/environ shows what bwrap was started with.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from turnstone.core.sandbox import Command, CommandResult, Confinement, Level
from turnstone.sandbox.cgroup import ProcessGroups
from turnstone.sandbox.gone import all_gone
from turnstone.sandbox.identity import Identity, environment_for, identity_for
from turnstone.sandbox.limits import Limits, shell
from turnstone.sandbox.orphans import marked
from turnstone.sandbox.placeholders import content, held
from turnstone.sandbox.report import reporting
from turnstone.sandbox.runner import run_group
from turnstone.sandbox.seccomp import filter_for
from turnstone.sandbox.view import View, view_of

#: Options that not every bwrap has, and that are used where it has them.
NEWER_OPTIONS = frozenset({"--disable-userns", "--size", "--add-seccomp-fd"})

NO_PROCESS_LIMIT = (
    "no process limit where the workspace belongs to root: no control group can be made here; "
    "run turnstone as an ordinary user"
)

NO_MEMORY_LIMIT = (
    "memory is limited for each process of a command, and not for all of them together: no "
    "control group for it can be made here"
)

NO_FILTER = (
    "no system call filter for this machine or this bubblewrap: a command can reach Unix sockets "
    "of services that no hidden folder holds"
)


class Bubblewrap:
    """A Sandbox of level L3, where `attempt_escapes` has found that it holds.

    `options` are those that this bwrap knows; `hidden` are folders and files to be hidden
    beside the usual ones, such as our own state.
    """

    def __init__(
        self,
        program: Path,
        *,
        options: frozenset[str] = NEWER_OPTIONS,
        hidden: Sequence[Path] = (),
        groups: ProcessGroups | None = None,
        limits: Limits | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._program = program
        self._options = options
        self._hidden = tuple(path.resolve() for path in hidden)
        self._groups = groups
        self._limits = limits or Limits()
        known = "--add-seccomp-fd" in options
        machine = os.uname().machine if known else ""
        self._filters = {on: filter_for(machine, network=on) for on in (False, True)}
        told = [*notes, *([] if self._filters[False] else [NO_FILTER])]
        self.confinement = Confinement(Level.L3, "L3 (bubblewrap)", tuple(told))

    async def run(self, command: Command, emit: Callable[[str], None]) -> CommandResult:
        """Raises OSError if bwrap cannot be started, ToolRefused for a workspace like `/`."""
        identity = identity_for(command.workspace)
        # Looks at files that commands can write, on disks that can be slow.
        view = await asyncio.to_thread(view_of, command.workspace, identity, self._hidden)
        with ExitStack() as stack:
            placeholders = stack.enter_context(held(view.absent_files, view.absent_folders))
            filter_ = stack.enter_context(_descriptor(self._filters[command.network]))
            data = {p: stack.enter_context(_descriptor(content(p))) for p in placeholders.files}
            reported = stack.enter_context(reporting(command))
            async with self._enter(identity) as prefix, all_gone() as told:
                mounts = [*self._mounts(view, network=command.network)]
                mounts += _absent(data, placeholders.folders)
                mounts += _readable(command, identity)
                order = self._command_line(
                    command, identity, filter_, told, mounts, reported.descriptor
                )
                result = await run_group(
                    [*prefix, *order],
                    identity=identity,
                    environment=environment_for(identity),
                    directory=Path("/"),
                    command=command,
                    emit=emit,
                    descriptors=[
                        *filter_,
                        told,
                        *(fd for fds in data.values() for fd in fds),
                        *reported.descriptors,
                    ],
                )
            return replace(result, directory=reported.read())

    def _command_line(
        self,
        command: Command,
        identity: Identity,
        filter_: Sequence[int],
        told: int,
        mounts: Sequence[str],
        report: int | None,
    ) -> list[str]:
        return [
            str(self._program),
            *self._namespaces(network=command.network),
            *(word for fd in filter_ for word in ("--add-seccomp-fd", str(fd))),
            *("--info-fd", str(told)),
            *mounts,
            "--chdir",
            str(command.start.resolve()),
            "--",
            # The kernel does not hold root to the limit; a control group does, if there is one.
            *shell(
                command.script,
                self._limits,
                count_processes=not identity.root,
                alone=True,
                report=report,
            ),
        ]

    @asynccontextmanager
    async def _enter(self, identity: Identity) -> AsyncIterator[list[str]]:
        """What to put before bwrap, so that processes and memory are counted together.

        Only the process that made a group can enter it: one that becomes somebody else cannot.
        """
        if self._groups is None or identity.dropped:
            yield []
            return
        limits = self._limits
        async with self._groups.group(limits.processes, limits.memory_of_all()) as enter:
            yield enter

    def _namespaces(self, *, network: bool) -> Iterator[str]:
        yield "--unshare-all"
        if network:
            yield "--share-net"
        yield "--unshare-user"  # also for root: files are root's, but no power comes with it
        if "--disable-userns" in self._options:
            yield "--disable-userns"  # a namespace of its own would give the powers back
        # Without this, root inside remounts / writable and is out.
        yield from ("--cap-drop", "ALL")
        yield "--new-session"  # no keystrokes into our terminal (TIOCSTI)
        yield "--die-with-parent"  # the command ends with us, whatever ends us
        yield from marked()  # for what the line above leaves, when we end too soon

    def _mounts(self, view: View, *, network: bool) -> Iterator[str]:
        yield from ("--ro-bind", "/", "/", "--dev", "/dev")
        # Read-only, because /proc/sys is root's by mode, and the kernel asks for nothing more:
        # root, in a user namespace and without any capability, can write kernel.core_pattern
        # and so have the host start a program. bwrap itself leaves it as it is.
        yield from ("--proc", "/proc", "--remount-ro", "/proc")
        yield from self._memory(Path("/dev/shm"))  # noqa: S108
        for path in view.hidden:
            yield from self._hide(path)
        if view.home:
            yield from ("--dir", str(view.home))
        for path in view.toolchains:
            yield from ("--ro-bind-try", str(path), str(path))
        if network:
            yield from _name_service(view)
        yield from ("--bind", str(view.workspace), str(view.workspace))
        for path in view.pinned:
            if path.is_dir():
                yield from ("--bind", str(path), str(path))
        for path in view.read_only:
            yield from ("--ro-bind", str(path), str(path))
        for path in view.hidden_within:
            yield from self._hide(path)

    def _hide(self, path: Path) -> Iterator[str]:
        if path.is_dir():
            yield from self._memory(path)
        else:
            yield from ("--ro-bind", "/dev/null", str(path))

    def _memory(self, path: Path) -> Iterator[str]:
        if "--size" in self._options:
            yield from ("--size", str(self._limits.scratch))
        yield from ("--tmpfs", str(path))


def _absent(files: Mapping[Path, Sequence[int]], folders: Sequence[Path]) -> Iterator[str]:
    """Over each placeholder a copy: the placeholder itself must not be opened and locked."""
    for path, descriptors in files.items():
        yield from (word for fd in descriptors for word in ("--ro-bind-data", str(fd), str(path)))
    for folder in folders:
        yield from ("--tmpfs", str(folder), "--remount-ro", str(folder))


def _readable(command: Command, identity: Identity) -> Iterator[str]:
    """The folder of whole outputs, back into what was hidden, and the programs of this command.
    The folder is ours alone: for a command that runs as somebody else it cannot be had."""
    folder = command.outputs
    if folder is not None and folder.is_dir() and not identity.dropped:
        yield from ("--ro-bind", str(folder), str(folder))
    for path in command.programs:
        yield from ("--ro-bind-try", str(path), str(path))


@contextmanager
def _descriptor(data: bytes) -> Iterator[tuple[int, ...]]:
    """A descriptor that bwrap reads the data from, and closes; none for no data."""
    if not data:
        yield ()
        return
    with os.fdopen(os.memfd_create("turnstone"), "wb", buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield (file.fileno(),)


def _name_service(view: View) -> Iterator[str]:
    """The file that names the DNS servers, where it is a link into a hidden folder."""
    actual = Path("/etc/resolv.conf").resolve()
    if any(actual.is_relative_to(hidden) for hidden in view.hidden):
        yield from ("--ro-bind-try", str(actual), str(actual))
