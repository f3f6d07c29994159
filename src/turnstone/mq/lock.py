"""A lock of this machine, and who held it: the proof that an earlier worker is dead.

A process that holds the lock writes the boot of its worker into the file. The next one to hold
it reads there which workers are surely gone, so that nobody need wait for the end of their
leases. A copy of the file proves nothing, and is seen: it is another file. Asks no Redis.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from turnstone.core.errors import ConfigurationError

#: Earlier holders that are noted. One that is older has no lease any more, unless as many
#: processes came and went within it.
_KEPT = 16

_BOOT = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Hold:
    """A held lock: the `boot` to work under, and those of the processes that held it before."""

    boot: str
    dead: tuple[str, ...] = ()


@contextmanager
def hold(path: Path, busy: ConfigurationError) -> Iterator[Hold]:
    """Hold the lock of a file, which is made if it is not there. Raises `busy` where another
    process has it, and ConfigurationError where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        try:
            held = _noted(descriptor)
        except OSError as error:
            raise _unwritable(path, error) from error
        yield held
    finally:
        os.close(descriptor)


def _noted(descriptor: int) -> Hold:
    """Read who held the file before, and add a new boot to them."""
    here = os.fstat(descriptor)
    place = f"{here.st_dev}:{here.st_ino}"
    first, *lines = os.pread(descriptor, 4096, 0).decode("ascii", "replace").split("\n")
    dead = [line for line in lines if _BOOT.fullmatch(line)] if first == place else []
    boot = secrets.token_hex(4)
    text = "\n".join([place, *dead[-_KEPT:], boot, ""])
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    return Hold(boot, tuple(dead))


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The lock file {path} cannot be made: {error.strerror}.",
        hint="Make its folder writable for you.",
    )
