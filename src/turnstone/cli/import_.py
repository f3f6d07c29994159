"""`turnstone import` and `turnstone export`: sessions and memories of files, and sessions as files.

Beside a node that runs, too: what is imported is closed until somebody resumes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from turnstone.cli.opened import opened
from turnstone.core import importing
from turnstone.core.clock import SystemClock
from turnstone.core.config import Settings
from turnstone.core.errors import InvalidRequest
from turnstone.core.exporting import read
from turnstone.core.host import ExportFormat
from turnstone.core.importing import Imported
from turnstone.core.sessions import exported, found
from turnstone.core.store.store02 import read_02

#: How a file of SQLite begins.
_SQLITE = b"SQLite format 3\x00"

_NAME_02 = ".turnstone.db"


async def take_in(settings: Settings, path: Path) -> str:
    """Import a file; what to tell the person. Raises InvalidRequest, StoreError."""
    file = path / _NAME_02 if path.is_dir() else path
    data = _bytes_of(file)
    kept = settings.session.retention_days * 86_400.0
    async with opened(settings) as (store, lock):
        owner = lock.node_id
        if data.startswith(_SQLITE):
            clock = SystemClock()
            done = await importing.take_over_02(store, read_02(file), owner, clock, str(file), kept)
        else:
            try:
                text = data.decode()
            except UnicodeDecodeError as error:
                if error.end == len(data) and error.reason == "unexpected end of data":
                    raise InvalidRequest(f"{file} is cut off within a character.") from error
                raise InvalidRequest(f"{file} is neither text nor a database of 0.2.") from error
            done = Imported()
            session = read(text, str(file))
            await importing.take_over(store, session, owner, SystemClock(), str(file), done, kept)
    return told(done, str(file))


async def give_out(settings: Settings, name: str, form: ExportFormat, target: Path | None) -> str:
    """Export a session: its text, or what to tell where it was written to `target`.

    Raises UnknownSession; InvalidRequest where the file cannot be written, or is there.
    """
    async with opened(settings) as (store, _):
        one = await found(store, name)
        text = await exported(store, one, form)
    if target is None:
        return text.rstrip("\n")
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise InvalidRequest(
            f"{target} cannot be written: {error.strerror}.",
            hint="Name another file with -o; one that is there is not replaced.",
        ) from error
    return f"Session {one.session_id} is in {target}."


def told(done: Imported, source: str) -> str:
    """What was imported, in words."""
    counts = f"{done.sessions} session(s), {done.messages} message(s), {done.memories} memory(ies)"
    lines = [f"{counts} of {source} are in the store now."]
    if done.known:
        lines.append(f"{done.known} were there already.")
    lines += [*done.notes, *(f"left out: {what}" for what in done.skipped)]
    return "\n".join(lines)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
