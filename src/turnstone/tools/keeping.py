"""Files that a result has no room for, kept beside the store in the folder of their workstream."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

#: Bytes of all kept files of one workstream, before another is added: the oldest go first.
MAX_TOTAL = 150_000_000


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
    """Keep an image, once whatever how often it is read. Its name for the journal.

    Raises OSError.
    """
    name = f"image-{hashlib.sha256(data).hexdigest()[:32]}.{ending}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_room(folder)
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        part.write_bytes(data)
        part.replace(folder / name)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return f"{folder.name}/{name}"


def read_at_most(descriptor: int, most: int) -> bytes:
    """All of a file from its beginning, or no more than this many bytes and one."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(most + 1)
