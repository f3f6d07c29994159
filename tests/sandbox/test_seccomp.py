"""The filter, as the kernel would run it, for machines that the tests do not run on too."""

from __future__ import annotations

import struct

import pytest

from turnstone.sandbox.seccomp import filter_for, strict_filter_for

ALLOWED, REFUSED, KILLED = 0x7FFF0000, 0x50001, 0x80000000

#: Architecture, socket, openat, keyctl.
MACHINES = {"x86_64": (0xC000003E, 41, 257, 250), "aarch64": (0xC00000B7, 198, 56, 219)}


def verdict(
    machine: str, number: int, *, first: int = 0, architecture: int = 0, program: bytes = b""
) -> int:
    """Runs the four instructions that the filter is made of."""
    data = {0: number, 4: architecture or MACHINES[machine][0], 16: first}
    instructions = list(struct.iter_unpack("=HBBI", program or filter_for(machine, network=True)))
    at = value = 0
    while True:
        code, yes, no, operand = instructions[at]
        at += 1
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            value = data[operand]
        elif code == 0x15:
            at += yes if value == operand else no
        else:
            assert code == 0x35
            at += yes if value >= operand else no


@pytest.mark.parametrize("machine", MACHINES)
def test_ordinary_calls_are_allowed_and_dangerous_ones_refused(machine: str) -> None:
    _, _, openat, keyctl = MACHINES[machine]

    assert verdict(machine, openat) == ALLOWED
    assert [verdict(machine, number) for number in (keyctl, 425, 426, 427)] == [REFUSED] * 4
    assert verdict(machine, 424) == verdict(machine, 428) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_only_the_usual_families_of_sockets_are_allowed(machine: str) -> None:
    number = MACHINES[machine][1]

    allowed = [
        [f for f in range(50) if verdict(machine, number, first=f, program=program) == ALLOWED]
        for program in (filter_for(machine, network=True), filter_for(machine, network=False))
    ]

    assert allowed == [[1, 2, 10, 16], [2, 10, 16]]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_second_interface_leads_around_the_filter(machine: str) -> None:
    assert verdict(machine, 0x40000000 + 41) == REFUSED
    assert verdict(machine, 102, architecture=0x40000003) == KILLED


def test_there_is_no_filter_for_a_machine_that_is_not_known() -> None:
    assert filter_for("riscv64", network=False) == b""
    assert strict_filter_for("riscv64", network=False, signals=True) == b""


#: kill, ptrace, mount, shmget, prlimit64; and tgkill last.
STRICT = {"x86_64": (62, 101, 165, 29, 302, 234), "aarch64": (129, 117, 40, 194, 261, 131)}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_strict_filter_refuses_what_no_namespace_makes_harmless(machine: str) -> None:
    kill, ptrace, mount, shmget, prlimit, tgkill = STRICT[machine]
    _, socket, openat, keyctl = MACHINES[machine]
    held = strict_filter_for(machine, network=False, signals=True)
    loose = strict_filter_for(machine, network=True, signals=False)

    for program in (held, loose):
        for number in (ptrace, mount, shmget, keyctl, 0x40000000 + 41):
            assert verdict(machine, number, program=program) == REFUSED
        assert verdict(machine, openat, program=program) == ALLOWED
        assert verdict(machine, prlimit, first=0, program=program) == ALLOWED
        assert verdict(machine, prlimit, first=1, program=program) == REFUSED
    for number in (kill, tgkill):
        assert verdict(machine, number, program=held) == ALLOWED
        assert verdict(machine, number, program=loose) == REFUSED
    families = [
        [f for f in range(50) if verdict(machine, socket, first=f, program=p) == ALLOWED]
        for p in (held, loose)
    ]
    assert families == [[], [2, 10, 16]]
