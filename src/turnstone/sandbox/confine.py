"""Gives up power by power, and becomes the command: what happens inside at level L2.

Started by itself, `python -I -S confine.py ORDER`, never imported by the rest of turnstone, and
so made of the standard library alone, and of little of it: each import is paid for at each start,
so that `marshal` stands for `json`. ORDER is an `Order`, marshalled, in hexadecimal.

Three processes: the first is the one that the runner knows and may kill at any time; the second,
in a session of its own, sees the first one die by a pipe, and kills whatever the command has
started, wherever it has hidden: the kernel gives it every orphan. The third is the command.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import signal
import struct
import sys
import time

TYPE_CHECKING = False  # as `typing` has it, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import TypedDict

    class Order(TypedDict):
        """Paths with the rights on what is below them, as the kernel counts both."""

        files: int  # rights on files that are held back where no rule gives them
        network: int
        scopes: int
        rules: list[tuple[str, int]]
        filter: str  # hexadecimal
        user: tuple[int, int] | None  # to become
        command: list[str]
        stopped: str  # what to print if processes were left
        told: int  # a descriptor that is closed when all are gone


_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_BENEATH = 1
_DEATH_SIGNAL, _REAPER, _NO_NEW_PRIVILEGES, _SECCOMP = 1, 36, 38, 22
_DROP_BOUND, _AMBIENT, _CLEAR = 24, 47, 4
_CAPABILITIES = range(64)
_FILTER = 2

#: Rights that make sense on a file: execute, write, read, truncate, device orders.
_ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15

_PAUSE = 0.002

_libc = ctypes.CDLL(None, use_errno=True)


def main(order: Order) -> None:
    parent = os.getppid()
    _check(_libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        return  # ended before the line above was of use
    watched, held = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        os.close(held)
        watch(order, watched)
    os.close(order["told"])
    os.close(watched)
    _, status = os.waitpid(watcher, 0)
    os._exit(_exit_code(status))


def watch(order: Order, watched: int) -> None:
    """Start the command, wait for it or for the end of our parent, and leave nothing behind."""
    os.setsid()
    _check(_libc.prctl(_REAPER, 1, 0, 0, 0), "prctl")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.close(watched)
        os.close(order["told"])
        become(order)
    os.set_blocking(watched, False)
    status = _wait(child, watched)
    left = end_descendants()
    if status is None:
        os._exit(1)
    if left:
        os.write(1, f"\n{order['stopped']}\n".encode())
    os._exit(_exit_code(status))


def _wait(child: int, watched: int) -> int | None:
    """The status of the command; None if our parent ended first."""
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == child:
                return status
            if pid == 0:
                break
        try:
            if os.read(watched, 1) == b"":
                return None
        except BlockingIOError:
            pass


def end_descendants() -> bool:
    """Whether there were any that were alive. All orphans are ours, so in the end all are."""
    found = False
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return found
        alive = _descendants()
        found = found or bool(alive)
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(_PAUSE)


def _descendants() -> list[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                words = file.read().rpartition(b") ")[2].split()
        except OSError:
            continue
        if words[0] not in b"ZX":
            parents[int(name)] = int(words[1])
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return sorted(own - {os.getpid()})


def become(order: Order) -> None:
    """Never returns: the command, or an exit with 126 and a sentence."""
    try:
        os.setsid()
        _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
        restrict_files(order)
        drop_powers(order["user"])
        restrict_calls(bytes.fromhex(order["filter"]))
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and so by its children
            signal.signal(ignored, signal.SIG_DFL)
        os.execv(order["command"][0], order["command"])  # noqa: S606 - without a shell, as meant
    except OSError as error:
        os.write(2, f"the command could not be confined: {error}\n".encode())
    os._exit(126)


def restrict_files(order: Order) -> None:
    sizes = struct.pack("QQQ", order["files"], order["network"], order["scopes"])
    size = 24 if order["scopes"] else 16 if order["network"] else 8
    ruleset = _call(_CREATE_RULESET, sizes, size, 0)
    for path, rights in order["rules"]:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # it is gone, and so not to be had
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        held = rights if folder else rights & _ON_FILES
        _call(_ADD_RULE, ruleset, _BENEATH, struct.pack("=Qi", held, descriptor), 0)
        os.close(descriptor)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def drop_powers(user: tuple[int, int] | None) -> None:
    if os.geteuid() == 0:
        for capability in _CAPABILITIES:
            _libc.prctl(_DROP_BOUND, capability, 0, 0, 0)  # fails behind the last one
    if user is not None:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
    _libc.prctl(_AMBIENT, _CLEAR, 0, 0, 0)
    header = struct.pack("Ii", 0x20080522, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def restrict_calls(program: bytes) -> None:
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    _check(_libc.prctl(_SECCOMP, _FILTER, header, 0, 0), "prctl")


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(number, *arguments), "landlock")


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _exit_code(status: int) -> int:
    """As a shell tells it: a signal is 128 and its number."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main(marshal.loads(bytes.fromhex(sys.argv[1])))  # noqa: S302 - our own process has made it
