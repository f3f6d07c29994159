"""How a command's shell tells in which directory it ends: by a pipe that only it writes to.

What comes is the command's own word, which it may have made up: whoever uses it looks at where
it leads. Decides nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from turnstone.core.sandbox import Command

#: The least number of the descriptor, above those that a shell's script uses by number.
_LEAST = 50

#: Bytes: twice the longest path. A command that writes more has no use for what it says.
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Reported:
    """`descriptor` is the end for the command; None where it is not to report."""

    descriptor: int | None = None
    readable: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        return () if self.descriptor is None else (self.descriptor,)

    def read(self) -> str:
        """What was said last; empty for nothing. To be called when the command has ended."""
        if self.readable is None:
            return ""
        said = b""
        with suppress(BlockingIOError):
            said = os.read(self.readable, _LONGEST)
        return os.fsdecode(said.removesuffix(b"\n"))


@contextmanager
def reporting(command: Command) -> Iterator[Reported]:
    if not command.report:
        yield Reported()
        return
    readable, writable = os.pipe()
    try:
        high = fcntl.fcntl(writable, fcntl.F_DUPFD_CLOEXEC, _LEAST)
        os.close(writable)
        writable = high
        os.set_blocking(readable, False)
        yield Reported(writable, readable)
    finally:
        os.close(writable)
        os.close(readable)
