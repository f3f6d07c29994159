"""Finds out what this machine can confine, by trying to get out.

No version, kernel setting or file is trusted as a sign: a confined shell attempts what an
attacker would, and whatever gets through is looked for from outside. A sandbox that
lets a single attempt pass is none, and the next lower one is tried.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, CommandResult, Level, Sandbox
from turnstone.sandbox.bwrap import NO_MEMORY_LIMIT, NO_PROCESS_LIMIT, Bubblewrap
from turnstone.sandbox.cgroup import ProcessGroups, find_process_groups
from turnstone.sandbox.identity import environment_for, identity_for
from turnstone.sandbox.landlock import LEAST, Landlock, landlock_version
from turnstone.sandbox.limits import Limits
from turnstone.sandbox.none import Unconfined
from turnstone.sandbox.orphans import end_orphans, owner, remove_orphans
from turnstone.sandbox.runner import run_group
from turnstone.sandbox.seccomp import strict_filter_for

#: The system's own path first: exceptions of AppArmor for user namespaces name this one.
SYSTEM_BWRAP = Path("/usr/bin/bwrap")

#: Before the name of whatever is made for an attempt: then whose it is, for the next to start
#: removes what one that was killed has left.
_PREFIX = ".turnstone-probe-"

#: Seconds for all attempts together: they take hundredths; a hanging bwrap is no bwrap.
_PATIENCE = 5.0

#: Characters of bwrap's help; it is about 6,000.
_HELP = 100_000

_INSTALL = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap)"

#: Variables that bash and bwrap set by themselves, and the one that a sandbox may add.
_SHELL_VARIABLES = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "TMPDIR"})


async def find_sandbox(
    *,
    hidden: Sequence[Path] = (),
    limits: Limits | None = None,
    bwrap: Path | None = None,
    levels: Sequence[Level] = (Level.L3, Level.L2),
) -> Sandbox:
    """The best confinement that holds here; its `confinement` says which, and what is missing.

    `hidden` are folders that no command may see: our own state and settings. `bwrap` is the
    program to try; by default the system's. Only `levels` are tried.
    """
    if sys.platform != "linux":
        return Unconfined(["commands can be confined on Linux only"], limits)
    end_orphans()
    groups = find_process_groups()
    reasons: list[str] = []
    if Level.L3 in levels:
        sandbox, reason = await _try_bubblewrap(bwrap or _find_bwrap(), hidden, limits, groups)
        if sandbox is not None:
            return sandbox
        reasons.append(reason)
    if Level.L2 in levels:
        sandbox, reason = await _try_landlock(hidden, limits, groups, reasons)
        if sandbox is not None:
            return sandbox
        reasons.append(reason)
    return Unconfined(reasons, limits)


async def _try_bubblewrap(
    program: Path | None,
    hidden: Sequence[Path],
    limits: Limits | None,
    groups: ProcessGroups | None,
) -> tuple[Sandbox | None, str]:
    """It, or why not."""
    if program is None or not program.exists():
        return None, f"bubblewrap is not installed; {_INSTALL}"
    try:
        options = await _options(program)
    except OSError as error:
        return None, f"bubblewrap cannot be started: {error}"
    notes = [NO_PROCESS_LIMIT] if os.geteuid() == 0 and groups is None else []
    if groups is None or not groups.limits_memory:
        notes.append(NO_MEMORY_LIMIT)
    sandbox = Bubblewrap(
        program, options=options, hidden=hidden, groups=groups, limits=limits, notes=notes
    )
    failure = await _what_is_wrong(sandbox, "bubblewrap")
    return (None, failure) if failure else (sandbox, "")


async def _try_landlock(
    hidden: Sequence[Path],
    limits: Limits | None,
    groups: ProcessGroups | None,
    reasons: Sequence[str],
) -> tuple[Sandbox | None, str]:
    """It, or why not. `reasons`: why there is nothing better."""
    version = landlock_version()
    if version < LEAST:
        have = f"has version {version}" if version else "has none"
        return None, f"Landlock of version {LEAST} or later is needed, and this kernel {have}"
    if not strict_filter_for(os.uname().machine, network=False, signals=False):
        return None, f"no system call filter is known for {os.uname().machine}"
    notes = [*reasons, *([] if groups and groups.limits_memory else [NO_MEMORY_LIMIT])]
    sandbox = Landlock(version, hidden=hidden, groups=groups, limits=limits, notes=notes)
    failure = await _what_is_wrong(sandbox, "Landlock")
    return (None, failure) if failure else (sandbox, "")


def _find_bwrap() -> Path | None:
    if SYSTEM_BWRAP.exists():
        return SYSTEM_BWRAP
    found = shutil.which("bwrap")
    return Path(found) if found else None


async def _options(program: Path) -> frozenset[str]:
    """The options that this bwrap has; older ones lack some that are good to have."""
    nowhere = Path("/")
    told = await run_group(
        [str(program), "--help"],
        identity=identity_for(nowhere),
        environment={},
        directory=nowhere,
        command=Command("", nowhere, _PATIENCE, max_output=_HELP),
        emit=lambda _: None,
    )
    return frozenset(word for word in told.output.split() if word.startswith("--"))


async def _what_is_wrong(sandbox: Sandbox, name: str) -> str:
    """A sentence for a person, or nothing."""
    try:
        escapes = await attempt_escapes(sandbox)
    except (OSError, ToolRefused, ProbeFailed) as error:
        return f"{name} does not work here: {error}"
    if escapes:
        return f"{name} does not hold here; a confined command could {', '.join(escapes)}"
    return ""


class ProbeFailed(Exception):
    """The attempts could not be made at all."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where the attempts are made. `nonce` is in every name and secret of them."""

    nonce: str
    workspace: Path
    secrets: tuple[Path, ...]  # files that hold the nonce and must not be readable
    targets: tuple[Path, ...]  # files that must not come into being
    port: int
    process: int  # one of ours, that must not take signals


async def attempt_escapes(sandbox: Sandbox) -> tuple[str, ...]:
    """Try the escapes in this sandbox: what a command *could* do, in words.

    Raises ProbeFailed if a harmless command cannot be run either.
    """
    with _canaries() as (nonce, workspace, secret_files):
        targets = tuple(_targets(nonce, workspace, secret_files))
        async with _listener() as (port, callers):
            ground = _Ground(nonce, workspace, secret_files, targets, port, os.getpid())
            try:
                command = Command(_script(ground), workspace, timeout=_PATIENCE)
                result = await sandbox.run(command, lambda _: None)
                _check_that_it_ran(result, ground)
                shares = sandbox.confinement.level == Level.L2
                return tuple(_escapes(result.output, ground, called=bool(callers), shares=shares))
            finally:
                for target in targets:
                    target.unlink(missing_ok=True)


def _check_that_it_ran(result: CommandResult, ground: _Ground) -> None:
    proof = ground.workspace / "proof"
    if result.exit_code != 0 or not proof.exists():
        said = result.output.strip().splitlines()
        reason = said[0] if said else f"exit code {result.exit_code}"
        raise ProbeFailed(f"a harmless command failed ({reason})")


@contextmanager
def _canaries() -> Iterator[tuple[str, Path, tuple[Path, ...]]]:
    """A workspace, and secrets in the places where people's secrets are."""
    nonce = secrets.token_hex(8)
    made: list[str] = []
    name = f"{_PREFIX}{owner()}-"
    temporary = Path(tempfile.gettempdir())
    remove_orphans(_places(temporary), _PREFIX)
    try:
        workspace = tempfile.mkdtemp(prefix=name, dir=temporary)
        made.append(workspace)
        for place in (temporary, Path.home()):
            try:
                made.append(tempfile.mkdtemp(prefix=name, dir=place))
            except OSError:
                continue  # a home that cannot be written to holds no canary
            Path(made[-1], "secret").write_text(nonce)
        yield nonce, Path(workspace), tuple(Path(folder, "secret") for folder in made[1:])
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _places(temporary: Path) -> tuple[Path, ...]:
    """Folders in which an attempt may leave something."""
    return (Path("/etc"), Path("/usr"), Path("/var"), Path.home(), temporary)


def _targets(nonce: str, workspace: Path, secret_files: Sequence[Path]) -> Iterator[Path]:
    name = f"{_PREFIX}{owner()}-{nonce}"
    for folder in _places(workspace.parent):
        yield folder / name
    for file in secret_files:
        yield file.parent / name
    yield workspace.with_name(workspace.name + "-evil" + name)


@asynccontextmanager
async def _listener() -> AsyncIterator[tuple[int, list[object]]]:
    callers: list[object] = []

    def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(called, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], callers
    finally:
        server.close()
        await server.wait_closed()


def _script(ground: _Ground) -> str:
    """The attempts, in bash alone but for `mount`. The last line proves that all were made."""
    targets = " ".join(shlex.quote(str(path)) for path in ground.targets)
    files = " ".join(shlex.quote(str(path)) for path in ground.secrets)
    mounts, processes = (os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid"))
    return f"""
exec 2>/dev/null
attempt_writes() {{ for file in {targets}; do echo x > "$file"; done; }}
attempt_writes
for file in {files}; do echo "secret: $(<"$file")"; done
if [ "$(readlink /proc/self/ns/mnt)" = {shlex.quote(mounts)} ]; then
    echo "mounts: ours"
elif mount -o remount,rw,bind /; then
    echo "mounts: changed"
    attempt_writes
fi
if [ "$(readlink /proc/self/ns/pid)" = {shlex.quote(processes)} ]; then
    echo "processes: ours"
    kill -0 {ground.process} && echo "signal: sent"
fi
unshare -m true && echo "namespace: made"
for file in /proc/[0-9]*/environ; do
    while IFS= read -r -d '' entry; do echo "variable: ${{entry%%=*}}"; done < "$file"
done
for file in /proc/sys/vm/swappiness /proc/sys/kernel/core_pattern; do
    value=$(<"$file") && echo "$value" > "$file" && echo "kernel: changed"
done
exec 3<>/dev/tcp/127.0.0.1/{ground.port} && echo "network: connected"
echo done > proof
exit 0
"""


def _escapes(output: str, ground: _Ground, *, called: bool, shares: bool) -> Iterator[str]:
    """`shares`: there are no namespaces by design, so that what they would hide is seen."""
    lines = output.splitlines()
    if any(path.exists() for path in ground.targets):
        yield "write outside its workspace"
    if f"secret: {ground.nonce}" in lines:
        yield "read a secret of the home directory"
    mounts = [line for line in lines if line.startswith("mounts: ")]
    if "namespace: made" in lines if shares else mounts:
        yield "change what is mounted"
    if ("signal: sent" if shares else "processes: ours") in lines:
        yield "reach other processes"
    if "kernel: changed" in lines:
        yield "change settings of the kernel"
    names = {line.removeprefix("variable: ") for line in lines if line.startswith("variable: ")}
    allowed = environment_for(identity_for(ground.workspace)).keys() | _SHELL_VARIABLES
    if names - allowed:
        yield "read the environment of this program"
    if called or "network: connected" in lines:
        yield "connect to the network"
