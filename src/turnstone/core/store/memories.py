"""The statements of what is remembered across conversations: a value under a key, in a scope.

Few and small, so they are compared one by one; what is said in conversations is in `search`.
"""

from __future__ import annotations

from collections.abc import Sequence

from turnstone.core.host import Memory
from turnstone.core.store.connection import Connection
from turnstone.core.store.terms import terms

_SELECT = "SELECT scope, key, value, created, updated FROM memory"


class Memories:
    def get(self, connection: Connection, scope: str, key: str) -> Memory | None:
        row = connection.execute(f"{_SELECT} WHERE scope = ? AND key = ?", (scope, key)).fetchone()
        return _memory(row) if row else None

    def put(self, connection: Connection, memory: Memory) -> Memory | None:
        """Keep it; what stood there before keeps its time of creation, and is given back."""
        before = self.get(connection, memory.scope, memory.key)
        connection.execute(
            "INSERT INTO memory (scope, key, value, created, updated) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, "
            "updated = excluded.updated",
            (memory.scope, memory.key, memory.value, memory.created, memory.updated),
        )
        return before

    def delete(self, connection: Connection, scope: str, key: str) -> bool:
        done = connection.execute("DELETE FROM memory WHERE scope = ? AND key = ?", (scope, key))
        return done.rowcount == 1

    def find(
        self, connection: Connection, scopes: Sequence[str] | None, query: str, limit: int
    ) -> list[Memory]:
        """Those of these scopes (None: all) in which each word of the query occurs, in the key
        or in the value, also as a part of a word; by key."""
        where, values = _within(scopes)
        rows = connection.execute(f"{_SELECT} {where} ORDER BY key, scope", values).fetchall()
        words = terms(query)
        if query.strip() and not words:
            return []
        found = [memory for memory in map(_memory, rows) if _has(memory, words)]
        return found[:limit]

    def count(self, connection: Connection, scopes: Sequence[str]) -> int:
        where, values = _within(scopes)
        number: int = connection.execute(f"SELECT count(*) FROM memory {where}", values).fetchone()[
            0
        ]
        return number


def _within(scopes: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    if scopes is None:
        return "", ()
    return f"WHERE scope IN ({', '.join('?' * len(scopes))})", scopes


def _memory(row: Sequence[object]) -> Memory:
    scope, key, value, created, updated = row
    return Memory(
        scope=str(scope),
        key=str(key),
        value=str(value),
        created=float(str(created)),
        updated=float(str(updated)),
    )


def _has(memory: Memory, words: Sequence[str]) -> bool:
    there = " ".join(terms(f"{memory.key} {memory.value}"))
    return all(word in there for word in words)
