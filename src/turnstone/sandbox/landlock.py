"""L2: a command sees the system as it is, and may open only what a list of paths names.

For machines where bubblewrap is missing or is not allowed to make namespaces: containers,
most of all. The kernel's Landlock holds files, TCP and signals; a seccomp filter the rest. What
it cannot do beside L3 is in `NOTES`, and is told wherever the level is shown.
"""

from __future__ import annotations

import asyncio
import ctypes
import marshal
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, CommandResult, Confinement, Level
from turnstone.sandbox.cgroup import ProcessGroups
from turnstone.sandbox.gone import until_closed
from turnstone.sandbox.identity import Identity, environment_for, identity_for
from turnstone.sandbox.limits import STOPPED, Limits, shell
from turnstone.sandbox.report import reporting
from turnstone.sandbox.runner import run_group
from turnstone.sandbox.seccomp import strict_filter_for
from turnstone.sandbox.view import View, view_of

#: The version of Landlock from which a file outside cannot be cut off (`truncate`) either.
LEAST = 3
_TCP_SINCE, _DEVICES_SINCE, _SIGNALS_SINCE = 4, 5, 6

NOTES = (
    "at L2 a command can see the names and sizes of files it cannot open, and all processes",
    "at L2 a command can change mode, owner and date of the person's files, wherever they are",
    "at L2 the workspace's own .git can be written, so where there is one, commands are asked",
    "at L2 there is no /tmp for commands; $TMPDIR names a folder of theirs, without a limit of size",
    "at L2 commands cannot use Unix sockets",
)
NO_SIGNALS = "at L2 no command can send signals, not even to its own processes: the kernel is old"
NO_COUNT = "no process limit: no control group can be made here"

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_DEVICE_FILES = 1 << 6 | 1 << 11  # to make them: never given
_TRUNCATE, _DEVICE_ORDERS = 1 << 14, 1 << 15
_ALL_FILES, _ALL_NETWORK, _ALL_SCOPES = (1 << 15) - 1, 0b11, 0b11

_LOOK = _EXECUTE | _READ | _LIST
_WORK = _ALL_FILES & ~_DEVICE_FILES

#: Devices that hold nothing.
_DEVICES = ("null", "zero", "full", "random", "urandom")

_SPECIAL = tuple(map(Path, ("/dev", "/proc")))


def landlock_version() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(444, None, 0, 1)
    return max(version, 0)


class Landlock:
    """A Sandbox of level L2, where `attempt_escapes` has found that it holds."""

    def __init__(
        self,
        version: int,
        *,
        hidden: Sequence[Path] = (),
        groups: ProcessGroups | None = None,
        limits: Limits | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._version = version
        self._hidden = tuple(path.resolve() for path in hidden)
        self._groups = groups
        self._limits = limits or Limits()
        told = [*notes, *NOTES]
        if version < _SIGNALS_SINCE:
            told.append(NO_SIGNALS)
        if groups is None:
            told.append(NO_COUNT)
        self.confinement = Confinement(Level.L2, "L2 (Landlock)", tuple(told))

    async def run(self, command: Command, emit: Callable[[str], None]) -> CommandResult:
        """Raises OSError if it cannot be started, ToolRefused for a workspace that holds secrets."""
        identity = identity_for(command.workspace)
        view = await asyncio.to_thread(view_of, command.workspace, identity, self._hidden)
        _check(view)
        with _scratch(identity) as scratch:
            inside = replace(identity, home=scratch / "home")
            environment = {**environment_for(inside), "TMPDIR": str(scratch / "tmp")}
            with reporting(command) as reported:
                async with self._enter() as prefix, until_closed() as told:
                    order = self._order(command, identity, view, scratch, told)
                    order["command"] = shell(
                        command.script,
                        self._limits,
                        count_processes=False,
                        report=reported.descriptor,
                    )
                    result = await run_group(
                        [
                            *prefix,
                            sys.executable,
                            "-I",
                            "-S",
                            "-B",
                            _program(),
                            marshal.dumps(order).hex(),
                        ],
                        identity=replace(identity, dropped=False),  # it is dropped inside
                        environment=environment,
                        directory=command.start.resolve(),
                        command=command,
                        emit=emit,
                        descriptors=[told, *reported.descriptors],
                    )
                return replace(result, directory=reported.read())

    def _order(
        self, command: Command, identity: Identity, view: View, scratch: Path, told: int
    ) -> dict[str, object]:
        version = self._version
        network = command.network
        holds_signals = version >= _SIGNALS_SINCE
        filter_ = strict_filter_for(os.uname().machine, network=network, signals=holds_signals)
        return {
            "files": _ALL_FILES | (_DEVICE_ORDERS if version >= _DEVICES_SINCE else 0),
            "network": _ALL_NETWORK if version >= _TCP_SINCE and not network else 0,
            "scopes": _ALL_SCOPES if holds_signals else 0,
            "rules": [
                *((str(path), rights) for path, rights in _rules(view, scratch)),
                *([(str(command.outputs), _READ | _LIST)] if command.outputs else []),
                *((str(path), _LOOK) for path in command.programs),
            ],
            "filter": filter_.hex(),
            "user": (identity.uid, identity.gid) if identity.dropped else None,
            "stopped": STOPPED,
            "told": told,
        }

    @asynccontextmanager
    async def _enter(self) -> AsyncIterator[list[str]]:
        if self._groups is None:
            yield []
            return
        limits = self._limits
        async with self._groups.group(limits.processes, limits.memory_of_all()) as enter:
            yield enter


def _program() -> str:
    return str(Path(__file__).with_name("confine.py"))


def _check(view: View) -> None:
    """A rule gives the whole of a folder: nothing can be taken out of the workspace again."""
    git = view.workspace / ".git"
    starters = (*view.read_only, *view.absent_files, *view.absent_folders)
    if view.hidden_within or any(not path.is_relative_to(git) for path in starters):
        raise ToolRefused(
            f"Commands cannot be confined to {view.workspace} at level L2: it holds a home "
            "directory, or files of turnstone itself.",
            hint="Choose a folder below it as the workspace, or install bubblewrap.",
        )


@contextmanager
def _scratch(identity: Identity) -> Iterator[Path]:
    """A folder for temporary files, and an empty home; gone afterwards."""
    with tempfile.TemporaryDirectory(
        prefix="turnstone-scratch-", ignore_cleanup_errors=True
    ) as name:
        scratch = Path(name).resolve()
        for folder in (scratch / "tmp", scratch / "home"):
            folder.mkdir(mode=0o700)
            if identity.dropped:
                os.chown(folder, identity.uid, identity.gid)
        if identity.dropped:
            scratch.chmod(0o711)
        yield scratch


def _rules(view: View, scratch: Path) -> Iterator[tuple[Path, int]]:
    """Each path with the rights on it and all that is below."""
    left_out = {str(path) for path in (*view.hidden, *_SPECIAL)}
    above = {str(folder) for path in view.hidden for folder in path.parents}
    for name in _readable("/", left_out, above):
        yield Path(name), _LOOK
    for path in view.toolchains:
        yield path, _LOOK
    yield Path("/proc"), _READ | _LIST
    for device in _DEVICES:
        yield Path("/dev", device), _READ | _WRITE | _TRUNCATE
    for path in (view.workspace, scratch / "tmp", scratch / "home"):
        yield path, _WORK


def _readable(folder: str, left_out: Set[str], above: Set[str]) -> Iterator[str]:
    """Everything below `folder` but what is left out, in as few paths as can be.

    `above`: the folders on the way to what is left out. Links are left out too: what they lead
    to is readable where it stands, or not at all.
    """
    with suppress(PermissionError), os.scandir(folder) as entries:  # not ours, nor a command's
        for entry in entries:
            path = entry.path
            if path in left_out or not (
                entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ):
                continue
            if path in above:
                yield from _readable(path, left_out, above)
            else:
                yield path
