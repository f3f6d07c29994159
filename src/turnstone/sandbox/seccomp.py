"""The system calls that a confined command may not make, as a program for the kernel.

Pure: numbers in, bytes out; others hand them over. A namespace does not hold back what
is refused here: keys of the person's session, sockets to the host of a virtual machine, and
interfaces of the kernel that commands of an agent have no use for and attackers have.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # refused with EPERM (1)

#: Where the kernel puts what is looked at: number, architecture, the first argument.
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16

#: Numbers of the second interface of x86-64 (x32), through which every call could be made again.
_X32 = 0x40000000

#: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. All others: AF_VSOCK reaches the host of a virtual
#: machine through every network namespace; the rest is old, rare, and full of faults.
_FAMILIES = (1, 2, 10, 16)

#: Without AF_UNIX, where nothing may be reached: the socket of a service of the host is a file,
#: which no namespace of the network hides. A filter cannot look at the address that is connected
#: to, and which files are sockets cannot be known beforehand: /proc/net/unix names those of its own
#: network namespace alone, so not those of containers in shared folders, nor those that come later.
#: So sockets of the workspace are refused with the rest. A pair (socketpair) is another call, and
#: stays. At level L2, where no namespace stands between a command and the rest, there are no
#: sockets at all, or those of the network; never AF_UNIX: Landlock lets a command connect to the
#: socket of a service that gives out root (docker.sock).
_NETWORK_FAMILIES = (2, 10, 16)


@dataclass(frozen=True, slots=True)
class _Machine:
    architecture: int
    socket: int
    refused: tuple[int, ...]
    refused_without_namespaces: tuple[int, ...]
    signals: tuple[int, ...]
    prlimit: int


#: First, in this order: add_key, request_key, keyctl (keyrings are in no namespace), bpf,
#: perf_event_open, userfaultfd, kexec_load, io_uring (makes calls that no filter sees).
#: Then what a namespace would have made harmless: ptrace, process_vm_readv and _writev, mount,
#: umount2, pivot_root, chroot, unshare, setns, open_by_handle_at, loading of modules, swap,
#: reboot, the machine's name and clock, accounting, the newer calls of mounting, pidfd_getfd,
#: moving another's pages, kcmp, process_madvise; and memory, semaphores and messages that are
#: shared by number (System V) or by a name that is no file (mq_open).
#: Last, signals by whichever call: kill, tkill, tgkill, both queues, pidfd_send_signal.
_MACHINES = {
    "x86_64": _Machine(
        0xC000003E,
        41,
        (248, 249, 250, 321, 298, 323, 246, 425, 426, 427),
        (
            *(101, 310, 311, 165, 166, 155, 161, 272, 308, 304, 175, 313, 176, 167, 168, 169, 170),
            *(171, 164, 227, 305, 163, 428, 429, 430, 431, 432, 433, 442, 438, 256, 279, 312, 440),
            *(29, 30, 31, 64, 65, 66, 220, 68, 69, 70, 71, 240, 241),
        ),
        (62, 200, 234, 129, 297, 424),
        302,
    ),
    "aarch64": _Machine(
        0xC00000B7,
        198,
        (217, 218, 219, 280, 241, 282, 104, 425, 426, 427),
        (
            *(117, 270, 271, 40, 39, 41, 51, 97, 268, 265, 105, 273, 106, 224, 225, 142, 161, 162),
            *(170, 112, 266, 89, 428, 429, 430, 431, 432, 433, 442, 438, 238, 239, 272, 440),
            *(194, 195, 196, 190, 191, 192, 193, 186, 187, 188, 189, 180, 181),
        ),
        (129, 130, 131, 138, 240, 424),
        261,
    ),
}


def filter_for(machine: str, *, network: bool) -> bytes:
    """The filter for a machine as `os.uname` calls it; empty for one that is not known."""
    if machine not in _MACHINES:
        return b""
    known = _MACHINES[machine]
    families = _FAMILIES if network else _NETWORK_FAMILIES
    return _program(known, known.refused, {known.socket: families})


def strict_filter_for(machine: str, *, network: bool, signals: bool) -> bytes:
    """The filter where there are no namespaces; empty for a machine that is not known.

    `signals`: something else keeps them from other processes, so that they can be allowed.
    """
    if machine not in _MACHINES:
        return b""
    known = _MACHINES[machine]
    refused = known.refused + known.refused_without_namespaces
    if not signals:
        refused += known.signals
    families = _NETWORK_FAMILIES if network else ()
    # Limits of another process can be set to nothing, which ends it; 0 is oneself.
    return _program(known, refused, {known.socket: families, known.prlimit: (0,)})


def _program(
    known: _Machine, numbers: tuple[int, ...], by_first: Mapping[int, tuple[int, ...]]
) -> bytes:
    """Refuses these numbers; and those of `by_first` but with one of these first arguments."""
    blocks = [row for number, allowed in by_first.items() for row in _only(number, allowed)]
    # Jumps are counted from the next instruction; the filter ends: allow, refuse.
    to_refusal = len(blocks) + 1
    refused = [
        _do(_EQUALS, number, yes=len(numbers) - 1 - i + to_refusal)
        for i, number in enumerate(numbers)
    ]
    return b"".join(
        [
            _do(_LOAD, _ARCHITECTURE),
            _do(_EQUALS, known.architecture, yes=1),
            _do(_RETURN, _KILL),
            _do(_LOAD, _NUMBER),
            _do(_AT_LEAST, _X32, yes=len(refused) + to_refusal),
            *refused,
            *blocks,
            _do(_RETURN, _ALLOW),
            _do(_RETURN, _REFUSE),
        ]
    )


def _only(number: int, allowed: tuple[int, ...]) -> list[bytes]:
    return [
        _do(_EQUALS, number, no=len(allowed) + 3),
        _do(_LOAD, _FIRST),
        *(_do(_EQUALS, value, yes=len(allowed) - i) for i, value in enumerate(allowed)),
        _do(_RETURN, _REFUSE),
        _do(_RETURN, _ALLOW),
    ]


def _do(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
