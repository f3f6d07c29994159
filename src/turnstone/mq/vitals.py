"""What a node says of itself with each heartbeat, beside its work: its machine, its labels, how
fast its models answer. What this system does not tell is left out.

It looks at the machine and keeps a minute of token counts; it starts and asks nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from turnstone.core import events as ev

#: Seconds over which the tokens are counted.
_WINDOW = 60.0

_MEMORY = Path("/proc/meminfo")
_FIELDS = {"MemTotal": "memory_total", "MemAvailable": "memory_available"}


class Vitals:
    """Those of one worker. `facts` do not change: what the node was started with.

    `labels`: those of the node. `state`: the folder whose disk is looked at, if there is one.
    """

    def __init__(
        self,
        facts: dict[str, object],
        labels: Sequence[str],
        state: Path | None = None,
        memory: Path = _MEMORY,
    ) -> None:
        self._facts = {"started": time.time(), **facts, "labels": list(labels)}
        self._facts["started_at"] = self._facts["started"]
        self._state, self._memory = state, memory
        self._tokens: deque[tuple[float, int]] = deque()

    def saw(self, event: ev.Event) -> None:
        """Count what a model has written for a turn of the queue."""
        if isinstance(event, ev.StepFinished) and event.usage is not None:
            now = asyncio.get_running_loop().time()
            self._tokens.append((now, event.usage.completion_tokens))

    def shown(self) -> dict[str, object]:
        """For one heartbeat: the facts, the machine (bytes; load as of one minute), and
        `tokens_per_second` of the last minute."""
        since = asyncio.get_running_loop().time() - _WINDOW
        while self._tokens and self._tokens[0][0] < since:
            self._tokens.popleft()
        rate = sum(count for _, count in self._tokens) / _WINDOW
        return {**self._facts, **self._machine(), "tokens_per_second": round(rate, 2)}

    def _machine(self) -> dict[str, object]:
        found: dict[str, object] = {}
        try:
            found["load"] = round(os.getloadavg()[0], 2)
        except OSError:
            pass  # not everywhere
        if cpus := os.cpu_count():
            found["cpus"] = cpus
        return found | _memory(self._memory) | self._disk()

    def _disk(self) -> dict[str, object]:
        if self._state is None:
            return {}
        try:
            return {"disk_free": shutil.disk_usage(self._state).free}
        except OSError:
            return {}


def _memory(path: Path) -> dict[str, object]:
    """Bytes, as Linux tells them; nothing elsewhere."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, object] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        if name in _FIELDS and number.isdigit() and unit == "kB":
            found[_FIELDS[name]] = int(number) * 1024
    return found
