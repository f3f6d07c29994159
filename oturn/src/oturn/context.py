"""The history of one conversation, in memory and in its session file.

Each record is written to the file when it is appended, and the file is only ever added to.
The notation is in `oturn.session_format`, where files lie in `oturn.session_store`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, overload

from oturn.history import Record
from oturn.mcp_notebook import McpNotebook
from oturn.model import CompactRecord, Message
from oturn.session_file import TornTail
from oturn.session_format_write import layout_text
from oturn.session_store import AUTO_ID, DEFAULT_META_DIRNAME, SessionStore

SessionList: TypeAlias = list[tuple[str, Path, float]]

_log = logging.getLogger(__name__)


class RecordsView(Sequence[Record]):
    """A history as it is now and will be; nothing is copied, nothing can be changed by it."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    def __repr__(self) -> str:
        return f"<{len(self)} records>"


class _Kept:
    """Records and their file: what contexts that adopt one another have in common."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.replace([])

    def replace(self, records: Iterable[Record]) -> None:
        """Other records, which the file holds already."""
        # What a file held without a type of ours is a dict among them.
        self.records: list[Any] = list(records)
        self.view = RecordsView(self.records)
        self._written = len(self.records)

    def add(self, record: Record) -> None:
        """To memory, then to the file, with what an earlier failure of the disk left unwritten."""
        self.records.append(record)
        while self._written < len(self.records):
            try:
                self.store.append_item(self.records[self._written])
            except OSError as error:
                _log.error(
                    "%s: a record could not be written, and is kept in memory only until the "
                    "next one is: %s",
                    self.store.file_backend,
                    error,
                )
                raise
            except Exception as error:
                self._written += 1  # no later try would go better, and others must not wait
                _log.error("%s: a record cannot be kept: %s", self.store.file_backend, error)
                raise
            self._written += 1


class Context(McpNotebook):
    """The messages of a conversation, and the file that keeps them.

    `session_id` is the given one, or the stem of the file's name. Making a context changes
    nothing on disk and loads nothing; `restore` loads.
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
        super().__init__()
        self._session_id = session_id or file_backend.stem
        self._work_dir = work_dir
        self._kept = _Kept(
            SessionStore(
                file_backend,
                self._session_id,
                work_dir,
                meta_dirname=meta_dirname,
                global_sessions_root=global_sessions_root,
            )
        )
        self._restore_error: Exception | None = None

    @property
    def history(self) -> list[Record]:
        """A new list each time, of the records in order.

        A record that the file holds without a type, or of another class, is a plain dict.
        """
        return list(self._kept.records)

    @property
    def records(self) -> RecordsView:
        """The same without a copy: it grows with the history.

        Another object after the history was replaced as a whole, as `restore` does.
        """
        return self._kept.view

    @property
    def history_file(self) -> Path:
        return self._kept.store.file_backend

    @property
    def session_id(self) -> str:
        return self._session_id

    @property
    def work_dir(self) -> Path | None:
        return self._work_dir

    @property
    def torn_tail(self) -> TornTail | None:
        """The record that was found cut short at the end of the file, if one was."""
        return self._kept.store.torn

    @property
    def restore_error(self) -> Exception | None:
        """Why the last `restore` loaded nothing, if something stood in its way."""
        return self._restore_error

    def append_message(self, message: Message | Iterable[Message]) -> None:
        """Add a message, or several. What is no Message, or says nothing at all, is left out.

        Raises OSError when the disk refuses; the message is then in memory, and is written
        together with the next one.
        """
        given: Iterable[object] = [message] if isinstance(message, Message) else message
        for one in given:
            if isinstance(one, Message) and not _says_nothing(one):
                self._kept.add(one)

    def append_compact(self, summary: str, user_intent: str = "") -> None:
        """From here on the model sees `summary` in the place of everything before."""
        self._kept.add(CompactRecord(value=summary, user_intent=user_intent))

    def restore(self) -> bool:
        """Load the file in the place of what is in memory; whether anything was loaded.

        Never raises: `restore_error` and the log say what is wrong with a file, by line, and
        `torn_tail` whether its last record was cut short and left out.
        """
        records: list[Any] = []
        self._restore_error = None
        try:
            records = self._kept.store.restore()
        except Exception as error:
            self._restore_error = error
            _log.error("the session was not loaded: %s", error)
        self._kept.replace(records)
        return bool(records)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> Context:
        """A context on a file, restored; empty for a missing or broken one."""
        context = cls(path, meta_dirname=meta_dirname, global_sessions_root=global_sessions_root)
        context.restore()
        return context

    def fork(self, target: Path) -> Context:
        """Write all records to `target`, in the place of what it held; a context on it."""
        return self.truncate_and_fork(len(self._kept.records), target)

    def truncate_and_fork(self, split_index: int, target: Path) -> Context:
        """The same with the first `split_index` records: 0 at least, and all at most."""
        records = self._kept.records[: max(0, split_index)]
        store = self._kept.store
        store.dump_history(records, target)
        forked: Context = type(self)(
            target,
            self._session_id,
            self._work_dir,
            meta_dirname=store.meta_dirname,
            global_sessions_root=store.global_sessions_root,
        )
        forked._kept.replace(records)
        return forked

    def with_session(self, session_id: str, work_dir: Path | None) -> Context:
        """Another id and work directory for the same file; this context."""
        self._session_id = self._kept.store.session_id = session_id
        self._work_dir = self._kept.store.work_dir = work_dir
        return self

    def adopt(self, other: Context) -> Context:
        """Share the other's records and file from now on; this context."""
        self._kept = other._kept
        self._session_id, self._work_dir = other._session_id, other._work_dir
        self._restore_error = other._restore_error
        return self

    def export_md_as_config(self, path: Path, template: str | None = None) -> None:
        """Write all records to a file. `template` is for records without a layout of their own."""
        self._kept.store.export_md_as_config(self._kept.records, path, template=template or "")

    def import_md_as_config(self, path: Path) -> bool:
        """Take a file over as this session's; False, and nothing changed, if it has no records.

        In memory only messages and compactions are kept. Raises ValueError for a broken file;
        nothing is changed then either.
        """
        records = self._kept.store.import_md_as_config(path)
        if not records:
            return False
        self._kept.replace(one for one in records if isinstance(one, Message | CompactRecord))
        return True

    def ensure_persisted(self) -> None:
        """Make the file, its folders and the link in the work directory, where they are missing."""
        self._kept.store.ensure_persisted()

    async def aensure_persisted(self) -> None:
        await self._kept.store.aensure_persisted()

    @classmethod
    def create_session(
        cls,
        work_dir: Path,
        session_id: str | None = None,
        *,
        defer_persist: bool = False,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> Context:
        """A new session in the global folder; with `defer_persist` its file is made with the
        first record. An id that has a file of today is continued there, without its history.
        """
        found, path = SessionStore.create_for_workdir(
            work_dir,
            session_id,
            meta_dirname=meta_dirname,
            global_sessions_root=global_sessions_root,
        )
        context = cls(
            path,
            found,
            work_dir,
            meta_dirname=meta_dirname,
            global_sessions_root=global_sessions_root,
        )
        if not defer_persist:
            context.ensure_persisted()
        return context

    @classmethod
    def continue_session(
        cls,
        work_dir: Path,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> Context | None:
        """The session of the work directory that was written to last, restored."""
        found = SessionStore.continue_in_workdir(work_dir, meta_dirname=meta_dirname)
        if found is None:
            return None
        session_id, path = found
        return cls._restored(path, session_id, work_dir, meta_dirname, global_sessions_root)

    @classmethod
    def resume_session(
        cls,
        work_dir: Path,
        session_id: str,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> Context | None:
        """The session of that id, restored; None if the work directory has none.

        Raises ValueError for an id that is no plain file name.
        """
        path = SessionStore.resolve_session_path(work_dir, session_id, meta_dirname=meta_dirname)
        if path is None:
            return None
        return cls._restored(path, session_id, work_dir, meta_dirname, global_sessions_root)

    @classmethod
    def fork_session(
        cls,
        work_dir: Path,
        source_id: str,
        new_id: str = AUTO_ID,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> Context:
        """A new session with the records of another; its id is `<source_id>-1`, `-2`, … unless
        given. Raises ValueError for a source that is unknown or broken, and for a taken id."""
        source = SessionStore.resolve_session_path(work_dir, source_id, meta_dirname=meta_dirname)
        if source is None:
            raise ValueError(f"there is no session {source_id!r} in {work_dir}")
        records = SessionStore(source).restore()
        found, path = SessionStore.fork_for_workdir(
            work_dir,
            source_id,
            new_id,
            meta_dirname=meta_dirname,
            global_sessions_root=global_sessions_root,
        )
        forked: Context = cls(
            path,
            found,
            work_dir,
            meta_dirname=meta_dirname,
            global_sessions_root=global_sessions_root,
        )
        forked.ensure_persisted()
        forked._kept.store.dump_history(records, path)
        forked._kept.replace(records)
        return forked

    @classmethod
    def list_sessions(
        cls, work_dir: Path, *, meta_dirname: str = DEFAULT_META_DIRNAME
    ) -> tuple[SessionList, None]:
        """(id, path, seconds of the last write) of each session linked here, the newest first."""
        return SessionStore.list_sessions(work_dir, meta_dirname=meta_dirname), None

    @classmethod
    def list_global_sessions(
        cls,
        work_dir: Path | None = None,
        *,
        global_sessions_root: Path | None = None,
        meta_dirname: str = DEFAULT_META_DIRNAME,
    ) -> tuple[SessionList, None]:
        """The same of the sessions of all work directories."""
        found = SessionStore.list_global_sessions(
            work_dir, global_sessions_root=global_sessions_root, meta_dirname=meta_dirname
        )
        return found, None

    def set_tool_registry(self, registry: Any) -> None:
        """Kept for programs that call it; does nothing."""

    def select_template_for_item(self, item: object) -> str:
        """The layout that a record brings along; an empty string if none."""
        return layout_text(item)

    @classmethod
    def _restored(
        cls,
        path: Path,
        session_id: str,
        work_dir: Path,
        meta_dirname: str,
        global_sessions_root: Path | None,
    ) -> Context:
        context = cls(
            path,
            session_id,
            work_dir,
            meta_dirname=meta_dirname,
            global_sessions_root=global_sessions_root,
        )
        context.restore()
        return context


def _says_nothing(message: Message) -> bool:
    blank = isinstance(message.content, str) and not message.content.strip()
    return blank and message.tool_calls is None
