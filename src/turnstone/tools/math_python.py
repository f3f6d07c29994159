"""Runs Python in an ordinary interpreter inside the command sandbox, with no power left in it.

For what Monty does not know. Only where commands are confined: never starts an interpreter
that the kernel does not hold.
"""

from __future__ import annotations

import math
import shlex
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, Sandbox
from turnstone.tools.math_outcome import MAX_TEXT, Outcome

#: Bytes of address space: the interpreter and what it has imported need about 60 MB of it.
_MEMORY = 512 * 2**20

#: Seconds for the interpreter's own start, beside those for the code.
_START = 3.0

#: Characters of the one line that it answers with; each can take six in JSON, twelve at most.
_ANSWER = 3 * 12 * MAX_TEXT

#: Tried in this order: the one that runs us, if the sandbox lets it be seen, and the system's.
_PROGRAMS = ("/usr/bin/python3", "/usr/local/bin/python3")

_SCRIPT = """for python in {programs}; do
    [ -x "$python" ] && exec env -i "$python" -I -S -B driver.py code.txt {arguments} 2> /dev/null
done
exit 127
"""


class PythonMissing(Exception):
    """There is no Python in the sandbox, or it could not give up its powers."""


async def run_in_python(code: str, seconds: float, sandbox: Sandbox) -> Outcome:
    """Raises PythonMissing."""
    arguments = f"{math.ceil(seconds)} {_MEMORY} {MAX_TEXT}"
    programs = dict.fromkeys([str(Path(sys.executable).resolve()), *_PROGRAMS])
    with tempfile.TemporaryDirectory(prefix="turnstone-math-") as folder:
        workspace = Path(folder)
        driver = resources.files("turnstone.tools").joinpath("math_driver.py").read_bytes()
        (workspace / "driver.py").write_bytes(driver)
        (workspace / "code.txt").write_bytes(code.encode())
        command = Command(
            script=_SCRIPT.format(programs=shlex.join(programs), arguments=arguments),
            workspace=workspace.resolve(),
            timeout=seconds + _START,
            max_output=_ANSWER,
        )
        try:
            result = await sandbox.run(command, lambda _: None)
        except (OSError, ToolRefused) as error:
            raise PythonMissing(f"it cannot be started: {error}") from None
    if result.timed_out:
        return Outcome(ended="time")
    try:
        return msgspec.json.decode(result.output, type=Outcome)
    except msgspec.DecodeError:
        pass
    if result.exit_code == 127:
        raise PythonMissing("there is no Python that the sandbox shows")
    if result.exit_code == 1 and not result.output:
        raise PythonMissing("its powers cannot be taken from it on this machine")
    return Outcome(ended=_ended(result.exit_code))


def _ended(exit_code: int | None) -> Literal["time", "crash"]:
    """A shell tells a signal by 128 and its number; 24 (SIGXCPU) and 9 end what took too long."""
    return "time" if exit_code in {-24, -9, 128 + 24, 128 + 9} else "crash"
