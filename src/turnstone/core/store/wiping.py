"""How what was erased leaves the files of a SQLite store. Deletes no row.

`secure_delete` turns what is deleted into zeroes at once, and a checkpoint takes it out of the
log. What that does not reach: pieces of records that SQLite had moved to another page before,
which lie there in the gap that is free. Writing the whole file anew reaches them. That takes a
second of all writers for each 100 MB or so; so it is done at once for a small file only.
"""

from __future__ import annotations

import sqlite3

#: The longest that wiping waits for other users of the file, in seconds.
TIMEOUT = 0.5

#: Bytes of a file that is written anew with each erasure: some 0.1 s.
SMALL = 16 << 20

_IN_THE_WAY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")


def wipe(connection: sqlite3.Connection, patience: float, *, anew: bool) -> bool:
    """Empty the log, and before it write the file anew if that is wanted.

    False: another process was reading, or the disk is full. `patience` is put back as the
    connection's. Raises sqlite3.Error.
    """
    connection.execute(f"PRAGMA busy_timeout = {TIMEOUT * 1000:.0f}")
    try:
        if anew:
            connection.execute("VACUUM")
        [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        if str(error.sqlite_errorname).startswith(_IN_THE_WAY):
            return False
        raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
    return not busy


def small(connection: sqlite3.Connection) -> bool:
    return _pages(connection, "page_count") * _pages(connection, "page_size") <= SMALL


def mostly_free(connection: sqlite3.Connection) -> bool:
    """Whether half of the file or more holds nothing."""
    return 2 * _pages(connection, "freelist_count") >= _pages(connection, "page_count")


def _pages(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number
