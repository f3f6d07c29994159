"""A connection to a database, as the statements of a store use it. Protocols only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """Parameters are written `?`, whatever the database is."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Cursor: ...
