"""`turnstone backup` and `turnstone restore`: the store, into a file and back.

Only of a store that is a file: a PostgreSQL has programs of its own for this, and is told apart
with a sentence that names them.
"""

from __future__ import annotations

from pathlib import Path

from turnstone.core.config import Settings
from turnstone.core.errors import ConfigurationError
from turnstone.core.node import lock_server
from turnstone.core.store import backup as copies
from turnstone.wiring import store_url


def back_up(settings: Settings, target: Path) -> str:
    """Copy the store into `target`; what to tell the person. Raises StoreError."""
    _need_file(settings, "pg_dump --format=custom --file=FILE URL")
    count = copies.back_up(settings.store.path, target.absolute())
    return f"{count} workstream(s) of {settings.store.path} are in {target}, checked."


def restore(settings: Settings, backup: Path) -> str:
    """Put `backup` into the place of the store; what to tell the person. Raises StoreError."""
    _need_file(settings, "pg_restore --clean --dbname=URL FILE")
    store = settings.store.path
    copies.check_backup(backup)
    lock = lock_server(store, settings.bridge.node_id)
    try:
        done = copies.restore(backup, store, lock.node_id)
    finally:
        lock.release()
    told = [f"{done.workstreams} workstream(s) of {backup} are in {store}."]
    if done.open_turns:
        told.append(f"{done.open_turns} message(s) were at work or waiting; `turnstone up` goes on")
        told[-1] += " with them. What their tools did after the backup was made, it does not know."
    if done.aside is not None:
        told.append(f"What was there before is in {done.aside}.")
    return "\n".join(told)


def _need_file(settings: Settings, instead: str) -> None:
    if store_url(settings):
        raise ConfigurationError(
            "The store is a PostgreSQL database, which has programs of its own for this.",
            hint=f"Use {instead}",
        )
