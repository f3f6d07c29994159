"""The system calls that a confined command may not make, as a program for the kernel.

Pure: numbers in, bytes out; bubblewrap hands them over. A namespace does not hold back what
is refused here: keys of the person's session, sockets to the host of a virtual machine, and
interfaces of the kernel that commands of an agent have no use for and attackers have.
"""

from __future__ import annotations

import struct
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


@dataclass(frozen=True, slots=True)
class _Machine:
    architecture: int
    socket: int
    refused: tuple[int, ...]


#: In this order: add_key, request_key, keyctl (keyrings are in no namespace), bpf,
#: perf_event_open, userfaultfd, kexec_load, io_uring (makes calls that no filter sees).
_MACHINES = {
    "x86_64": _Machine(0xC000003E, 41, (248, 249, 250, 321, 298, 323, 246, 425, 426, 427)),
    "aarch64": _Machine(0xC00000B7, 198, (217, 218, 219, 280, 241, 282, 104, 425, 426, 427)),
}


def filter_for(machine: str) -> bytes:
    """The filter for a machine as `os.uname` calls it; empty for one that is not known."""
    if machine not in _MACHINES:
        return b""
    known = _MACHINES[machine]
    # Jumps are counted from the next instruction; the filter ends: refuse, allow.
    families = [
        _do(_LOAD, _FIRST),
        *(_do(_EQUALS, f, yes=len(_FAMILIES) - i) for i, f in enumerate(_FAMILIES)),
    ]
    end = len(families)
    refused = [
        _do(_EQUALS, number, yes=len(known.refused) - i + end)
        for i, number in enumerate(known.refused)
    ]
    return b"".join(
        [
            _do(_LOAD, _ARCHITECTURE),
            _do(_EQUALS, known.architecture, yes=1),
            _do(_RETURN, _KILL),
            _do(_LOAD, _NUMBER),
            _do(_AT_LEAST, _X32, yes=len(refused) + 1 + end),
            *refused,
            _do(_EQUALS, known.socket, no=end + 1),
            *families,
            _do(_RETURN, _REFUSE),
            _do(_RETURN, _ALLOW),
        ]
    )


def _do(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
