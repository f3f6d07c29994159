"""Session files on disk: torn ends, broken middles, several writers, and where files lie."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oturn import Context, Message, ToolMessageContent, UserContent
from oturn.model import CompactRecord
from oturn.session_records import write_item
from oturn.session_store import DEFAULT_META_DIRNAME, SESSIONS_DIRNAME, SessionStore
from session_samples import DATA, PREFIX, WORKED_EXAMPLE

END = f"<!-- {PREFIX}end -->".encode()
FIRST = Message(role="user", content="first")
LAST: list[Any] = [
    Message(role="assistant", content="é\nyes", reasoning_content="日本", usage={"t": 1}),
    Message(role="tool", content=ToolMessageContent(status="ok", data="ü", error="a\nb")),
    CompactRecord(value="v" * 20, user_intent="ï"),
]
LATER = Message(role="user", content="later")


def file_of(path: Path, *records: Any) -> bytes:
    store = SessionStore(path)
    for record in records:
        store.append_item(record)
    return path.read_bytes()


@pytest.mark.parametrize("last", LAST, ids=lambda one: type(one).__name__ + one.role[:4]
                         if isinstance(one, Message) else "compact")  # fmt: skip
def test_a_cut_at_any_place_loses_at_most_the_cut_record_and_appending_is_safe(
    tmp_path: Path, last: Any
) -> None:
    path = tmp_path / "a.md"
    whole = file_of(path, FIRST, last)
    begins = len(file_of(tmp_path / "first.md", FIRST))
    ends = whole.rindex(END) + len(END)
    for cut in range(begins, len(whole) + 1):
        path.write_bytes(whole[:cut])
        store = SessionStore(path)
        restored = store.restore()
        assert restored == ([FIRST, last] if cut >= ends else [FIRST]), cut
        torn = store.torn
        assert (torn is not None) == (begins < cut < ends), cut
        if torn is not None:
            assert (torn.offset, torn.size) == (begins, cut - begins)
            assert torn.line == whole[:begins].count(b"\n") + 1
        store.append_item(LATER)
        assert SessionStore(path).restore() == [*restored, LATER], cut
        pieces = list(tmp_path.glob("a.md.torn-*"))
        if torn is None:
            assert pieces == []
        else:
            assert [piece.read_bytes() for piece in pieces] == [whole[begins:cut]]
            assert store.torn is not None
            assert store.torn.side_file == pieces[0]
            pieces[0].unlink()


def test_a_torn_file_is_mended_also_by_one_who_has_not_read_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.md"
    whole = file_of(path, FIRST, LAST[0])
    path.write_bytes(whole[: len(whole) - len(END) - 10])
    blind = SessionStore(path)
    blind.append_item(LATER)
    assert SessionStore(path).restore() == [FIRST, LATER]
    assert blind.torn is not None
    assert blind.torn.line == whole[: blind.torn.offset].count(b"\n") + 1
    assert "was moved to" in caplog.text


def test_a_torn_record_larger_than_what_is_looked_at_first_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    whole = file_of(path, FIRST, Message(role="assistant", content="é" * 400_000))
    path.write_bytes(whole[:-400])
    SessionStore(path).append_item(LATER)
    assert SessionStore(path).restore() == [FIRST, LATER]
    (piece,) = tmp_path.glob("a.md.torn-*")
    assert whole[:-400].endswith(piece.read_bytes())
    assert len(piece.read_bytes()) > 799_000


def test_two_torn_ends_within_a_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    store = SessionStore(path)
    for _ in range(2):
        store.append_item(FIRST)
        with path.open("ab") as file:
            file.write(b"<!-- md_as_config:ctx:beg")
    store.append_item(FIRST)
    assert len(list(tmp_path.glob("a.md.torn-*"))) == 2
    assert SessionStore(path).restore() == [FIRST] * 3


def test_a_persons_words_at_the_end_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    file_of(path, FIRST)
    with path.open("a") as file:
        file.write("a remark without an end of line")
    store = SessionStore(path)
    store.append_item(LATER)
    assert store.restore() == [FIRST, LATER]
    assert "\na remark without an end of line\n<!--" in path.read_text()
    assert list(tmp_path.glob("*.torn-*")) == []


@pytest.mark.parametrize(
    ("spoil", "line", "advice"),
    [
        (lambda raw: raw.replace(b"skeleton={", b"skeleton={{", 1), 1, "no JSON"),
        (lambda raw: raw.replace(END, b"", 1), 10, "line 1 has no end yet"),
        (lambda raw: raw.replace(b"first", b"f\xffrst", 1), 5, "not UTF-8"),
        (lambda raw: raw.replace(b" user ", b" boss ", 1), 1, "role of the record"),
    ],
)
def test_what_is_broken_before_the_end_is_refused_by_line_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[bytes], bytes], line: int, advice: str
) -> None:
    path = tmp_path / "a.md"
    spoiled = spoil(file_of(path, FIRST, LATER))
    path.write_bytes(spoiled)
    with pytest.raises(ValueError, match=f"a.md, line {line}: .*{advice}"):
        SessionStore(path).restore()
    SessionStore(path).append_item(LATER)
    assert path.read_bytes().startswith(spoiled)


def test_a_date_that_is_none_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    raw = file_of(path, WORKED_EXAMPLE[0]).replace(b"1772600767.0", b'"x"')
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="a.md, line 1: .*seconds"):
        SessionStore(path).restore()


def test_no_class_that_a_file_names_is_imported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    restored = SessionStore(DATA / "other_classes.md").restore()
    assert restored == [
        {"content": "of a class that is not ours", "role": "user"},
        {"a": 1},
        {"plain": [1, {"x": 12}]},
        CompactRecord(value="ours"),
    ]
    assert "antigravity" not in sys.modules
    (said,) = [one.getMessage() for one in caplog.records]
    assert "antigravity.Message (line 1), oturn.model.BaseModel (line 6)" in said


def test_two_stores_on_one_file_write_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    one, two = SessionStore(path), SessionStore(path)
    expected = []
    for number in range(6):
        message = Message(role="user", content=f"number {number}")
        (one, two)[number % 2].append_item(message)
        expected.append(message)
    assert one.restore() == two.restore() == expected


def _write_many(path: Path, name: str) -> None:
    store = SessionStore(path)
    for number in range(200):
        store.append_item(Message(role="user", content=f"{name} {number}\n" + "x" * number * 50))


def test_processes_that_share_a_file_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=_write_many, args=(path, name)) for name in ("a", "b", "c")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    restored = [one.content.splitlines()[0] for one in SessionStore(path).restore()]
    for name in ("a", "b", "c"):
        mine = [one for one in restored if one.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(200)]
    assert list(tmp_path.glob("*.torn-*")) == []


def test_a_file_that_was_deleted_or_replaced_is_begun_anew_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "a.md"
    store = SessionStore(path)
    store.append_item(FIRST)
    other = file_of(tmp_path / "b.md", FIRST, FIRST)
    (tmp_path / "b.md").replace(path)
    store.append_item(LATER)
    assert path.read_bytes().startswith(other)
    assert store.restore() == [FIRST, FIRST, LATER]
    assert "another file than before" in caplog.text
    path.unlink()
    path.parent.rmdir()
    store.append_item(LATER)
    assert store.restore() == [LATER]


def test_an_append_touches_nothing_that_was_written_before(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    store = SessionStore(path)
    store.append_item(FIRST)
    before, number = path.read_bytes(), path.stat().st_ino
    store.append_item(LATER)
    assert path.stat().st_ino == number
    assert path.read_bytes() == before + write_item(LATER).encode() + b"\n\n"


def test_a_store_that_has_appended_holds_no_descriptor(tmp_path: Path) -> None:
    SessionStore(tmp_path / "warm.md").append_item(FIRST)
    before = len(os.listdir("/proc/self/fd"))
    stores = [SessionStore(tmp_path / f"{number}.md") for number in range(20)]
    for store in stores:
        store.append_item(FIRST)
    assert len(os.listdir("/proc/self/fd")) == before


def _fill_disk(path: Path, answers: Any) -> None:
    """A file may grow no more after the first record; then it may again."""
    context = Context(path)
    context.append_message(FIRST)
    size = path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
    try:
        context.append_message(LAST[0])
    except OSError as error:
        answers.put((error.errno, path.stat().st_size == size, len(context.history)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    context.append_message(LATER)
    answers.put(context.history == Context.load(path).history)


def test_a_write_that_fails_leaves_the_file_whole_and_is_made_up_for(tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    answers = start.Queue()
    worker = start.Process(target=_fill_disk, args=(tmp_path / "a.md", answers))
    worker.start()
    assert answers.get(timeout=40) == (errno.EFBIG, True, 2)
    assert answers.get(timeout=40) is True
    worker.join()
    assert SessionStore(tmp_path / "a.md").restore() == [FIRST, LAST[0], LATER]


def test_ten_thousand_records_are_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    messages = [Message(role="user", content=f"number {number}") for number in range(10_000)]
    Context(path).append_message(messages)
    assert Context.load(path).history == messages


def test_the_mode_of_a_file_and_of_what_is_cut_from_it_is_that_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = tmp_path / "a.md"
        file_of(path, FIRST)
        path.write_bytes(path.read_bytes()[:-40])
        path.chmod(0o640)
        os.umask(0)
        store = SessionStore(path)
        store.append_item(LATER)
        os.umask(0o027)
        store.dump_history([FIRST], tmp_path / "b.md")
    finally:
        os.umask(before)
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o640}


def test_an_export_replaces_its_target_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "b.md"
    store = SessionStore(tmp_path / "a.md")
    store.export_md_as_config([FIRST, LATER], target)
    target.chmod(0o600)
    before = target.open("rb")  # a reader of the old file goes on reading that
    store.export_md_as_config([LATER, {"a": 1}], target, template="A={.a}")
    assert target.stat().st_mode & 0o777 == 0o600
    assert SessionStore(target).restore() == [LATER, {"a": 1}]
    assert "\n\n<!-- " in target.read_text()
    assert "\n\n\n" not in target.read_text()
    assert [one.name for one in target.parent.iterdir()] == ["b.md"]
    with before:
        assert before.read().count(END) == 2
        assert os.fstat(before.fileno()).st_nlink == 0


def test_an_export_onto_a_link_replaces_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link.md").symlink_to(tmp_path / "real.md")
    SessionStore(tmp_path / "a.md").export_md_as_config([FIRST], tmp_path / "link.md")
    assert (tmp_path / "link.md").is_symlink()
    assert SessionStore(tmp_path / "real.md").restore() == [FIRST]


def test_the_names_of_0_1_say_where_sessions_lie(tmp_path: Path) -> None:
    assert (DEFAULT_META_DIRNAME, SESSIONS_DIRNAME) == (".oturn", "sessions")
    local = SessionStore.ensure_sessions_dir(tmp_path, meta_dirname=".x")
    assert local == SessionStore.sessions_dir(tmp_path, meta_dirname=".x")
    assert local == tmp_path / ".x" / "sessions"
    root = SessionStore.ensure_global_sessions_dir(tmp_path, global_sessions_root=tmp_path / "g")
    assert root.is_dir()
    assert SessionStore.global_sessions_dir(tmp_path) == Path.home() / ".oturn" / "global_sessions"
    assert SessionStore.history_candidates(local, "a") == [local / "a.md"]
    assert not SessionStore.session_exists(local, "a")
    (local / "a.md").touch()
    assert SessionStore.session_exists(local, "a")
    assert SessionStore.resolve_session_path(tmp_path, "a", meta_dirname=".x") == local / "a.md"


@pytest.mark.parametrize("session_id", ["", ".", "..", "../a", "a/b", "a\\b", "a\0"])
def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, session_id: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        SessionStore.create_for_workdir(tmp_path, session_id, global_sessions_root=tmp_path)
    with pytest.raises(ValueError, match="plain file name"):
        Context.resume_session(tmp_path, session_id)


def test_a_link_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / ".oturn").write_text("in the way")
    store = SessionStore(tmp_path / "a.md", "a", tmp_path)
    store.append_item(FIRST)
    assert store.restore() == [FIRST]


def test_user_content_keeps_its_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    content = UserContent.from_dict({"user_name": "U", "content": "x", "date": 1772600767.123456})
    file_of(path, Message(role="user", content=content))
    (restored,) = SessionStore(path).restore()
    assert restored.content.date == content.date
