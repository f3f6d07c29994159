"""Ends what a killed node of ours has left of its sandboxes.

bwrap ties its processes to their parents' lives one after the other, and the first process of
the sandbox last: where the node dies while bwrap is setting up, that one waits for ever for a
word of a parent that is gone. It never runs the command. So every bwrap carries a mark that
names its node, and the next node to start ends those whose node is gone. Touches nothing else.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

#: As an argument of bwrap, behind `--unsetenv`: there is no such variable. By the node's
#: process and the time of its start, for a process id comes again; and by the namespace in
#: which that is its id, for a container's are others.
_MARK = re.compile(rb"\0--unsetenv\0turnstone-node-(\d+)-(\d+)-(\d+)\0")


def marked() -> tuple[str, str]:
    """Options of bwrap that say that it is ours."""
    process = os.getpid()
    return "--unsetenv", f"turnstone-node-{_namespace()}-{process}-{_started(process)}"


def end_orphans() -> None:
    """Kill the processes of sandboxes whose node has ended."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found = _MARK.search(entry.joinpath("cmdline").read_bytes())
            if found is None or int(found[1]) != _namespace():
                continue
            if _started(int(found[2])) != found[3].decode():
                os.kill(int(entry.name), signal.SIGKILL)


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


def _started(process: int) -> str:
    """When a process started, in the kernel's ticks; empty for one that is gone."""
    try:
        words = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2]
    except OSError:
        return ""
    return words.split()[19]
