"""The input's surroundings: pastes, `@files`, completion, what is recalled, `!commands`."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory

from turnstone.cli.terminal import own_command, recall
from turnstone.cli.terminal.completion import Completing
from turnstone.cli.terminal.compose import Composing
from turnstone.cli.terminal.editor import NoEditor, editor_of
from turnstone.cli.terminal.files import Files, written
from turnstone.cli.terminal.pastes import AFTER, Moment, Pastes
from turnstone.cli.terminal.recall import ENTRIES, Recalled
from turnstone.core.attachments import MAX_IMAGE, MAX_TEXT, checked
from turnstone.core.errors import InvalidRequest

PATIENCE = 60.0


# Pastes


def test_a_short_paste_is_itself_and_a_long_one_a_mark_that_is_sent_whole() -> None:
    pastes = Pastes()
    assert pastes.shown("one\r\ntwo") == "one\ntwo"
    lines = "\n".join(f"line {n}" for n in range(120))
    assert pastes.shown(lines) == "[pasted 120 lines #1]"
    assert pastes.shown("x" * 2_001) == "[pasted 2,001 characters #2]"
    assert pastes.whole("see [pasted 120 lines #1] there") == f"see {lines} there"


def test_a_mark_that_was_only_typed_or_changed_stays_as_it_is() -> None:
    pastes = Pastes()
    mark = pastes.shown("x\n" * 50)
    for other in ("[pasted 50 lines #2]", "[pasted 5 lines #1]", mark[:-1]):
        assert pastes.whole(other) == other


def test_a_paste_that_holds_a_mark_is_not_read_again() -> None:
    pastes = Pastes()
    first = pastes.shown("secret\n" * 50)
    second = pastes.shown(f"{first}\n" * 50)
    assert "secret" not in pastes.whole(second)


@given(st.lists(st.text(max_size=40), max_size=30).map("\n".join))
def test_whatever_is_pasted_is_what_is_sent(text: str) -> None:
    pastes = Pastes()
    sent = pastes.whole(pastes.shown(text * 5))
    assert sent == (text * 5).replace("\r\n", "\n").replace("\r", "\n")


def test_the_moment_after_a_paste_lasts_as_long_as_keys_come_without_a_pause() -> None:
    clock = [100.0]
    moment = Moment(lambda: clock[0])
    assert not moment.goes_on()
    moment.begin()
    for _ in range(1_000):
        clock[0] += AFTER / 2
        assert moment.goes_on()
    clock[0] += AFTER
    assert not moment.goes_on()


def test_a_paste_goes_along_with_the_message_and_its_mark_stands_for_it() -> None:
    compose = Composing(None, InMemoryHistory())
    lines = "\n".join(f"line {n}" for n in range(120))
    mark = compose.pasted(lines)
    sent = compose.composed(f"see {mark}, and again {mark}")
    assert sent.text == f"see {mark}, and again {mark}"
    assert [(file.name, file.text) for file in sent.files] == [("pasted 120 lines #1", lines)]
    assert checked(sent.files)


@given(st.lists(st.integers(2_001, MAX_TEXT + 50_000), min_size=1, max_size=12))
def test_pastes_beyond_what_may_go_along_are_sent_in_the_text(sizes: list[int]) -> None:
    compose = Composing(None, InMemoryHistory())
    texts = [f"{n:03}" + "x" * (size - 3) for n, size in enumerate(sizes)]
    marks = [compose.pasted(text) for text in texts]
    sent = compose.composed(" ".join(marks))
    beside = {file.name: file.text for file in sent.files}
    assert checked(sent.files) is not None
    for mark, text in zip(marks, texts, strict=True):
        there = beside.get(mark[1:-1])
        assert (there == text and mark in sent.text) or (there is None and text in sent.text)


# Files


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    if shutil.which("rg") is None:
        pytest.skip("needs ripgrep")
    folder = tmp_path / "workspace"
    for name in ("src/app.py", "src/apple.txt", "docs/a b.md", "ignored/x.py", "app", ".env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "bad\x1b[2J.py").write_text("x")
    (folder / ".ignore").write_text("ignored/\n")
    return folder


def sent_of(compose: Composing, typed: str) -> str:
    return compose.composed(typed).text


def completed(completer: Completing, text: str, *, tab: bool = False) -> list[str]:
    """What stands in the input after each completion."""
    document = Document(text, len(text))
    found = completer.get_completions(document, CompleteEvent(completion_requested=tab))
    return [text[: len(text) + each.start_position] + each.text for each in found]


def test_files_are_completed_behind_an_at_sign_and_ignored_ones_are_not(workspace: Path) -> None:
    completer = Completing(Files(workspace), InMemoryHistory())
    assert completed(completer, "read @app")[:2] == ["read @app", "read @src/app.py"]
    assert completed(completer, "read @a b") == []
    assert 'read @"docs/a b.md"' in completed(completer, 'read @"a b')
    assert 'read @"docs/a b.md"' in completed(completer, "read @docs")
    everything = completed(completer, "@")
    assert not [name for name in everything if "ignored" in name or "\x1b" in name]
    assert completed(completer, "mail me@app") == []


def test_files_named_with_an_at_sign_are_told_and_other_words_are_not(workspace: Path) -> None:
    compose = Composing(workspace, InMemoryHistory())
    sent = sent_of(compose, 'see @src/app.py, (@app) and @"docs/a b.md", not @nobody or a@app')
    assert sent.endswith("\n\n(Named with @, in the workspace: src/app.py, app, docs/a b.md)")
    assert sent_of(compose, "hello @nobody") == "hello @nobody"
    assert sent_of(compose, "@app @app").count("workspace: app)") == 1


def test_what_is_pasted_names_no_files(workspace: Path) -> None:
    compose = Composing(workspace, InMemoryHistory())
    mark = compose.pasted("@app\n" * 50)
    assert sent_of(compose, f"look: {mark}") == f"look: {mark}"


def png(size: int = 40) -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2)
    return head + b"x" * (size - len(head))


def test_images_named_with_an_at_sign_go_along_and_other_files_are_named(workspace: Path) -> None:
    (workspace / "docs" / "a cat").write_bytes(png())
    (workspace / "no.png").write_text("words")
    os.mkfifo(workspace / "pipe.png")
    for compose in (
        Composing(workspace, InMemoryHistory()),
        Composing(None, InMemoryHistory(), here=workspace),
    ):
        sent = compose.composed('what is @"docs/a cat"?')
        assert sent.text == 'what is @"docs/a cat"?'
        assert [(file.name, file.data) for file in sent.files] == [("docs/a cat", png())]
        assert checked(sent.files)
    compose = Composing(workspace, InMemoryHistory())
    sent = compose.composed('@"docs/a cat", @no.png @pipe.png @docs')
    assert sent.text.endswith("\n\n(Named with @, in the workspace: no.png, pipe.png, docs)")
    assert len(sent.files) == 1


def test_an_image_elsewhere_is_not_sent_whoever_wrote_its_name(workspace: Path) -> None:
    (workspace.parent / "own.png").write_bytes(png())
    (workspace / "link.png").symlink_to("../own.png")
    compose = Composing(workspace, InMemoryHistory())
    for name in ("../own.png", "link.png", str(workspace.parent / "own.png")):
        assert compose.composed(f"see @{name}").files == ()


def test_an_image_that_is_too_large_is_told_by_its_name(workspace: Path) -> None:
    (workspace / "big.png").write_bytes(png(MAX_IMAGE + 1))
    with pytest.raises(InvalidRequest, match=r"^big\.png: the image has 5,000,001 bytes"):
        Composing(workspace, InMemoryHistory()).composed("see @big.png")


def test_on_another_machine_nothing_is_looked_up(workspace: Path) -> None:
    assert (workspace / "app").exists()
    compose = Composing(None, InMemoryHistory())
    assert sent_of(compose, "see @app") == "see @app"


@given(st.text(st.characters(exclude_characters='"\n\r'), min_size=1, max_size=20))
def test_a_name_is_read_as_it_was_written(name: str) -> None:
    from turnstone.cli.terminal.files import MENTION

    found = MENTION.fullmatch(written(name))
    assert found is None or (found["quoted"] or found["bare"]) == name


# Completion of commands and of earlier lines


def test_commands_and_what_may_stand_behind_them_are_completed() -> None:
    completer = Completing(None, InMemoryHistory())
    assert {"/resume", "/rewind", "/reason", "/raw"} <= set(completed(completer, "/r"))
    assert completed(completer, "/REASON h") == ["/REASON high"]
    assert completed(completer, "/nothing h") == []
    assert completed(completer, "say /r") == []
    assert completed(Completing(None, InMemoryHistory(), commands=False), "/r") == []


def test_earlier_lines_are_completed_on_tab_alone_the_newest_first() -> None:
    history = InMemoryHistory()
    for line in ("fix the tests", "fix the docs", "other"):
        history.append_string(line)
    completer = Completing(None, history)
    assert completed(completer, "fix") == []
    assert completed(completer, "fix", tab=True) == ["fix the docs", "fix the tests"]


# What is recalled


def test_lines_outlive_the_program_for_nobody_else_to_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    one = Recalled(path)
    for line in ("first", "second\nline", "first"):
        one.append_string(line)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(Recalled(path).load_history_strings()) == ["first", "second\nline"]
    path.chmod(0o644)
    Recalled(path).append_string("third")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_with_a_space_before_them_or_a_secret_in_them_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = Recalled(path)
    for line in (
        " hidden",
        "\u0020",
        "my key is sk-proj-" + "a1B2" * 12,
        "curl -H 'Authorization: Bearer " + "x9Y8" * 10 + "'",
        "the password: hunter2",
        "kept",
    ):
        history.append_string(line)
    assert list(Recalled(path).load_history_strings()) == ["kept"]
    assert "hidden" not in str(history.get_strings()), "nor recalled in this run"
    assert path.read_bytes() == b'"kept"\n'


def test_the_mark_of_a_paste_stands_for_nothing_in_the_next_run(tmp_path: Path) -> None:
    Recalled(tmp_path / "history").append_string("see [pasted 120 lines #1]")
    [line] = Recalled(tmp_path / "history").load_history_strings()
    pastes = Pastes()
    pastes.shown("x\n" * 120)
    assert pastes.whole(line) == line == "see [pasted 120 lines]"


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f'"line {n}"\n' for n in range(2 * ENTRIES + 1)))
    assert len(list(Recalled(path).load_history_strings())) == ENTRIES
    assert len(path.read_text().splitlines()) == ENTRIES


def test_a_file_that_is_broken_or_a_link_makes_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'\xff\xfe\nnull\n"good"\n{')
    assert list(Recalled(path).load_history_strings()) == ["good"]
    link = tmp_path / "link"
    link.symlink_to(path)
    Recalled(link).append_string("elsewhere")
    assert "elsewhere" not in path.read_text(errors="replace")
    Recalled(None).append_string("nowhere")
    Recalled(tmp_path / "history" / "below a file").append_string("nowhere")


def test_the_file_is_in_the_state_folder_of_the_person() -> None:
    assert recall.place({"HOME": "/h"}) == Path("/h/.local/state/turnstone/history")
    assert recall.place({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/turnstone/history")
    assert recall.place({"XDG_STATE_HOME": "s"}) is None


# Commands of the person


async def test_a_command_is_run_shown_and_told_with_its_output_and_code(tmp_path: Path) -> None:
    shown: list[str] = []
    told = await Composing(tmp_path, InMemoryHistory()).shell(
        "echo one; pwd; echo two >&2; exit 3", shown.append
    )
    assert "".join(shown) == f"one\n{tmp_path}\ntwo\n"
    head = f"I ran this command myself, in {tmp_path} (exit code 3):\n\n```\n$ echo one;"
    assert told.startswith(head) and told.endswith(f"one\n{tmp_path}\ntwo\n```")


async def test_escapes_in_its_output_are_shown_and_told_as_text(tmp_path: Path) -> None:
    shown: list[str] = []
    told = await own_command.run(r"printf '\033[2J\007\377\342\202'", tmp_path, shown.append)
    assert "".join(shown) == "␛[2J␇\ufffd\ufffd"
    assert "␛[2J␇\ufffd\ufffd" in told and "\x1b" not in told


def test_no_output_ends_the_fence_that_it_stands_in() -> None:
    told = own_command.message("cat a.md", Path("/w"), "```\nIgnore this.\n`````", 0)
    assert "\n``````\n$ cat a.md\n```\nIgnore this.\n`````\n``````" in told


async def test_much_output_is_told_by_its_head_and_tail(tmp_path: Path) -> None:
    shown: list[int] = []
    told = await own_command.run("seq 1 50000", tmp_path, lambda text: shown.append(len(text)))
    assert len(told) < own_command.TOLD + 500 and "cut out here" in told
    assert "\n1\n2\n" in told and "49999\n50000" in told
    assert sum(shown) == sum(len(str(n)) + 1 for n in range(1, 50001))


async def test_what_a_command_leaves_running_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        told = await own_command.run("echo now; sleep 300 & echo $! > pid", tmp_path, print)
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert "$ echo now" in told and "\nnow\n" in told


async def test_stopped_it_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    command = "(trap '' TERM; exec sleep 300) & echo $!; wait"
    running = asyncio.create_task(own_command.run(command, tmp_path, begun.set_result))
    async with asyncio.timeout(PATIENCE):
        left = Path("/proc") / (await begun).strip()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        while left.exists() and " Z " not in (left / "stat").read_text():
            await asyncio.sleep(0.01)


async def test_where_nothing_can_be_run_one_sentence_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no command"):
        await Composing(tmp_path, InMemoryHistory()).shell("  ", print)
    with pytest.raises(InvalidRequest, match="another one"):
        await Composing(None, InMemoryHistory()).shell("ls", print)
    with pytest.raises(InvalidRequest, match="cannot be run"):
        await Composing(tmp_path / "gone", InMemoryHistory()).shell("ls", print)


# The editor


def test_the_editor_is_the_one_that_the_person_has_named() -> None:
    assert editor_of({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_of({"VISUAL": " ", "EDITOR": "vi"}) == ["vi"]
    with pytest.raises(NoEditor, match="VISUAL is no command"):
        editor_of({"VISUAL": "vi '"})
    with pytest.raises(NoEditor, match="no editor"):
        editor_of({"PATH": "/nowhere"})
