"""Starts one program in a process group of its own, follows its output, and ends the group.

Used by every kind of sandbox; confines nothing by itself. Whatever happens (the program
ends, its time is up, the caller is cancelled or fails), the whole group is gone afterwards.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from turnstone.core.head_tail import HeadTail
from turnstone.core.sandbox import Command, CommandResult
from turnstone.sandbox.identity import Identity
from turnstone.sandbox.kept import Kept
from turnstone.sandbox.limits import STOPPED

#: Seconds that output is still read after the program has ended: enough for what is in the
#: pipe. A background process may hold the pipe open for ever, so its end is not waited for.
GRACE = 0.25

#: Bytes of one read, and of the buffer before the pipe is left to fill up.
_CHUNK = 64 * 1024


async def run_group(
    argv: Sequence[str],
    *,
    identity: Identity,
    environment: Mapping[str, str],
    directory: Path,
    command: Command,
    emit: Callable[[str], None],
    descriptors: Sequence[int] = (),
    tell_stopped: bool = False,
) -> CommandResult:
    """Run `argv` with exactly this environment, and only these descriptors.

    Of `command` its limits and stdin count, and where the whole output is kept. With `tell_stopped`, a
    line is added to the output if processes of the group were left. Raises OSError if it
    cannot be started.
    """
    started = time.monotonic()
    output = HeadTail(command.max_output)
    kept = Kept(command.keep, command.max_output)

    def take(text: str) -> None:
        if text:
            output.add(text)
            kept.add(text)
            emit(text)

    readable, writable = os.pipe()
    try:
        pipes = (command.stdin, writable)
        process = await _spawn(argv, identity, environment, directory, pipes, descriptors)
    except BaseException:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    pump = asyncio.create_task(_pump(readable, take))
    timed_out = False
    try:
        async with asyncio.timeout(command.timeout):
            await _ended(process, pump)
    except TimeoutError:
        timed_out = True
    finally:
        left = tell_stopped and not timed_out and _is_group_alive(process.pid)
        try:
            await _end(process, pump)
        finally:
            kept.close()
    if left:
        output.add(f"\n{STOPPED}\n")
        emit(f"\n{STOPPED}\n")
    return CommandResult(
        exit_code=None if timed_out else process.returncode,
        output=output.text(),
        dropped=output.dropped,
        duration=time.monotonic() - started,
        timed_out=timed_out,
        kept=kept.bytes,
        kept_whole=kept.whole,
    )


async def _spawn(
    argv: Sequence[str],
    identity: Identity,
    environment: Mapping[str, str],
    directory: Path,
    pipes: tuple[int | None, int],
    descriptors: Sequence[int],
) -> asyncio.subprocess.Process:
    stdin, stdout = pipes
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        stderr=stdout,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
        pass_fds=descriptors,
        user=identity.uid if identity.dropped else None,
        group=identity.gid if identity.dropped else None,
        extra_groups=[] if identity.dropped else None,
    )


async def _ended(process: asyncio.subprocess.Process, pump: asyncio.Task[None]) -> None:
    """Wait for the program; a pump that fails (its reader refused the text) ends the wait."""
    waiting = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({waiting, pump}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
        await waiting
    finally:
        waiting.cancel()
    await asyncio.wait({pump}, timeout=GRACE)


def _is_group_alive(group: int) -> bool:
    """Whether the group of an ended program has processes other than dead ones."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


async def _end(process: asyncio.subprocess.Process, pump: asyncio.Task[None]) -> None:
    """Kill the group, reap the program, and take what is left in the pipe.

    Cancelled meanwhile, it still reaps before it lets the cancellation pass.
    """
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it is gone; macOS says so of zombies with a permission error
    reaped = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({reaped})
        await asyncio.wait({pump}, timeout=GRACE)
    finally:
        pump.cancel()
        await asyncio.wait({reaped, pump})
    if not pump.cancelled():
        pump.result()


async def _pump(readable: int, take: Callable[[str], None]) -> None:
    """Read to the end of the pipe, decoding as it comes. The transport closes the pipe."""
    reader = asyncio.StreamReader(limit=_CHUNK)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pipe = os.fdopen(readable, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(_CHUNK):
            take(decoder.decode(chunk))
        take(decoder.decode(b"", final=True))
    finally:
        transport.close()
