"""The history of one conversation. In memory only: nothing is written to or read from disk yet.

The constructor, names and rules are in their final place; the markdown session files that
`file_backend` names come with `oturn.session_store`. Until then `restore` finds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oturn.history import Record
from oturn.model import CompactRecord, Message

#: The folder, in a work directory or a home, under which sessions are kept.
DEFAULT_META_DIRNAME = ".oturn"

_log = logging.getLogger(__name__)


class Context:
    """The messages of a conversation, and where they will be kept.

    `session_id` is the given one, or the stem of the file's name. Touches no file.
    """

    def __init__(
        self,
        file_backend: Path,
        session_id: str | None = None,
        work_dir: Path | None = None,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> None:
        self._file = file_backend
        self._session_id = session_id or file_backend.stem
        self._work_dir = work_dir
        self._meta_dirname = meta_dirname
        self._global_sessions_root = global_sessions_root
        self._records: list[Record] = []

    @property
    def history(self) -> list[Record]:
        """A new list each time, of the records in order."""
        return list(self._records)

    @property
    def history_file(self) -> Path:
        return self._file

    @property
    def session_id(self) -> str:
        return self._session_id

    @property
    def work_dir(self) -> Path | None:
        return self._work_dir

    def append_message(self, message: Message | Iterable[Message]) -> None:
        """Add a message, or several. What is no Message, or says nothing at all, is left out."""
        given: Iterable[object] = [message] if isinstance(message, Message) else message
        self._records += [
            one for one in given if isinstance(one, Message) and not _says_nothing(one)
        ]

    def append_compact(self, summary: str, user_intent: str = "") -> None:
        """From here on the model sees `summary` in the place of everything before."""
        self._records.append(CompactRecord(value=summary, user_intent=user_intent))

    def restore(self) -> bool:
        """Whether a stored session was loaded. Always False as yet; the history is emptied."""
        if self._file.exists():
            _log.warning("%s is not loaded: reading session files comes later", self._file)
        self._records = []
        return False

    def ensure_persisted(self) -> None:
        """Does nothing as yet: the history is in memory only."""

    async def aensure_persisted(self) -> None:
        """Does nothing as yet: the history is in memory only."""

    def set_tool_registry(self, registry: Any) -> None:
        """Kept for programs that call it; does nothing."""


def _says_nothing(message: Message) -> bool:
    blank = isinstance(message.content, str) and not message.content.strip()
    return blank and message.tool_calls is None
