"""The records of a conversation in memory, and the file that is behind them.

Nothing is added to records whose file could not be read: they would go on behind it unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from oturn.errors import SessionNotLoadedError
from oturn.history import Record
from oturn.session_store import SessionStore

_log = logging.getLogger(__name__)


class RecordsView(Sequence[Record]):
    """A history as it is now and will be; nothing is copied, nothing can be changed by it."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    def __repr__(self) -> str:
        return f"<{len(self)} records>"


class KeptRecords:
    """Records and their file: what contexts that adopt one another have in common."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.error: Exception | None = None  # why the file was not loaded
        self.replace([])

    def replace(self, records: Iterable[Record]) -> None:
        """Other records, which the file holds already."""
        self.error = None
        # What a file held without a type of ours is a dict among them.
        self.records: list[Any] = list(records)
        self.view = RecordsView(self.records)
        self._written = len(self.records)

    def check(self) -> None:
        """Raises SessionNotLoadedError: what is in memory is not what the file holds."""
        if self.error is not None:
            raise SessionNotLoadedError(
                f"The session was not loaded, so nothing is added to it: {self.error}. Mend the "
                "file and restore it, or call start_over() of the context, which moves it aside."
            ) from self.error

    def add(self, record: Record) -> None:
        """To memory, then to the file, with what an earlier failure of the disk left unwritten."""
        self.check()
        self.records.append(record)
        while self._written < len(self.records):
            try:
                self.store.append_item(self.records[self._written])
            except OSError as error:
                _log.error(
                    "%s: a record could not be written, and is kept in memory only until the "
                    "next one is: %s",
                    self.store.file_backend,
                    error,
                )
                raise
            except Exception as error:
                self._written += 1  # no later try would go better, and others must not wait
                _log.error("%s: a record cannot be kept: %s", self.store.file_backend, error)
                raise
            self._written += 1
