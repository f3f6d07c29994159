"""A program: writes a short turn to a SQLite store, and prints what it was told of each write.

    python -m support.store_turn FILE

`kept N` and `failed N: why` for each write; one that failed is tried again, three times. Run
under strace it shows what a failing disk does. A store that cannot be opened: exit code 3.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from turnstone.core.errors import StoreError
from turnstone.core.events import (
    Event,
    MessageAccepted,
    StepFinished,
    StepStarted,
    TurnEnded,
    WsCreated,
)
from turnstone.core.store import SqliteStore, WorkstreamRow

WS = "aaaa0001"

#: What is written, in this order; the first one with the workstream's row.
TURN: tuple[Sequence[Event], ...] = (
    [WsCreated(name="one")],
    [MessageAccepted(message="hello " * 200, correlation_id="c1")],
    [StepStarted(correlation_id="c1")],
    [StepFinished(text="x" * 9_000, correlation_id="c1"), TurnEnded(correlation_id="c1")],
)

TRIES = 3


async def main(path: Path) -> int:
    try:
        store = await SqliteStore.open(path)
    except StoreError as error:
        print(f"refused: {error}")
        return 3
    for number in range(len(TURN)):
        for _ in range(TRIES):
            try:
                await _write(store, number)
            except StoreError as error:
                print(f"failed {number}: {error}", flush=True)
            else:
                print(f"kept {number}", flush=True)
                break
        else:
            break
    await store.aclose()
    return 0


async def _write(store: SqliteStore, number: int) -> None:
    if number:
        await store.append(WS, 1, TURN[number], {"n": number})
        return
    row = WorkstreamRow(ws_id=WS, session_id="s" * 12, created=1.0, owner="node", epoch=1)
    await store.create(row, TURN[0][0])


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(Path(sys.argv[1]))))
