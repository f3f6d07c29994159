"""Reads a `.turnstone.db` of 0.2: its sessions, and what it remembered. Changes nothing in it.

Whatever is damaged is left out and told, a sentence for each; the rest is given all the same.
"""

from __future__ import annotations

import calendar
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Memory

_ROLES = ("user", "assistant", "tool_call", "tool_result")


@dataclass(frozen=True, slots=True)
class Said02:
    """A row of `conversations`."""

    number: int
    role: str
    content: str
    tool_name: str = ""
    tool_args: str = ""
    call_id: str = ""


@dataclass(slots=True)
class Session02:
    """Times in Unix seconds; 0: not told."""

    session_id: str
    alias: str = ""
    title: str = ""
    created: float = 0.0
    updated: float = 0.0
    rows: list[Said02] = field(default_factory=list)


@dataclass(slots=True)
class Found02:
    sessions: dict[str, Session02] = field(default_factory=dict)
    memories: list[Memory] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def read_02(path: Path) -> Found02:
    """Raises InvalidRequest for a file that is no database of 0.2."""
    found = Found02()
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if not tables & {"conversations", "memories"}:
                raise InvalidRequest(f"{path} is a database, and none of turnstone 0.2.")
            _read_sessions(connection, tables, found)
            _read_conversations(connection, tables, found)
            _read_memories(connection, tables, found)
    except sqlite3.Error as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.") from error
    return found


def _read_sessions(connection: sqlite3.Connection, tables: set[str], found: Found02) -> None:
    for row in _rows(connection, "sessions", tables, found):
        session_id = row.get("session_id")
        if not isinstance(session_id, str) or not session_id:
            found.skipped.append(f"a row of sessions has no id: {session_id!r}")
            continue
        found.sessions[session_id] = Session02(
            session_id,
            alias=_text(row.get("alias")),
            title=_text(row.get("title")),
            created=_moment(row.get("created")),
            updated=_moment(row.get("updated")),
        )


def _read_conversations(connection: sqlite3.Connection, tables: set[str], found: Found02) -> None:
    for row in _rows(connection, "conversations", tables, found, "ORDER BY id"):
        number, session_id, role = row.get("id"), row.get("session_id"), row.get("role")
        where = f"row {number} of conversations"
        if not isinstance(session_id, str) or not session_id:
            found.skipped.append(f"{where} is of no session")
        elif role not in _ROLES:
            found.skipped.append(f"{where} has the role {role!r}")
        elif not isinstance(row.get("content"), str | None):
            found.skipped.append(f"{where}: its content is no text")
        else:
            session = found.sessions.setdefault(session_id, Session02(session_id))
            at = _moment(row.get("timestamp"))
            session.created = session.created or at
            session.updated = max(session.updated, at)
            session.rows.append(
                Said02(
                    int(number or 0),
                    role,
                    _text(row.get("content")),
                    _text(row.get("tool_name")),
                    _text(row.get("tool_args")),
                    _text(row.get("tool_call_id")),
                )
            )


def _read_memories(connection: sqlite3.Connection, tables: set[str], found: Found02) -> None:
    for row in _rows(connection, "memories", tables, found):
        key, value = row.get("key"), row.get("value")
        if not isinstance(key, str) or not key or not isinstance(value, str):
            found.skipped.append(f"the memory {key!r} is no text under a key")
            continue
        created = _moment(row.get("created"))
        updated = _moment(row.get("updated")) or created
        found.memories.append(
            Memory(scope="user", key=key, value=value, created=created, updated=updated)
        )


def _rows(
    connection: sqlite3.Connection, table: str, tables: set[str], found: Found02, order: str = ""
) -> Iterator[dict[str, Any]]:
    """The rows as far as they can be read."""
    if table not in tables:
        return
    try:
        cursor = connection.execute(f"SELECT * FROM {table} {order}")
        names = [name for name, *_ in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))
    except sqlite3.Error as error:
        found.skipped.append(f"{table} cannot be read any further: {error}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: object) -> float:
    """0.2 wrote UTC."""
    with contextlib.suppress(ValueError, OverflowError):
        return float(calendar.timegm(time.strptime(str(value)[:19], "%Y-%m-%d %H:%M:%S")))
    return 0.0
