"""`turnstone -p` as a script calls it: what is sent, what comes out, and where it goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import echo, last_user_text, shell, tool_results
from turnstone.cli.script_message import LARGEST, fenced, joined, message_of
from turnstone.core.errors import InvalidRequest
from turnstone.main import turnstone


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer(echo) as server:
        yield server


class Script:
    """`turnstone` with a store of its own, beside this model, in a workspace."""

    def __init__(self, folder: Path, model: ModelServer) -> None:
        self.workspace = folder / "work"
        self.workspace.mkdir()
        self._model = model
        self._store = folder / "state" / "t.db"

    def run(self, *words: str, piped: str | bytes = "", workspace: Path | None = None) -> Result:
        place = ["--base-url", self._model.base_url, "--store", str(self._store)]
        place += ["--workspace", str(workspace or self.workspace)]
        done = CliRunner().invoke(turnstone, [*place, *words], input=piped)
        assert "Traceback" not in done.output and "broke where" not in done.output
        return done

    def asked(self) -> str:
        return last_user_text(self._model.requests[-1])


@pytest.fixture
def script(tmp_path: Path, model: ModelServer) -> Script:
    return Script(tmp_path, model)


def test_what_is_piped_in_goes_along_with_the_message(script: Script) -> None:
    done = script.run("-p", "How many lines?", piped="one\ntwo\n")
    assert done.exit_code == 0
    assert script.asked() == "How many lines?\n\nStandard input:\n\n```\none\ntwo\n```"


def test_without_a_message_what_is_piped_in_is_the_message(script: Script) -> None:
    assert script.run(piped="from a pipe\n").stdout == "from a pipe\n"
    assert script.run("-p", "-", piped="from a pipe\n").stdout == "from a pipe\n"


def test_files_go_along_in_their_order(script: Script, tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.md"
    one.write_text("first")
    two.write_text("```\ncode\n```\n")

    script.run("-p", "Compare.", "-f", str(two), "-f", str(one))

    assert script.asked() == (
        f"Compare.\n\nFile {two}:\n\n````\n```\ncode\n```\n````\n\nFile {one}:\n\n```\nfirst\n```"
    )


def test_what_is_piped_in_can_be_given_a_place_among_the_files(script: Script) -> None:
    file = script.workspace / "a"
    file.write_text("x\n")
    script.run("-p", "Go.", "-f", str(file), "-f", "-", piped="y\n")
    assert script.asked().endswith("\n\nStandard input:\n\n```\ny\n```")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"\x00\x01", "is no text in UTF-8"),
        (b"caf\xe9", "is no text in UTF-8"),
        (b"x" * (LARGEST + 1), "has more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_sent_is_wrong_usage(
    script: Script, model: ModelServer, content: bytes | None, told: str
) -> None:
    file = script.workspace / "file"
    if content is not None:
        file.write_bytes(content)

    done = script.run("-p", "Read it.", "-f", str(file))

    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: The file {file} {told}" in done.stderr
    assert model.requests == []


def test_the_name_of_a_file_is_not_obeyed(script: Script) -> None:
    done = script.run("-p", "Read it.", "-f", "no\x1b[2Jsuch")
    assert done.exit_code == 2 and "no␛[2Jsuch" in done.stderr and "\x1b" not in done.output


def test_too_much_that_is_piped_in_is_refused(script: Script) -> None:
    done = script.run("-p", "Read it.", piped="x" * (LARGEST + 1))
    assert done.exit_code == 2 and "1,000,001 characters" in done.stderr


def test_bytes_that_are_no_text_are_replaced(script: Script) -> None:
    script.run("-p", "Read it.", piped=b"caf\xff\n")
    assert "caf\ufffd" in script.asked()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "There is no message"),
        (["-p", "  "], "There is no message"),
        (["-p", "x", "--json", "--output-format", "text"], "--json is stream-json"),
        (["-p", "x", "-c", "--resume", "y"], "give one of them"),
        (["-p", "x", "--budget", "days=3"], "'days=3' is no limit"),
        (["-p", "x", "--budget", ""], "no limit is named"),
        (["-p", "-", "-f", "-"], "Stdin is named twice"),
    ],
)
def test_a_mistake_is_a_sentence_and_2(script: Script, words: list[str], told: str) -> None:
    done = script.run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


@given(st.text(alphabet="`~ \n\tab", max_size=80))
def test_no_text_ends_its_own_fence(content: str) -> None:
    first, *inner, last = fenced(content).split("\n")
    assert first == last and set(first) == {"`"}
    assert not any(line.strip().startswith(first) for line in inner)
    assert "\n".join(inner).rstrip("\n") == content.rstrip("\n")


def test_a_name_of_a_file_cannot_begin_a_line(tmp_path: Path) -> None:
    assert joined("m", [("a\n\x1b[2Jb", "x")]).splitlines()[2] == "File a ␛[2Jb:"


def test_a_closed_stdin_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert message_of("hello", []) == "hello"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert message_of("hello", []) == "hello"
    with pytest.raises(InvalidRequest):
        message_of("hello", ["-", "-"])


def test_one_json_object_says_what_came_of_it(script: Script) -> None:
    done = script.run("-p", "say it", "--output-format", "json")

    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 0
    assert (told["type"], told["outcome"], told["text"]) == ("result", "done", "say it")
    assert told["steps"] == 1 and told["usage"]["total_tokens"] > 0
    assert told["error"] is None and told["refused"] == []
    again = script.run("-p", "more", "--output-format", "json", "--resume", told["session_id"])
    assert json.loads(again.stdout)["ws_id"] == told["ws_id"]


def test_the_json_object_says_what_was_refused(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        done = Script(tmp_path, model).run("-p", "run: ls", "--output-format", "json")
    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 3
    [refused] = told["refused"]
    assert refused["tool"] == "bash" and "ls" in refused["header"]


def test_an_error_is_a_json_object_too(script: Script) -> None:
    done = script.run("-p", "x", "--output-format", "json", "--resume", "no-such-one")
    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 1
    assert (told["outcome"], told["error"]["code"]) == ("failed", "unknown_session")
    assert "no-such-one" in done.stderr


def test_a_stream_of_json_ends_with_the_end_of_the_turn(script: Script) -> None:
    long = script.run("-p", "say it", "--output-format", "stream-json").stdout.splitlines()
    short = script.run("-p", "say it", "--json").stdout.splitlines()
    types = [json.loads(line)["type"] for line in long]
    assert (types[0], types[-1]) == ("connected", "turn_ended")
    assert [json.loads(line)["type"] for line in short] == types


def test_nothing_that_a_terminal_obeys_is_written_anywhere(script: Script) -> None:
    hostile = "a\x1b]0;title\x07\x9b2J\u202eb"
    for form in ("text", "json", "stream-json"):
        done = script.run("-p", hostile, "--output-format", form)
        assert done.exit_code == 0
        assert not set(done.output) & set("\x1b\x07\x9b\u202e")


def test_the_newest_session_of_this_folder_is_gone_on_with(script: Script, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    script.run("-p", "remember the number one")
    script.run("-p", "remember the number two")
    script.run("-p", "remember the number three", workspace=other)

    done = script.run("-p", "which?", "--continue")

    assert done.exit_code == 0
    said = json.dumps(script._model.requests[-1])
    assert "number two" in said and "number one" not in said and "number three" not in said


def test_where_there_is_no_session_to_go_on_with_that_is_told(script: Script) -> None:
    done = script.run("-p", "which?", "-c")
    assert done.exit_code == 1
    assert f"There is no session in {script.workspace}" in done.stderr


def looks_twice(body: dict[str, Any]) -> Reply:
    if len(tool_results(body)) == 2:
        return text("Looked twice.")
    return calls(call("search", query="x"))


def test_a_budget_ends_the_turn(tmp_path: Path) -> None:
    with ModelServer(looks_twice) as model:
        script = Script(tmp_path, model)
        whole = script.run("-p", "look")
        short = script.run("-p", "look", "--budget", "tokens=1 money=5")
        steps = script.run("-p", "look", "--max-steps", "1", "--output-format", "json")
    assert (whole.exit_code, whole.stdout) == (0, "Looked twice.\n")
    assert short.exit_code == 1 and "budget" in short.stderr
    assert json.loads(steps.stdout)["outcome"] == "max_steps"
    assert steps.exit_code == 1


def test_a_budget_holds_for_a_session_that_is_gone_on_with(tmp_path: Path) -> None:
    with ModelServer(looks_twice) as model:
        script = Script(tmp_path, model)
        script.run("-p", "look")
        before = len(model.requests)
        done = script.run("-p", "look", "-c", "--budget", "tokens=1")
    assert done.exit_code == 1 and "budget" in done.stderr
    assert len(model.requests) == before
