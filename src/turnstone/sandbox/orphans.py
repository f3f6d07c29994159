"""Ends what a killed node of ours has left of its sandboxes.

bwrap ties its processes to their parents' lives one after the other, and the first process of
the sandbox last: where the node dies while bwrap is setting up, that one waits for ever for a
word of a parent that is gone. It never runs the command. So every bwrap carries a mark that
names its node, and the next node to start ends those whose node is gone. What a node makes to
try its sandbox carries the same mark, and goes the same way. Touches nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: As an argument of bwrap, behind `--unsetenv`: there is no such variable.
_MARK = re.compile(rb"\0--unsetenv\0turnstone-node-(\d+-\d+-\d+)\0")

_OWNER = re.compile(r"\d+-\d+-\d+")


def owner() -> str:
    """A word for this process: by its id and the time of its start, for an id comes again; and
    by the namespace in which that is its id, for a container's are others."""
    process = os.getpid()
    return f"{_namespace()}-{process}-{_started(process)}"


def marked() -> tuple[str, str]:
    """Options of bwrap that say that it is ours."""
    return "--unsetenv", f"turnstone-node-{owner()}"


def end_orphans() -> None:
    """Kill the processes of sandboxes whose node has ended."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found = _MARK.search(entry.joinpath("cmdline").read_bytes())
            if found is not None and _is_gone(found[1].decode()):
                os.kill(int(entry.name), signal.SIGKILL)


def remove_orphans(places: Iterable[Path], prefix: str) -> None:
    """Remove the files and folders in these places whose name is `prefix`, the word for a
    process that has ended, and whatever follows. No link is followed."""
    for place in places:
        for entry in place.glob(f"{prefix}*"):
            found = _OWNER.match(entry.name.removeprefix(prefix))
            if found is None or not _is_gone(found[0]):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()


def _is_gone(whose: str) -> bool:
    """Whether the process of this word has ended; not known of one in another namespace."""
    namespace, process, started = whose.split("-")
    return int(namespace) == _namespace() and _started(int(process)) != started


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started(process: int) -> str:
    """When a process started, in the kernel's ticks; empty for one that is gone."""
    try:
        words = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2]
    except OSError:
        return ""
    return words.split()[19]
