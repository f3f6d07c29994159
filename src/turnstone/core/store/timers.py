"""Timers in the store: a row each, changed only from one revision to the next.

Keeps them, and computes no time. One that is over stays for a while, so that who asks for it, or
makes it a second time, finds what became of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import msgspec

from turnstone.core.store.connection import Connection
from turnstone.core.timers import Timer

#: Seconds for which a timer is remembered that is over.
KEPT = 3 * 86_400.0

_SELECT = "SELECT body FROM timer"

ResultT = TypeVar("ResultT")


class TimerCalls(ABC):
    """The part of a store that keeps timers."""

    async def due_timers(self, now: float, limit: int) -> tuple[list[Timer], float]:
        """Active ones that are due, the earliest first; and the first due time after that (0:
        there is none)."""
        return await self._read(_due, now, limit)

    async def timers(self) -> list[Timer]:
        """Those that live, by their next time, those without one last."""
        return await self._read(_living)

    async def timer(self, timer_id: str) -> Timer | None:
        return await self._read(_one, timer_id)

    async def swap_timer(self, timer: Timer, now: float) -> bool:
        """Keep this revision in the place of the one before it; False if another is there."""
        return await self._call(self._swap, timer, now)

    def _swap(self, timer: Timer, now: float) -> bool:
        with self._transaction() as connection:
            return _swap(connection, timer, now)

    @abstractmethod
    async def _read(self, work: Callable[..., ResultT], *args: object) -> ResultT: ...

    @abstractmethod
    async def _call(
        self, work: Callable[..., ResultT], *args: object, again: str = ""
    ) -> ResultT: ...

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]: ...


def _due(connection: Connection, now: float, limit: int) -> tuple[list[Timer], float]:
    rows = connection.execute(
        f"{_SELECT} WHERE due > 0 AND due <= ? ORDER BY due, timer_id LIMIT ?", (now, limit)
    ).fetchall()
    following = connection.execute("SELECT min(due) FROM timer WHERE due > ?", (now,)).fetchone()
    return _read(rows), float(following[0] or 0.0)


def _living(connection: Connection) -> list[Timer]:
    sql = f"{_SELECT} WHERE lives = 1 ORDER BY due = 0, due, timer_id"
    return _read(connection.execute(sql).fetchall())


def _one(connection: Connection, timer_id: str) -> Timer | None:
    rows = connection.execute(f"{_SELECT} WHERE timer_id = ?", (timer_id,)).fetchall()
    return next(iter(_read(rows)), None)


def _swap(connection: Connection, timer: Timer, now: float) -> bool:
    connection.execute("DELETE FROM timer WHERE lives = 0 AND changed < ?", (now - KEPT,))
    due = timer.due if timer.state == "active" else 0.0
    values = (timer.revision, due, int(timer.lives), now, msgspec.json.encode(timer))
    if timer.revision == 1:
        done = connection.execute(
            "INSERT INTO timer (timer_id, ws_id, revision, due, lives, changed, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (timer.timer_id, timer.ws_id, *values),
        )
    else:
        done = connection.execute(
            "UPDATE timer SET revision = ?, due = ?, lives = ?, changed = ?, body = ? "
            "WHERE timer_id = ? AND revision = ?",
            (*values, timer.timer_id, timer.revision - 1),
        )
    return done.rowcount == 1


def forget_timers(connection: Connection, ws_id: str) -> None:
    """Those of a workstream that is erased."""
    connection.execute("DELETE FROM timer WHERE ws_id = ?", (ws_id,))


def _read(rows: Sequence[Sequence[Any]]) -> list[Timer]:
    return [msgspec.json.decode(bytes(body), type=Timer) for (body,) in rows]
