"""What one command may use, and the script that sets it, inside, before the command starts.

The limits are set by the fresh shell itself: nothing of ours runs between fork and exec, and
a limit set once as a hard limit cannot be raised again by an unprivileged process.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cache

_MIB = 1024 * 1024


@cache
def _three_quarters_of_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and counts; each process for itself, but `processes`, `together`, `scratch` together."""

    #: Data that one process may allocate. 0: three quarters of the machine's memory.
    memory: int = 0
    #: Data of all processes of one command together, where a control group can be had for it.
    #: 0: three quarters of the machine's memory.
    together: int = 0
    #: The largest file that may be written: a runaway log ends before the disk does.
    file: int = 8 * 1024 * _MIB
    #: Processes and threads of one command. Builds with many threads stay below this.
    processes: int = 1024
    #: Each temporary file system (/tmp, the hidden home): it lives in memory.
    scratch: int = 512 * _MIB

    def memory_of_all(self) -> int:
        return self.together or _three_quarters_of_memory()


#: Told after a command whose background processes ended with it.
STOPPED = "[background processes were stopped with the command]"

#: Before and after a command in a process namespace of its own: looks whether anything but this
#: shell and the first process of the namespace is left. What bash itself would say of a signal
#: is kept off the output.
_QUIET = "exec 3>&2 2>/dev/null"
_WATCH = """code=$?
for process in /proc/[0-9]*; do
    id=${{process#/proc/}}
    case $id in 1|$$) continue;; esac
    read -r line < "$process/stat" || continue
    case ${{line##*) }} in [ZX]*) continue;; esac
    printf '\n%s\n' '{stopped}'
    break
done
exit $code"""

#: Read by the command's shell before the command, so that at its end it says where it is. One
#: that sets such a trap of its own, or becomes another program, says nothing.
_REPORTING = """BASH_ENV=/dev/fd/9 {run} 9<<'END'
unset BASH_ENV
exec 9<&-
trap '{{ builtin pwd -P >&{report} || :; }} 2>/dev/null' EXIT
END"""


@cache
def _bash() -> str:
    return shutil.which("bash") or "/bin/bash"


def shell(
    script: str,
    limits: Limits,
    *,
    count_processes: bool,
    alone: bool = False,
    report: int | None = None,
) -> list[str]:
    """The command line of a fresh bash, without profile or rc file, that runs `script`.

    `count_processes` limits the processes of the *user*; right only in a user namespace of
    its own, where no others are counted. The kernel does not hold root to it.
    `alone`: it runs in a process namespace of its own, so that what it leaves can be told.
    `report`: the descriptor, not 3 nor 9, to which it tells the directory in which it ends.
    """
    bash = _bash()
    memory = limits.memory or _three_quarters_of_memory()
    limits_ = {"c": 0, "d": memory // 1024, "f": limits.file // 1024}
    if count_processes:
        limits_["u"] = limits.processes
    # One that cannot be set is lower already: the machine's own limit is the stricter one.
    lines = [f"ulimit -{kind} {number} 2>/dev/null" for kind, number in limits_.items()]
    run = f'"{bash}" --noprofile --norc -c "$1" bash'
    run = f"{run} 2>&3 3>&-" if alone else f"exec {run}"
    if report is not None:
        run = _REPORTING.format(run=run, report=report)
    lines += [_QUIET, run, _WATCH.format(stopped=STOPPED)] if alone else [run]
    return [bash, "--noprofile", "--norc", "-c", "\n".join(lines), "turnstone", script]
