"""Where whole outputs are kept that a result has no room for: beside the store, by workstream.

Outside of the workspace, so that nothing of it is littered, and a folder for each workstream,
so that none reads another's. What is in there goes with its workstream.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path


def outputs_beside(store: Path) -> Path:
    """The folder for the outputs of all workstreams of this store."""
    return store.parent.resolve() / "outputs"


async def remove_outputs(outputs: Path | None, ws_id: str) -> None:
    """Remove what was kept for a workstream, if anything was."""
    if outputs is not None:
        await asyncio.to_thread(shutil.rmtree, outputs / ws_id, ignore_errors=True)
