"""The statements by which a session is found by name: alias, id of session or workstream, prefix.

An alias is unique in the store. It is set by a record of the journal, in its transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from turnstone.core.errors import NameTaken
from turnstone.core.events import ConversationSet, Event, WsCreated, WsRename
from turnstone.core.store.base import Match
from turnstone.core.store.connection import Connection


class Names:
    def note(self, connection: Connection, ws_id: str, written: Iterable[Event]) -> None:
        """Take in what records say of names. Raises NameTaken."""
        for event in written:
            match event:
                case WsCreated() | ConversationSet() if event.session_id:
                    connection.execute(
                        "INSERT INTO session (session_id, ws_id) VALUES (?, ?) "
                        "ON CONFLICT DO NOTHING",
                        (event.session_id, ws_id),
                    )
                case WsRename() if event.alias is not None:
                    self.set_alias(connection, ws_id, event.alias)

    def set_alias(self, connection: Connection, ws_id: str, alias: str) -> None:
        """Empty: it has none from now on."""
        connection.execute("DELETE FROM alias WHERE ws_id = ?", (ws_id,))
        if not alias:
            return
        ids = self._exact(connection, alias)
        if ids:
            raise _taken(alias, ids[0])
        done = connection.execute(
            "INSERT INTO alias (alias, ws_id) VALUES (?, ?) ON CONFLICT DO NOTHING", (alias, ws_id)
        )
        if done.rowcount != 1:
            raise _taken(alias, next(iter(self._aliased(connection, alias)), ""))

    def forget(self, connection: Connection, ws_id: str) -> None:
        connection.execute("DELETE FROM alias WHERE ws_id = ?", (ws_id,))
        connection.execute("DELETE FROM session WHERE ws_id = ?", (ws_id,))

    def resolve(self, connection: Connection, name: str, limit: int, match: Match) -> list[str]:
        """The workstreams that are meant: by the alias; else by the whole id; else by the
        beginning of one, at most `limit` of them."""
        if match == "session":
            return self._of_session(connection, name)
        whole = self._aliased(connection, name) or self._exact(connection, name)
        return whole if whole or match == "whole" else self._begun(connection, name, limit)

    @staticmethod
    def _aliased(connection: Connection, alias: str) -> list[str]:
        rows = connection.execute("SELECT ws_id FROM alias WHERE alias = ?", (alias,)).fetchall()
        return [ws_id for (ws_id,) in rows]

    @staticmethod
    def _of_session(connection: Connection, session_id: str) -> list[str]:
        rows = connection.execute(
            "SELECT ws_id FROM session WHERE session_id = ?", (session_id,)
        ).fetchall()
        return [ws_id for (ws_id,) in rows]

    @staticmethod
    def _exact(connection: Connection, name: str) -> list[str]:
        rows = connection.execute(
            "SELECT ws_id FROM workstream WHERE ws_id = ? "
            "UNION SELECT ws_id FROM session WHERE session_id = ?",
            (name, name),
        ).fetchall()
        return [ws_id for (ws_id,) in rows]

    @staticmethod
    def _begun(connection: Connection, name: str, limit: int) -> list[str]:
        pattern = "".join(f"\\{c}" if c in "\\%_" else c for c in name.lower()) + "%"
        rows = connection.execute(
            "SELECT ws_id FROM workstream WHERE ws_id LIKE ? ESCAPE '\\' "
            "UNION SELECT ws_id FROM session WHERE session_id LIKE ? ESCAPE '\\' "
            "ORDER BY ws_id LIMIT ?",
            (pattern, pattern, limit),
        ).fetchall()
        return [ws_id for (ws_id,) in rows]


def _taken(alias: str, ws_id: str) -> NameTaken:
    return NameTaken(
        f"The name {alias!r} is that of another session (workstream {ws_id}).",
        hint="Choose another one, or rename that session first.",
    )
