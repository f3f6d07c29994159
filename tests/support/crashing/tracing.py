"""Kills a process at its N-th system call of a watched kind, whichever of its threads makes it.

A seccomp filter stops the watched calls only, so that everything else runs at full speed; the
stopped ones are counted over all threads (not its children: commands run on when it dies, as
they do after a `kill -9`). The call at which it dies is not carried out. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

#: Numbers of the calls by which a process changes files, or lets go of them.
_X86_64 = {
    "write": 1,
    "close": 3,
    "pwrite64": 18,
    "fcntl": 72,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "rename": 82,
    "unlink": 87,
    "openat": 257,
    "unlinkat": 263,
    "renameat": 264,
    "renameat2": 316,
}
_AARCH64 = {
    "fcntl": 25,
    "unlinkat": 35,
    "renameat": 38,
    "ftruncate": 46,
    "openat": 56,
    "close": 57,
    "write": 64,
    "pwrite64": 68,
    "fsync": 82,
    "fdatasync": 83,
    "renameat2": 276,
}
CALLS = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(platform.machine(), {})

_TRACEME, _CONT, _SETOPTIONS, _GETEVENTMSG, _GETCALL = 0, 7, 0x4200, 0x4201, 0x420E
_ON_FORK, _ON_VFORK, _ON_CLONE, _ON_EXEC, _ON_SECCOMP, _EXITKILL = 2, 4, 8, 16, 128, 1 << 20
_STOPPED_BY_SECCOMP = 7
_WALL = 0x40000000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000

#: The six arguments of a call, in what the kernel tells of it (`struct ptrace_syscall_info`).
_INFO = struct.Struct("32x6Q8x")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


@dataclass
class Traced:
    """How it went: `status` as of `waitpid`, the calls that were counted, the one it died at."""

    status: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    died_at: str = ""


@dataclass(frozen=True)
class Call:
    """A call that a thread is about to make; it waits as long as this is looked at."""

    name: str
    task: int

    def arguments(self) -> tuple[int, ...]:
        """Numbers and addresses, as the kernel gets them."""
        info = ctypes.create_string_buffer(_INFO.size)
        if _libc.ptrace(_GETCALL, self.task, _INFO.size, ctypes.addressof(info)) == -1:
            raise OSError(ctypes.get_errno(), "what a call is given cannot be read")
        return tuple(_INFO.unpack(info.raw))

    def memory(self, address: int, count: int) -> bytes:
        with open(f"/proc/{self.task}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(count)

    def path(self, descriptor: int) -> Path:
        """Of an open file."""
        return Path(f"/proc/{self.task}/fd/{descriptor}").readlink()


def traced(
    main: Callable[[], None], kill_at: int = 0, watch: Callable[[Call], None] | None = None
) -> Traced:
    """Fork, run `main` in the child, kill it at its call number `kill_at` (0: never).

    `watch` is shown each call before it is made. Returns when it, and all that it has started, has ended. The caller has one thread only.
    Raises OSError where processes may not be traced.
    """
    child = os.fork()
    if child == 0:
        _in_child(main)
    os.waitpid(child, 0)
    options = _ON_FORK | _ON_VFORK | _ON_CLONE | _ON_EXEC | _ON_SECCOMP | _EXITKILL
    _ptrace(_SETOPTIONS, child, options)
    _ptrace(_CONT, child, 0)
    return _followed(child, kill_at, watch)


def _followed(child: int, kill_at: int, watch: Callable[[Call], None] | None) -> Traced:
    names, found, own = list(CALLS), Traced(), {child: True}
    while True:
        try:
            task, status = os.waitpid(-1, _WALL)
        except ChildProcessError:
            return found
        if not os.WIFSTOPPED(status):
            own.pop(task, None)
            if task == child:
                found.status = status
            continue
        number, event = os.WSTOPSIG(status), status >> 16
        if task not in own:
            own[task] = _group(task) == child  # its first stop is the tracing's own
            number = 0
        if event == _STOPPED_BY_SECCOMP and own[task] and not found.died_at:
            name = names[_message(task)]
            found.calls[name] += 1
            if found.calls.total() == kill_at:
                found.died_at = name
                os.kill(child, signal.SIGKILL)
                continue
            if watch is not None:
                watch(Call(name, task))
        try:
            _ptrace(_CONT, task, 0 if event else number)
        except ProcessLookupError:
            continue  # killed in the meantime


def _in_child(main: Callable[[], None]) -> None:
    code = 70
    try:
        _ptrace(_TRACEME, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _watch()
        main()
        code = 0
    finally:
        os._exit(code)


def _watch() -> None:
    words = [(_LOAD, 0, 0, 0)]
    for place, number in enumerate(CALLS.values()):
        words += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RET_TRACE | place)]
    words.append((_RETURN, 0, 0, _RET_ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *word) for word in words))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(words), ctypes.addressof(code))
    )
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter can be set")


def _group(task: int) -> int:
    """The process that a thread belongs to."""
    for line in Path(f"/proc/{task}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(task)


def _message(task: int) -> int:
    message = ctypes.c_ulong()
    _ptrace(_GETEVENTMSG, task, ctypes.addressof(message))
    return message.value


def _ptrace(request: int, task: int, data: int) -> None:
    ctypes.set_errno(0)
    if _libc.ptrace(request, task, None, data) == -1 and (number := ctypes.get_errno()):
        raise OSError(number, os.strerror(number))
