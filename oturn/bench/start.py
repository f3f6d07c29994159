"""How long `import oturn` takes, and the names behind it, beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

from support.measure import machine, ms, table

ROUNDS = 20
NOTHING = "pass"
STATEMENTS = (
    NOTHING,
    "import oturn",
    "import json, asyncio",
    "import httpx2, pydantic",
    "from oturn import OturnConfig",
    "from oturn import Message",
    "from oturn import Oturn",
)


def seconds(statement: str) -> float:
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return perf_counter() - begun


def main() -> None:
    machine()
    found: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(ROUNDS):
        for statement, taken in found.items():
            taken.append(seconds(statement))
    nothing = found[NOTHING]
    rows = [
        (
            f"python -c {statement!r}",
            ms(min(taken)),
            ms(median(taken)),
            ms(max(0.0, min(taken) - min(nothing))),
            ms(max(0.0, median(taken) - median(nothing))),
        )
        for statement, taken in found.items()
    ]
    head = ("program", "fastest", "median", "less `pass`, fastest", "less `pass`, median")
    table(f"Start of a process, {ROUNDS} each, in turn", head, rows)


if __name__ == "__main__":
    main()
