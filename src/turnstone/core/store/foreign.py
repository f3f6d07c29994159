"""Whether a SQLite file is a store at all, told before anything in it is changed."""

from __future__ import annotations

import sqlite3

#: Tables that every version of a store has.
_OURS = {"workstream", "record"}

#: Of the tables of another program, how many are named.
_NAMED = 3


def foreign(connection: sqlite3.Connection) -> str:
    """What is in it that is not ours, in words; empty: it is a store, or has no tables yet."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    names = {str(name) for (name,) in connection.execute(f"{sql} ORDER BY name").fetchall()}
    if not names or names >= _OURS:
        return ""
    told = ", ".join(sorted(names)[:_NAMED])
    return f"it has the tables of another program: {told}{', …' if len(names) > _NAMED else ''}"
