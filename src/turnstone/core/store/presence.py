"""Which nodes have a PostgreSQL store open, for longer than their connections last.

A node holds a session lock on its id. The lock goes with the connection: also when the server
is started again, or a network breaks, while the node lives on. So a node beats besides, and is
not taken for gone before it was silent for a grace, in which the server was there to be reached.
Decides nothing about who may write: that is the epoch's.
"""

from __future__ import annotations

import hashlib

from turnstone.core.store.connection import Connection

#: Seconds after which the beat of a node that never came back is forgotten.
_FORGOTTEN = 86_400.0

#: The server's clock, which all nodes share; and when the server last came up.
_NOW = "extract(epoch FROM clock_timestamp())"
_UP = "extract(epoch FROM pg_postmaster_start_time())"


def key(node_id: str) -> int:
    """The number of a node's lock. That of the empty id is free for another use."""
    digest = hashlib.sha256(f"turnstone node {node_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def hold(connection: Connection, node_id: str) -> bool:
    """Take the lock on this id for as long as the session lasts; False: another session has it."""
    taken = connection.execute("SELECT pg_try_advisory_lock(?)", (key(node_id),)).fetchone()
    return bool(taken[0])


def beat(connection: Connection, node_id: str) -> None:
    """Note that this node, which holds its lock, lives now."""
    connection.execute(
        f"INSERT INTO node (node_id, seen) VALUES (?, {_NOW}) "
        "ON CONFLICT (node_id) DO UPDATE SET seen = excluded.seen",
        (node_id,),
    )


def leave(connection: Connection, node_id: str) -> None:
    """Note that this node ends: nobody has to wait for it. What never came back goes too."""
    connection.execute(
        f"DELETE FROM node WHERE node_id = ? OR greatest(seen, {_UP}) < {_NOW} - {_FORGOTTEN}",
        (node_id,),
    )
    # The server lets go of it with the session too, but only a moment after that was closed.
    connection.execute("SELECT pg_advisory_unlock(?)", (key(node_id),))


def lives(connection: Connection, node_id: str, grace: float) -> bool:
    """Whether a node holds its lock, or has not been silent for `grace` seconds yet."""
    # Shared, so that two who ask at the same time do not take each other for the owner.
    free = connection.execute("SELECT pg_try_advisory_lock_shared(?)", (key(node_id),)).fetchone()
    if not free[0]:
        return True
    connection.execute("SELECT pg_advisory_unlock_shared(?)", (key(node_id),))
    seen = connection.execute(
        f"SELECT 1 FROM node WHERE node_id = ? AND greatest(seen, {_UP}) > {_NOW} - ?",
        (node_id, grace),
    )
    return seen.fetchone() is not None
