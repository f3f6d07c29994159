"""What a life that does not end is doing: its tasks, its threads, the sessions of its database.

For the message of a failure. Looks only; changes nothing and waits for nobody.
"""

from __future__ import annotations

import asyncio
import io
import sys
import traceback
from collections.abc import Iterator

import psycopg
from psycopg.rows import dict_row

_SESSIONS = """
SELECT pid, state, wait_event_type, wait_event, backend_start, xact_start, state_change,
       pg_blocking_pids(pid) AS blocked_by, left(query, 300) AS query
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_LOCKS = """
SELECT pid, locktype, relation::regclass::text AS relation, classid, objid, virtualxid,
       transactionid, mode, granted
FROM pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
   OR locktype IN ('transactionid', 'virtualxid') AND NOT granted
"""


def stuck(url: str) -> str:
    """Called on the event loop that is stuck. `url`: of its PostgreSQL; empty for a file."""
    return "\n".join([*_tasks(), *_threads(), *_sessions(url)])


def _tasks() -> Iterator[str]:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            told = io.StringIO()
            task.print_stack(file=told)
            yield told.getvalue()


def _threads() -> Iterator[str]:
    for number, frame in sys._current_frames().items():
        yield f"thread {number}:\n{''.join(traceback.format_stack(frame))}"


def _sessions(url: str) -> Iterator[str]:
    if not url:
        return
    try:
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            for what, sql in (("session", _SESSIONS), ("lock", _LOCKS)):
                for row in connection.execute(sql):
                    yield f"{what} {row}"
    except psycopg.Error as error:
        yield f"the database does not say who waits: {error}"
