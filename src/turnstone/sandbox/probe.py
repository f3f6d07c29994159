"""Finds out what this machine can confine, by trying to get out.

No version, kernel setting or file is trusted as a sign: a confined shell attempts what an
attacker would, and whatever gets through is looked for from outside. One bubblewrap that
lets a single attempt pass is no bubblewrap.
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
from turnstone.core.sandbox import Command, CommandResult, Sandbox
from turnstone.sandbox.bwrap import NO_PROCESS_LIMIT, Bubblewrap
from turnstone.sandbox.cgroup import find_process_groups
from turnstone.sandbox.identity import environment_for, identity_for
from turnstone.sandbox.limits import Limits
from turnstone.sandbox.none import Unconfined
from turnstone.sandbox.orphans import end_orphans
from turnstone.sandbox.runner import run_group

#: The system's own path first: exceptions of AppArmor for user namespaces name this one.
SYSTEM_BWRAP = Path("/usr/bin/bwrap")

#: Seconds for all attempts together: they take hundredths; a hanging bwrap is no bwrap.
_PATIENCE = 5.0

#: Characters of bwrap's help; it is about 6,000.
_HELP = 100_000

_INSTALL = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap)"

#: Variables that bash and bwrap set by themselves.
_SHELL_VARIABLES = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})


async def find_sandbox(
    *,
    hidden: Sequence[Path] = (),
    limits: Limits | None = None,
    bwrap: Path | None = None,
) -> Sandbox:
    """The best confinement that holds here; its `confinement` says which, and what is missing.

    `hidden` are folders that no command may see: our own state and settings. `bwrap` is the
    program to try; by default the system's.
    """
    if sys.platform != "linux":
        return Unconfined(["commands can be confined on Linux only"], limits)
    program = bwrap or _find_bwrap()
    if program is None or not program.exists():
        return Unconfined([f"bubblewrap is not installed; {_INSTALL}"], limits)
    try:
        options = await _options(program)
    except OSError as error:
        return Unconfined([f"bubblewrap cannot be started: {error}"], limits)
    end_orphans()
    groups = find_process_groups() if os.geteuid() == 0 else None
    sandbox = Bubblewrap(
        program,
        options=options,
        hidden=hidden,
        groups=groups,
        limits=limits,
        notes=[NO_PROCESS_LIMIT] if os.geteuid() == 0 and groups is None else [],
    )
    failure = await _what_is_wrong(sandbox)
    if failure:
        return Unconfined([failure], limits)
    return sandbox


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
        timeout=_PATIENCE,
        max_output=_HELP,
        emit=lambda _: None,
    )
    return frozenset(word for word in told.output.split() if word.startswith("--"))


async def _what_is_wrong(sandbox: Sandbox) -> str:
    """A sentence for a person, or nothing."""
    try:
        escapes = await attempt_escapes(sandbox)
    except (OSError, ToolRefused, ProbeFailed) as error:
        return f"bubblewrap does not work here: {error}"
    if escapes:
        return f"bubblewrap does not hold here; a confined command could {', '.join(escapes)}"
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


async def attempt_escapes(sandbox: Sandbox) -> tuple[str, ...]:
    """Try the escapes in this sandbox: what a command *could* do, in words.

    Raises ProbeFailed if a harmless command cannot be run either.
    """
    with _canaries() as (nonce, workspace, secret_files):
        targets = tuple(_targets(nonce, workspace, secret_files))
        async with _listener() as (port, callers):
            ground = _Ground(nonce, workspace, secret_files, targets, port)
            try:
                command = Command(_script(ground), workspace, timeout=_PATIENCE)
                result = await sandbox.run(command, lambda _: None)
                _check_that_it_ran(result, ground)
                return tuple(_escapes(result.output, ground, called=bool(callers)))
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
    try:
        workspace = tempfile.mkdtemp(prefix="turnstone-probe-")
        made.append(workspace)
        for folder in (tempfile.gettempdir(), str(Path.home())):
            try:
                made.append(tempfile.mkdtemp(prefix=".turnstone-probe-", dir=folder))
            except OSError:
                continue  # a home that cannot be written to holds no canary
            Path(made[-1], "secret").write_text(nonce)
        yield nonce, Path(workspace), tuple(Path(folder, "secret") for folder in made[1:])
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _targets(nonce: str, workspace: Path, secret_files: Sequence[Path]) -> Iterator[Path]:
    name = f".turnstone-probe-{nonce}"
    for folder in (Path("/etc"), Path("/usr"), Path("/var"), Path.home(), workspace.parent):
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
[ "$(readlink /proc/self/ns/pid)" = {shlex.quote(processes)} ] && echo "processes: ours"
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


def _escapes(output: str, ground: _Ground, *, called: bool) -> Iterator[str]:
    lines = output.splitlines()
    if any(path.exists() for path in ground.targets):
        yield "write outside its workspace"
    if f"secret: {ground.nonce}" in lines:
        yield "read a secret of the home directory"
    if any(line.startswith("mounts: ") for line in lines):
        yield "change what is mounted"
    if "processes: ours" in lines:
        yield "reach other processes"
    if "kernel: changed" in lines:
        yield "change settings of the kernel"
    names = {line.removeprefix("variable: ") for line in lines if line.startswith("variable: ")}
    allowed = environment_for(identity_for(ground.workspace)).keys() | _SHELL_VARIABLES
    if names - allowed:
        yield "read the environment of this program"
    if called or "network: connected" in lines:
        yield "connect to the network"
