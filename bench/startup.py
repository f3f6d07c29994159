"""How long a command line takes to say something: `--help`, a script's answer, and the first prompt.

    python bench/startup.py [RUNS]

Beside each the bare start of Python, in turns with it in the same run. Nothing is asked of a network:
the model is the practice model.
"""

from __future__ import annotations

import os
import pty
import re
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from support import report

RUNS = 15

#: In milliseconds.
GOALS = {"turnstone --help": 200.0, "turnstone, to its first prompt": 600.0}

#: What stands where a person can type.
_PROMPT = re.compile(rb"\xe2\x80\xba")  # ›

_BIN = Path(sys.executable).parent
_PATIENCE = 60.0


def finished(*words: str) -> float:
    """Seconds until a program has ended."""
    begun = time.perf_counter()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def prompted(*words: str) -> float:
    """Seconds until a program at a terminal of its own shows its prompt. It is ended then."""
    begun = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        os.execv(words[0], words)  # noqa: S606 - a terminal of its own needs a fork
    shown = b""
    try:
        while not _PROMPT.search(shown):
            if not select.select([terminal], [], [], _PATIENCE)[0]:
                raise TimeoutError(f"no prompt within {_PATIENCE:.0f} s: {shown[-500:]!r}")
            shown += os.read(terminal, 65_536)
        return time.perf_counter() - begun
    finally:
        os.write(terminal, b"\x04")
        while True:
            try:
                if not os.read(terminal, 65_536):
                    break
            except OSError:  # the other end is gone
                break
        os.waitpid(process, 0)
        os.close(terminal)


def main(runs: int) -> None:
    turnstone = str(_BIN / "turnstone")
    with report.folder() as folder:
        (folder / "work").mkdir()
        os.environ |= {"HOME": str(folder), "TERM": "xterm-256color"}
        os.chdir(folder / "work")
        practice = (turnstone, "--model", "practice")
        programs: dict[str, Callable[[], float]] = {
            "python -c pass": lambda: finished(sys.executable, "-c", "pass"),
            "turnstone --help": lambda: finished(turnstone, "--help"),
            "turnstone config path": lambda: finished(turnstone, "config", "path"),
            "turnstone sessions list": lambda: finished(turnstone, "sessions", "list"),
            "turnstone -p TEXT": lambda: finished(*practice, "-p", "help"),
            "turnstone, to its first prompt": lambda: prompted(*practice),
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(runs):
            for name, measured in programs.items():
                times[name].append(measured())
    bare = statistics.median(times.pop("python -c pass"))
    report.machine()
    report.line("python -c pass, median", bare * 1000, "ms")
    for name, taken in times.items():
        middle = statistics.median(taken)
        beside = f"{middle / bare:.1f} bare starts; lowest {min(taken) * 1000:.0f} ms"
        report.line(f"{name}, median", middle * 1000, "ms", GOALS.get(name), beside)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
