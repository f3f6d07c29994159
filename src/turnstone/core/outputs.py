"""Where whole outputs are kept that a result has no room for: beside the store, by workstream.

Outside of the workspace, so that nothing of it is littered, and a folder for each workstream,
so that none reads another's. What is in there goes with its workstream: as it is erased, and
all but images as it is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

#: Bytes of all kept files of one workstream, before another is added: the oldest go first.
MAX_TOTAL = 150_000_000

_IMAGE = "image-"


def outputs_beside(store: Path) -> Path:
    """The folder for the outputs of all workstreams of this store."""
    return store.parent.resolve() / "outputs"


async def remove_outputs(outputs: Path | None, ws_id: str) -> None:
    """Remove what was kept for a workstream, if anything was."""
    if outputs is not None:
        await asyncio.to_thread(shutil.rmtree, outputs / ws_id, ignore_errors=True)


async def keep_images_only(outputs: Path | None, ws_id: str) -> None:
    """Remove what was kept for a workstream but its images: it is closed, and a session that is
    resumed shows them again."""
    if outputs is not None:
        await asyncio.to_thread(_keep_images_only, outputs / ws_id)


def _keep_images_only(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            if not path.name.startswith(_IMAGE):
                path.unlink(missing_ok=True)
        folder.rmdir()  # where there are images, it stays


def make_room(folder: Path) -> None:
    """Remove the oldest files, as far as there are too many bytes."""
    try:
        files = sorted(((p.stat(), p) for p in folder.iterdir()), key=lambda f: f[0].st_mtime)
    except OSError:
        return  # there is none yet
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= MAX_TOTAL:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size


def keep_image(folder: Path, data: bytes, ending: str) -> str:
    """Keep an image, once whatever how often it comes. Its name for the journal, which may tell
    of it from then on: it outlives a power cut.

    Raises OSError.
    """
    name = f"{_IMAGE}{hashlib.sha256(data).hexdigest()[:32]}.{ending}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_room(folder)
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / name)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return f"{folder.name}/{name}"
