"""`!command`: a command that the person runs, as the person, and shares with the model.

It is their own shell in the workspace, and no tool call: no policy, no sandbox, nothing on
stdin. What it printed is shown, and told to the model as text, its control characters as
pictures of themselves.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from turnstone.cli.plain import plain
from turnstone.core.head_tail import HeadTail

#: Characters of output that the model is told: the head and the tail.
TOLD = 30_000
#: Seconds in which a command ends that was told to.
ENDING = 2.0

#: Bytes that are read at a time, and how often once the command has ended: a pipe holds no more
#: than that of what it has printed, and what it has left running may print for ever.
_PIECE, _REST = 1 << 16, 16
_TICKS = re.compile(r"`{3,}")


async def run(command: str, folder: Path, show: Callable[[str], None]) -> str:
    """Run it; `show` is given what it prints as it comes. Returns the message for the model.

    Cancelled, it stops the command with all it has started. Raises OSError where there is no
    shell or no folder.
    """
    reader, writer = os.pipe()  # asyncio's own would have us wait until nobody holds it any more
    output = _Output(reader, show)
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                os.environ.get("SHELL") or "/bin/sh",
                "-c",
                command,
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
            )
        finally:
            os.close(writer)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise
    finally:
        output.close()
    return message(command, folder, output.text(), code)


def message(command: str, folder: Path, output: str, code: int) -> str:
    """What the model is told. No output can end the fence that it stands in."""
    output = plain(output).rstrip("\n")
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(f"{command}\n{output}"))])
    ended = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
    said = f"I ran this command myself, in {plain(str(folder))} ({ended}):"
    shown = "\n".join(part for part in (f"$ {plain(command)}", output) if part)
    return f"{said}\n\n{fence}\n{shown}\n{fence}"


class _Output:
    """What comes out of a pipe, shown as it comes, and kept in part. Use inside the event loop."""

    def __init__(self, reader: int, show: Callable[[str], None]) -> None:
        self._reader = reader
        self._show = show
        self._kept = HeadTail(TOLD)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._loop = asyncio.get_running_loop()
        os.set_blocking(reader, False)
        self._loop.add_reader(reader, self._take)

    def text(self) -> str:
        return self._kept.text()

    def close(self) -> None:
        """Take what is there, and no more."""
        for _ in range(_REST):
            if not self._take():
                break
        self._told(self._decoder.decode(b"", final=True))
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _take(self) -> bool:
        """Whether there was something."""
        try:
            piece = os.read(self._reader, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self._loop.remove_reader(self._reader)
        self._told(self._decoder.decode(piece))
        return bool(piece)

    def _told(self, text: str) -> None:
        if text:
            self._kept.add(text)
            self._show(plain(text))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Told to end, and then made to: with all that is in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=ENDING)
