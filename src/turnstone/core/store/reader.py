"""A second connection to a SQLite store, for reads alone: none waits for a write, none holds one up.

In WAL mode a reader sees what was committed when its statement began. It can change nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path


class Reader:
    """One connection, made when it is first used; one thread at a time has it."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._held = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Raises sqlite3.Error."""
        with self._held:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._path,
                    timeout=self._patience,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._connection.execute("PRAGMA query_only = ON")
            yield self._connection

    def drop(self) -> None:
        """Close it, when the read that is under way is done. It is opened again when needed."""
        with self._held:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
