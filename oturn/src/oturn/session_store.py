"""Sessions on disk: which file holds which session, and records to and from that file.

The real file lies in a global folder by date; the work directory has a link to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from oturn.session_file import SessionFile, TornTail, parse_bytes, write_at_once
from oturn.session_records import Item, TemplateFunc, revive, write_item

#: The folder, in a work directory or a home, under which sessions are kept.
DEFAULT_META_DIRNAME = ".oturn"
SESSIONS_DIRNAME = "sessions"
_GLOBAL_DIRNAME = "global_sessions"
#: Asks for an id to be made, as None does.
AUTO_ID = "[AUTO]"

# Files named in this process: two sessions made in one millisecond stay two, written or not.
_named: set[Path] = set()


class SessionStore:
    """The file of one session. Making a store looks at the disk, and changes nothing.

    The link in `work_dir` is made when the file is; not when the file was there already.
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
        self.file_backend = file_backend
        self.session_id = session_id
        self.work_dir = work_dir
        self.meta_dirname = meta_dirname
        self.global_sessions_root = global_sessions_root
        self._file = SessionFile(file_backend)
        self._link_wanted = not file_backend.exists()
        self._persisted = False

    @property
    def torn(self) -> TornTail | None:
        """The record that was found cut short at the file's end, if one was."""
        return self._file.torn

    def restore(self) -> list[Any]:
        """The records of the file; none if it is missing. A torn last record is left out.

        Raises ValueError, with file, line and what to do, for what is broken before the end.
        """
        return revive(self._file.read().records, self.file_backend)

    def append_item(self, item: Item, template_func: TemplateFunc | None = None) -> None:
        """Write one record at the end, at once. Raises OSError and TypeError, and ValueError
        for a value that no notation can carry; the file is then as it was."""
        text = write_item(item, template_func) + "\n\n"
        if not self._persisted:
            self.ensure_persisted()
        self._file.append(text)

    def dump_history(
        self,
        history: Iterable[Item],
        target_path: Path,
        template_func: TemplateFunc | None = None,
        template: str = "",
    ) -> None:
        """Write the records as a file of their own, in the place of what was there."""
        text = "".join(write_item(item, template_func, template) for item in history)
        write_at_once(target_path, text.encode())

    def export_md_as_config(
        self,
        history: Iterable[Item],
        md_path: Path,
        template_func: TemplateFunc | None = None,
        template: str = "",
    ) -> None:
        self.dump_history(history, md_path, template_func, template)

    def import_md_as_config(self, md_path: Path) -> list[Any]:
        """Take a file over as this session's, and return its records.

        Without records nothing is changed. Raises ValueError for a broken file, and changes
        nothing then either.
        """
        try:
            raw = md_path.read_bytes()
        except FileNotFoundError:
            return []
        records = revive(parse_bytes(raw, str(md_path)).records, md_path)
        if records:
            self.ensure_persisted()
            self._file.replace_with(raw)
        return records

    def ensure_persisted(self) -> None:
        """Make the file, its folders and the link in the work directory, where they are missing."""
        self._file.create()
        self._persisted = True
        if self._link_wanted and self.work_dir is not None:
            self._link_wanted = False
            name = f"{self.session_id or self.file_backend.stem}.md"
            with suppress(OSError):  # without the link the session is kept all the same
                folder = self.ensure_sessions_dir(self.work_dir, meta_dirname=self.meta_dirname)
                (folder / name).symlink_to(self.file_backend.absolute())

    async def aensure_persisted(self) -> None:
        await asyncio.to_thread(self.ensure_persisted)

    @staticmethod
    def sessions_dir(work_dir: Path, *, meta_dirname: str = DEFAULT_META_DIRNAME) -> Path:
        return work_dir / meta_dirname / SESSIONS_DIRNAME

    @classmethod
    def ensure_sessions_dir(
        cls, work_dir: Path, *, meta_dirname: str = DEFAULT_META_DIRNAME
    ) -> Path:
        return _made(cls.sessions_dir(work_dir, meta_dirname=meta_dirname))

    @classmethod
    def global_sessions_dir(
        cls,
        work_dir: Path | None = None,  # noqa: ARG003 - 0.1 has it, and it makes no difference
        *,
        global_sessions_root: Path | None = None,
        meta_dirname: str = DEFAULT_META_DIRNAME,
    ) -> Path:
        """The root under which the real files lie, in folders by date; one for all work
        directories."""
        return global_sessions_root or Path.home() / meta_dirname / _GLOBAL_DIRNAME

    @classmethod
    def ensure_global_sessions_dir(
        cls,
        work_dir: Path | None = None,
        *,
        global_sessions_root: Path | None = None,
        meta_dirname: str = DEFAULT_META_DIRNAME,
    ) -> Path:
        return _made(
            cls.global_sessions_dir(
                work_dir, global_sessions_root=global_sessions_root, meta_dirname=meta_dirname
            )
        )

    @staticmethod
    def history_candidates(directory: Path, session_id: str) -> list[Path]:
        """Where a session of that id may lie. Raises ValueError for an id that is no file name."""
        if session_id in ("", ".", "..") or set(session_id) & set("/\\\0"):
            raise ValueError(
                f"{session_id!r} is no session id: it has to be a plain file name, without slashes"
            )
        return [directory / f"{session_id}.md"]

    @classmethod
    def session_exists(cls, directory: Path, session_id: str) -> bool:
        return any(os.path.lexists(path) for path in cls.history_candidates(directory, session_id))

    @classmethod
    def create_for_workdir(
        cls,
        work_dir: Path,
        session_id: str | None = None,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> tuple[str, Path]:
        """An id and the file for a session that begins today. Makes neither file nor link."""
        now = datetime.now().astimezone()
        root = cls.global_sessions_dir(
            work_dir, global_sessions_root=global_sessions_root, meta_dirname=meta_dirname
        )
        folder = root / f"{now:%Y%m%d}"
        local = cls.sessions_dir(work_dir, meta_dirname=meta_dirname)
        if session_id is None or session_id == AUTO_ID:
            session_id = f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03}"
            while (
                folder / f"{session_id}.md" in _named
                or cls.session_exists(folder, session_id)
                or cls.session_exists(local, session_id)
            ):
                session_id += "-1"
            _named.add(folder / f"{session_id}.md")
        (path,) = cls.history_candidates(folder, session_id)
        return session_id, path

    @classmethod
    def fork_for_workdir(
        cls,
        work_dir: Path,
        source_id: str,
        new_id: str = AUTO_ID,
        *,
        meta_dirname: str = DEFAULT_META_DIRNAME,
        global_sessions_root: Path | None = None,
    ) -> tuple[str, Path]:
        """An id and the file for a copy: `<source_id>-1`, `-2`, … unless an id is given.

        Raises ValueError for an id that is taken. Makes neither file nor link.
        """
        local = cls.sessions_dir(work_dir, meta_dirname=meta_dirname)
        for number in count(1):
            wanted = f"{source_id}-{number}" if new_id == AUTO_ID else new_id
            found, path = cls.create_for_workdir(
                work_dir,
                wanted,
                meta_dirname=meta_dirname,
                global_sessions_root=global_sessions_root,
            )
            if not path.exists() and not cls.session_exists(local, found):
                return found, path
            if new_id != AUTO_ID:
                break
        raise ValueError(f"there is a session {new_id!r} already; choose another id")

    @classmethod
    def continue_in_workdir(
        cls, work_dir: Path, *, meta_dirname: str = DEFAULT_META_DIRNAME
    ) -> tuple[str, Path] | None:
        """Id and link of the session of this work directory that was written to last."""
        found = cls.list_sessions(work_dir, meta_dirname=meta_dirname)
        return found[0][:2] if found else None

    @classmethod
    def resolve_session_path(
        cls, work_dir: Path, session_id: str, *, meta_dirname: str = DEFAULT_META_DIRNAME
    ) -> Path | None:
        """The real file of a session of this work directory; None if there is none."""
        folder = cls.sessions_dir(work_dir, meta_dirname=meta_dirname)
        for path in cls.history_candidates(folder, session_id):
            if path.is_file():
                return path.resolve()
        return None

    @classmethod
    def list_sessions(
        cls, work_dir: Path, *, meta_dirname: str = DEFAULT_META_DIRNAME
    ) -> list[tuple[str, Path, float]]:
        """(id, path, seconds of the last write), the newest first."""
        return _by_age(cls.sessions_dir(work_dir, meta_dirname=meta_dirname).glob("*.md"))

    @classmethod
    def list_global_sessions(
        cls,
        work_dir: Path | None = None,
        *,
        global_sessions_root: Path | None = None,
        meta_dirname: str = DEFAULT_META_DIRNAME,
    ) -> list[tuple[str, Path, float]]:
        """The same of all work directories."""
        root = cls.global_sessions_dir(
            work_dir, global_sessions_root=global_sessions_root, meta_dirname=meta_dirname
        )
        return _by_age(root.glob("*/*.md"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _by_age(paths: Iterable[Path]) -> list[tuple[str, Path, float]]:
    found = []
    for path in paths:
        with suppress(OSError):  # a link whose file is gone
            found.append((path.stem, path, path.stat().st_mtime))
    return sorted(found, key=lambda one: (-one[2], one[0]))
