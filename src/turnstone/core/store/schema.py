"""The tables, by migration. A number once released is never edited: changes are new numbers.

workstream  one row each: who owns it, under which epoch, and what lists show
record      the journals: one envelope a row, in the order of `seq`, never changed
accepted    every correlation id that was ever accepted, and where it is
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE workstream (
        ws_id       TEXT PRIMARY KEY,
        session_id  TEXT NOT NULL,
        created     REAL NOT NULL,
        owner       TEXT NOT NULL,
        epoch       INTEGER NOT NULL,
        last_seq    INTEGER NOT NULL,
        open_turns  INTEGER NOT NULL,
        closed      INTEGER NOT NULL,
        summary     BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX workstream_by_owner ON workstream (owner) WHERE closed = 0;
    CREATE TABLE record (
        ws_id           TEXT NOT NULL,
        seq             INTEGER NOT NULL,
        type            TEXT NOT NULL,
        correlation_id  TEXT NOT NULL,
        body            BLOB NOT NULL,
        PRIMARY KEY (ws_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE accepted (
        correlation_id  TEXT PRIMARY KEY,
        ws_id           TEXT NOT NULL,
        seq             INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
