"""A session file whose lock is held by another: an event loop is never kept waiting for long."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from oturn import Message
from oturn.session_store import SessionStore

fcntl = pytest.importorskip("fcntl")

FIRST = Message(role="user", content="first")
LATER = Message(role="user", content="later")


def test_a_file_that_another_program_keeps_locked_is_read_but_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.md"
    store = SessionStore(path)
    store.append_item(FIRST)
    before = path.read_bytes()
    with path.open("rb") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another program has held its lock"):
            store.append_item(LATER)
        assert path.read_bytes() == before
        assert store.restore() == [FIRST]
        assert "locked by another program" in caplog.text
    store.append_item(LATER)
    assert store.restore() == [FIRST, LATER]


def test_a_reader_that_holds_the_lock_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    store = SessionStore(path)
    store.append_item(FIRST)
    other = path.open("rb")
    fcntl.flock(other.fileno(), fcntl.LOCK_SH)
    release = threading.Timer(0.02, other.close)
    release.start()
    store.append_item(LATER)
    release.join()
    assert store.restore() == [FIRST, LATER]
