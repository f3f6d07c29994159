"""Each attack is tried on both engines of `math`, where it must fail, and on a bare Python,
where it must succeed: an attack that never works proves nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import needs
from support.tools import call
from tools.math_attacks import ATTACKS, Attack
from turnstone.core.sandbox import Level
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined, find_sandbox
from turnstone.tools.math import Math
from turnstone.tools.math_outcome import MAX_TEXT, report
from turnstone.tools.math_python import run_in_python

#: Seconds for the code, and those that a call may take in all on a busy machine.
SECONDS, PATIENCE = 1.0, 20.0

#: Seconds for an attack that takes what it can get: it is the guard that ends it, or the time.
HARMFUL_SECONDS = 0.5

#: Bytes: how much this process may grow by an attack.
GROWTH = 50 * 2**20

#: What a bare Python may take before it counts as having been harmed. The seconds are counted
#: from when the code begins: longer than those in which `math` puts an end to it.
BARE_SECONDS, BARE_MEMORY, BARE_OUTPUT = 1.0, 250 * 2**20, 1_000_000


@dataclass
class Ground:
    """What an attack is after; `touched` says whether it has got to any of it."""

    nonce: str
    file: Path
    target: Path
    victim: subprocess.Popen[bytes]
    port: int = 0
    callers: list[object] = field(default_factory=list)

    def code(self, attack: Attack) -> str:
        names = {"FILE": self.file, "TARGET": self.target, "PORT": self.port}
        code = attack.code
        for name, value in {**names, "PID": self.victim.pid}.items():
            code = code.replace(name, str(value))
        return code

    def _was_called(self) -> bool:
        """Whether anybody connected: who did before this call of ours has been accepted by now."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as own:
            mine = own.getsockname()
            deadline = time.monotonic() + 10
            while mine not in self.callers and time.monotonic() < deadline:
                time.sleep(0.001)
        return any(caller != mine for caller in self.callers)

    def touched(self, output: str) -> list[str]:
        marks = {
            "reads": self.nonce in output,
            "writes": os.path.lexists(self.target),
            "connects": self._was_called(),
            "kills": self.victim.poll() is not None,
        }
        return [kind for kind, mark in marks.items() if mark]


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    nonce = secrets.token_hex(12)
    monkeypatch.setenv("TURNSTONE_CANARY", nonce)
    file = tmp_path / "secret.py"
    file.write_text(f"{nonce} is no Python\n")
    victim = subprocess.Popen(["sleep", "1000"])
    ground = Ground(nonce, file, tmp_path / "target", victim)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        ground.port = server.getsockname()[1]
        thread = threading.Thread(target=_accept, args=(server, ground.callers))
        thread.start()
        yield ground
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    victim.kill()
    victim.wait()


def _accept(server: socket.socket, callers: list[object]) -> None:
    while True:
        try:
            connection, address = server.accept()
        except OSError:
            return
        callers.append(address)
        connection.close()


def limit(attack: Attack) -> float:
    """Seconds for it: what is to get through to something has the time that a start may take."""
    return HARMFUL_SECONDS if attack.kind == "takes" else SECONDS


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_fails_in_monty(
    attack: Attack, ground: Ground, context: ToolContext
) -> None:
    before, began = memory(), time.monotonic()

    tool = Math(Unconfined(), seconds=limit(attack))
    result = await call(tool, context, code=ground.code(attack))

    assert ground.touched(result.output) == []
    assert len(result.output) <= context.max_output + 100
    assert memory() - before < GROWTH
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_an_attack_fails_in_the_python_of_the_sandbox(attack: Attack, ground: Ground) -> None:
    needs.require("bwrap")
    sandbox = await find_sandbox()
    if sandbox.confinement.level < Level.L2:
        needs.give_up("; ".join(sandbox.confinement.notes))
    before, began = memory(), time.monotonic()

    outcome = await run_in_python(ground.code(attack), limit(attack), sandbox)

    output = report(outcome, limit(attack))
    assert ground.touched(output) == []
    assert len(output) <= 3 * MAX_TEXT
    assert memory() - before < GROWTH
    assert time.monotonic() - began < PATIENCE


#: What the sandbox alone would let pass: its view of the system, and its own small folder.
POWERS = {
    "to read what the sandbox shows": "open('/etc/passwd')",
    "to list it": "import os\nos.listdir('/')",
    "to see what is there": "import os\nos.stat('/etc/passwd')",
    "to write in its own folder": "open('made', 'w')",
    "to remove what is there": "import os\nos.unlink('code.txt')",
    "to open a socket": "import _socket\n_socket.socket()",
    "to start a process": "import os\nos.fork()",
    "to become another program": "import os\nos.execv('/bin/true', ['true'])",
    "to send a signal": "import os\nos.kill(os.getpid(), 0)",
    "to wait": "import time\ntime.sleep(1)",
}


@pytest.mark.parametrize("power", POWERS)
async def test_the_python_of_the_sandbox_has_no_power_left(power: str) -> None:
    needs.require("bwrap")

    outcome = await run_in_python(POWERS[power], SECONDS, await find_sandbox())

    assert "[Errno 1] Operation not permitted" in outcome.error, outcome


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_same_attack_succeeds_in_a_bare_python(attack: Attack, ground: Ground) -> None:
    seconds = BARE_SECONDS if attack.kind == "takes" else PATIENCE
    output, harm = bare(ground.code(attack), seconds)

    if attack.kind == "takes":
        assert harm, output[-500:]
        return
    if attack.kind == "kills":  # a signal is sent before it is obeyed
        ground.victim.wait(PATIENCE)
    assert attack.kind in ground.touched(output), output[-500:]


#: Says with its one byte that the attack begins now.
LIMITED = """import os, resource
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
os.write(1, b".")
"""


def bare(code: str, seconds: float) -> tuple[str, list[str]]:
    """What was printed, and what was taken without end."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", LIMITED + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    late = threading.Event()

    def too_late() -> None:
        late.set()
        end(process.pid)

    assert process.stdout.read(1) == b"."
    timer = threading.Timer(seconds, too_late)
    timer.start()
    output = process.stdout.read(BARE_OUTPUT)
    end_early = len(output) == BARE_OUTPUT
    if end_early:
        end(process.pid)
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    timer.cancel()
    timer.join()
    harm = {
        "time": late.is_set(),
        "output": end_early,
        "memory": usage.ru_maxrss * 1024 > BARE_MEMORY or b"MemoryError" in output,
        "the process": process.returncode not in {0, 1},
    }
    return output.decode(errors="replace"), [kind for kind, taken in harm.items() if taken]


def end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def test_every_kind_of_attack_is_in_the_table_once_by_name() -> None:
    assert {attack.kind for attack in ATTACKS} == {"reads", "writes", "connects", "kills", "takes"}
    names = [(attack.kind, attack.name) for attack in ATTACKS]
    assert len(set(names)) == len(names) >= 90
