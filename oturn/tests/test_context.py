"""What programs do with a `Context`: append, restore, fork, adopt, and find sessions again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from oturn import Context, Message, ToolCallInfo, UserContent
from oturn.model import CompactRecord
from oturn.session_store import SessionStore
from session_samples import DATA, WORKED_EXAMPLE

ONE = Message(role="user", content="one")
TWO = Message(role="assistant", content="two")


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """A work directory's knobs: nothing is written into anybody's home."""
    return {"meta_dirname": ".mine", "global_sessions_root": tmp_path / "global"}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder


def test_making_a_context_changes_nothing_on_disk_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.md"
    context = Context(path, work_dir=tmp_path)
    assert (context.history, context.session_id, context.history_file) == ([], "a", path)
    assert list(tmp_path.iterdir()) == []
    assert not context.restore()
    assert context.restore_error is None
    assert list(tmp_path.iterdir()) == []


def test_history_is_a_copy_and_records_is_none(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    records = context.records
    context.append_message(ONE)
    context.history.clear()
    assert context.history == list(records) == [ONE]
    assert context.records is records
    assert (len(records), records[0], records[-1:]) == (1, ONE, [ONE])
    with pytest.raises(TypeError):
        records[0] = TWO  # type: ignore[index]  # that it cannot be done is the point
    context.restore()
    assert context.records is not records
    assert list(context.records) == [ONE]


def test_what_says_nothing_or_is_no_message_is_left_out(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    calls = [ToolCallInfo.from_json({"id": "c", "type": "function", "function": {"name": "f"}})]
    asking = Message(role="assistant", content=" ", tool_calls=calls)
    given: Any = [ONE, {"role": "user", "content": "x"}, None, Message(role="user", content=" \n")]
    context.append_message([*given, asking])
    assert context.history == Context.load(tmp_path / "a.md").history == [ONE, asking]


def test_a_record_that_no_file_can_hold_is_said_and_the_next_ones_are_kept(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    endless: dict[str, Any] = {}
    endless["again"] = endless
    odd = Message(role="user", content="x").model_copy(update={"extra": endless})
    with pytest.raises(ValueError, match="[Cc]ircular"):
        context.append_message(odd)
    assert context.history[0] is odd
    context.append_message(TWO)
    assert Context.load(tmp_path / "a.md").history == [TWO]


def test_restore_never_raises_and_tells_what_was_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.md"
    context = Context(path)
    context.append_message([ONE, TWO])
    path.write_bytes(path.read_bytes().replace(b" user ", b" boss "))
    assert not context.restore()
    assert context.history == []
    assert "a.md, line 1: role" in str(context.restore_error)
    assert "a.md, line 1: role" in caplog.text
    path.unlink()
    path.mkdir()
    assert not context.restore()
    assert isinstance(context.restore_error, OSError)


def test_a_torn_end_is_told_by_the_context(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.md"
    Context(path).append_message([ONE, TWO])
    path.write_bytes(path.read_bytes()[:-20])
    context = Context(path)
    assert context.restore()
    assert context.history == [ONE]
    assert context.torn_tail is not None
    assert context.torn_tail.side_file is None
    assert f"a.md, line {context.torn_tail.line}: the last record is cut short" in caplog.text


def test_a_compaction_is_a_record_of_the_history(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    context.append_compact("so\nfar", "go on")
    assert context.history == [CompactRecord(value="so\nfar", user_intent="go on")]
    assert Context.load(tmp_path / "a.md").history == context.history


def test_a_fork_has_the_records_and_goes_its_own_way(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md", "mine", tmp_path / "work")
    context.append_message([ONE, TWO])
    forked = context.fork(tmp_path / "deep" / "b.md")
    assert (forked.session_id, forked.work_dir) == ("mine", tmp_path / "work")
    forked.append_message(ONE)
    assert context.history == [ONE, TWO]
    assert Context.load(tmp_path / "deep" / "b.md").history == forked.history == [ONE, TWO, ONE]


@pytest.mark.parametrize(("split", "kept"), [(-1, 0), (0, 0), (1, 1), (2, 2), (9, 2)])
def test_a_fork_may_be_cut_short(tmp_path: Path, split: int, kept: int) -> None:
    context = Context(tmp_path / "a.md")
    context.append_message([ONE, TWO])
    forked = context.truncate_and_fork(split, tmp_path / "b.md")
    assert forked.history == Context.load(tmp_path / "b.md").history == [ONE, TWO][:kept]
    assert (tmp_path / "b.md").exists()


def test_an_adopting_context_shares_records_and_file(tmp_path: Path) -> None:
    context, other = Context(tmp_path / "a.md"), Context(tmp_path / "b.md", "other")
    assert context.adopt(other) is context
    context.append_message(ONE)
    other.append_message(TWO)
    assert context.history == other.history == Context.load(tmp_path / "b.md").history
    assert (context.session_id, context.history_file) == ("other", tmp_path / "b.md")
    assert not (tmp_path / "a.md").exists()


def test_with_session_renames_before_the_link_is_made(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    assert context.with_session("named", tmp_path / "work") is context
    context.append_message(ONE)
    link = tmp_path / "work" / ".oturn" / "sessions" / "named.md"
    assert link.resolve() == (tmp_path / "a.md").resolve()


def test_an_export_can_be_imported_elsewhere(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    context.append_message([ONE, TWO])
    context.export_md_as_config(tmp_path / "deep" / "out.md")
    other = Context(tmp_path / "b.md")
    other.append_message(TWO)
    assert other.import_md_as_config(tmp_path / "deep" / "out.md")
    other.append_message(ONE)
    assert other.history == Context.load(tmp_path / "b.md").history == [ONE, TWO, ONE]


def test_an_import_keeps_in_memory_what_the_conversation_knows(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    assert context.import_md_as_config(DATA / "other_classes.md")
    assert context.history == [CompactRecord(value="ours")]
    assert (tmp_path / "a.md").read_bytes() == (DATA / "other_classes.md").read_bytes()


@pytest.mark.parametrize("text", [None, "", "words only\n"])
def test_an_import_without_records_changes_nothing(tmp_path: Path, text: str | None) -> None:
    source = tmp_path / "source.md"
    if text is not None:
        source.write_text(text)
    context = Context(tmp_path / "a.md")
    context.append_message(ONE)
    before = (tmp_path / "a.md").read_bytes()
    assert not context.import_md_as_config(source)
    assert context.history == [ONE]
    assert (tmp_path / "a.md").read_bytes() == before


def test_an_import_of_a_broken_file_raises_and_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.md"
    source.write_text("<!-- md_as_config:ctx:begin skeleton=1 -->\n")
    context = Context(tmp_path / "a.md")
    context.append_message(ONE)
    before = (tmp_path / "a.md").read_bytes()
    with pytest.raises(ValueError, match="source.md, line 1"):
        context.import_md_as_config(source)
    assert context.history == [ONE]
    assert (tmp_path / "a.md").read_bytes() == before


def test_a_new_session_lies_in_the_global_folder_by_date_with_a_link_here(
    work: Path, places: dict[str, Any]
) -> None:
    before = datetime.now().astimezone()
    context = Context.create_session(work, **places)
    after = datetime.now().astimezone()
    real = context.history_file
    assert re.fullmatch(r"\d{17}", context.session_id)
    stamps = (f"{before:%Y%m%d%H%M%S}", f"{after:%Y%m%d%H%M%S}")
    assert stamps[0] <= context.session_id[:14] <= stamps[1]
    folder = places["global_sessions_root"] / context.session_id[:8]
    assert real == folder / f"{context.session_id}.md"
    assert real.read_bytes() == b""
    link = work / ".mine" / "sessions" / real.name
    assert os.readlink(link) == str(real)
    assert context.work_dir == work


def test_sessions_made_at_one_moment_are_several(work: Path, places: dict[str, Any]) -> None:
    made = [
        Context.create_session(work, "[AUTO]", defer_persist=defer, **places)
        for defer in [True, False] * 10
    ]
    assert len({context.history_file for context in made}) == 20
    assert all(re.fullmatch(r"\d{17}(-1)*", context.session_id) for context in made)


def test_a_deferred_session_makes_its_file_with_its_first_record(
    work: Path, places: dict[str, Any]
) -> None:
    context = Context.create_session(work, "later", defer_persist=True, **places)
    assert not context.history_file.exists()
    assert Context.list_sessions(work, meta_dirname=".mine") == ([], None)
    context.append_message(ONE)
    assert context.history_file.exists()
    assert [one[0] for one in Context.list_sessions(work, meta_dirname=".mine")[0]] == ["later"]


def test_an_id_of_the_same_day_goes_on_in_its_file(work: Path, places: dict[str, Any]) -> None:
    first = Context.create_session(work, "given", **places)
    first.append_message(ONE)
    again = Context.create_session(work, "given", **places)
    assert again.history == []
    again.append_message(TWO)
    assert Context.load(first.history_file).history == [ONE, TWO]


async def test_a_session_may_be_made_without_blocking(work: Path, places: dict[str, Any]) -> None:
    context = Context.create_session(work, "x", defer_persist=True, **places)
    await context.aensure_persisted()
    assert context.history_file.exists()
    assert (work / ".mine" / "sessions" / "x.md").is_symlink()


def test_the_session_written_to_last_is_continued(work: Path, places: dict[str, Any]) -> None:
    assert Context.continue_session(work, **places) is None
    contexts = [Context.create_session(work, name, **places) for name in ("a", "b", "c")]
    for age, context in enumerate(contexts):
        context.append_message(Message(role="user", content=context.session_id))
        os.utime(context.history_file, (0, [50, 70, 60][age]))
    found, nothing = Context.list_sessions(work, meta_dirname=".mine")
    folder = work / ".mine" / "sessions"
    assert found == [
        ("b", folder / "b.md", 70.0),
        ("c", folder / "c.md", 60.0),
        ("a", folder / "a.md", 50.0),
    ]
    assert nothing is None
    continued = Context.continue_session(work, **places)
    assert continued is not None
    assert (continued.session_id, continued.history_file) == ("b", folder / "b.md")
    continued.append_message(TWO)
    expected = [Message(role="user", content="b"), TWO]
    assert Context.load(contexts[1].history_file).history == expected
    assert (folder / "b.md").is_symlink()


def test_a_session_is_resumed_by_its_id(work: Path, places: dict[str, Any]) -> None:
    made = Context.create_session(work, "mine", **places)
    made.append_message(ONE)
    resumed = Context.resume_session(work, "mine", **places)
    assert resumed is not None
    assert (resumed.history, resumed.session_id) == ([ONE], "mine")
    assert resumed.history_file == made.history_file.resolve()
    assert Context.resume_session(work, "unknown", **places) is None
    made.history_file.unlink()
    assert Context.resume_session(work, "mine", **places) is None
    assert Context.list_sessions(work, meta_dirname=".mine") == ([], None)


def test_a_torn_session_behind_a_link_is_mended_beside_the_real_file(
    work: Path, places: dict[str, Any]
) -> None:
    made = Context.create_session(work, "mine", **places)
    made.append_message([ONE, TWO])
    made.history_file.write_bytes(made.history_file.read_bytes()[:-20])
    continued = Context.continue_session(work, **places)
    assert continued is not None
    continued.append_message(TWO)
    assert continued.torn_tail is not None
    assert continued.torn_tail.side_file is not None
    assert continued.torn_tail.side_file.parent == made.history_file.parent.resolve()
    assert Context.load(made.history_file).history == [ONE, TWO]
    assert len(Context.list_sessions(work, meta_dirname=".mine")[0]) == 1


def test_a_session_is_forked_under_the_next_free_id(work: Path, places: dict[str, Any]) -> None:
    made = Context.create_session(work, "mine", **places)
    made.append_message([ONE, TWO])
    forks = [Context.fork_session(work, "mine", **places) for _ in range(2)]
    forks.append(Context.fork_session(work, "mine", "named", **places))
    assert [one.session_id for one in forks] == ["mine-1", "mine-2", "named"]
    for fork in forks:
        assert fork.history == Context.load(fork.history_file).history == [ONE, TWO]
        assert (work / ".mine" / "sessions" / f"{fork.session_id}.md").is_symlink()
    forks[0].append_message(ONE)
    assert Context.load(made.history_file).history == [ONE, TWO]


def test_a_fork_of_nothing_or_onto_another_is_refused(work: Path, places: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no session 'mine'"):
        Context.fork_session(work, "mine", **places)
    made = Context.create_session(work, "mine", **places)
    made.append_message(ONE)
    with pytest.raises(ValueError, match="'mine' already"):
        Context.fork_session(work, "mine", "mine", **places)
    made.history_file.write_bytes(made.history_file.read_bytes().replace(b" user ", b" boss "))
    with pytest.raises(ValueError, match="line 1"):
        Context.fork_session(work, "mine", **places)
    assert len(Context.list_sessions(work, meta_dirname=".mine")[0]) == 1


def test_sessions_of_all_work_directories_are_listed(
    tmp_path: Path, places: dict[str, Any]
) -> None:
    for name in ("a", "b"):
        context = Context.create_session(tmp_path / name, name, **places)
        os.utime(context.history_file, (0, ord(name)))
    found, nothing = Context.list_global_sessions(tmp_path, **places)
    assert [(one[0], one[2]) for one in found] == [("b", 98.0), ("a", 97.0)]
    assert nothing is None


def test_a_file_where_its_link_would_be_is_just_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".oturn" / "sessions" / "demo.md"
    context = Context(path, work_dir=tmp_path)
    context.append_message(ONE)
    assert not path.is_symlink()
    assert [one[0] for one in Context.list_sessions(tmp_path)[0]] == ["demo"]


def test_no_link_is_made_for_a_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.md").touch()
    Context(tmp_path / "a.md", work_dir=tmp_path).append_message(ONE)
    assert not (tmp_path / ".oturn").exists()


def test_the_layout_of_an_item_can_be_asked_for(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    context.set_tool_registry(object())
    assert context.select_template_for_item(ONE).startswith("# [{.role}]")
    assert context.select_template_for_item(Message(role="system", content="x")) == ""
    assert context.select_template_for_item({"a": 1}) == ""


def test_the_notebook_of_remote_tools_gives_what_was_noted(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    assert context.get_mcp_client() is None
    assert not context.is_mcp_ready()
    assert context.get_mcp_status_message() == ""
    assert context.get_mcp_last_ping() is None
    client = object()
    context.set_mcp_client(client)
    context.mark_mcp_ready(True, "connected", 12.5)
    context.mark_mcp_ready(True, "still")
    assert context.get_mcp_client() is client
    assert context.is_mcp_ready()
    assert (context.get_mcp_status_message(), context.get_mcp_last_ping()) == ("still", 12.5)
    context.set_mcp_last_ping(13.0)
    assert context.get_mcp_last_ping() == 13.0

    find = {"name": "find", "description": "Finds."}
    context.update_mcp_tool_state([find, {"description": "nameless"}], {"find": True})
    context.get_mcp_tool_schemas().clear()
    context.get_mcp_tool_availability().clear()
    assert context.get_mcp_tool_schemas() == [find, {"description": "nameless"}]
    assert context.get_mcp_tool_availability() == {"find": True}
    assert context.get_mcp_tool_definition("find") == find
    assert context.get_mcp_tool_definition("lose") is None
    context.update_mcp_tool_state({"find": find}, {})
    assert context.get_mcp_tool_definition("find") == find
    context.clear_mcp_tool_state()
    assert (context.get_mcp_tool_schemas(), context.get_mcp_tool_availability()) == ([], {})


def test_the_worked_example_is_one_conversation(tmp_path: Path) -> None:
    context = Context(tmp_path / "a.md")
    for record in WORKED_EXAMPLE:
        if isinstance(record, Message):
            context.append_message(record)
        else:
            context.append_compact(record.value, record.user_intent)
    assert SessionStore(tmp_path / "a.md").restore() == WORKED_EXAMPLE
    assert isinstance(Context.load(DATA / "worked_example.md").records[0], Message)
    assert isinstance(WORKED_EXAMPLE[0].content, UserContent)
