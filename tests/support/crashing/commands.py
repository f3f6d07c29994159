"""Runs confined commands without end, for a test that kills it: `python -m ….commands FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from support.commands import run_in
from turnstone.sandbox import find_sandbox

#: So many at a time, that some are being started whenever it is killed.
AT_ONCE = 3


async def main(workspace: Path) -> None:
    sandbox = await find_sandbox()

    async def one_after_another() -> None:
        while True:
            await run_in(sandbox, "sleep 0.02", workspace)

    print(sandbox.confinement.level.name, flush=True)
    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
