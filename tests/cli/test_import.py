"""`turnstone import`, `turnstone export` and `turnstone --resume`, as a person calls them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from turnstone.main import turnstone


def run(*words: str) -> Result:
    """Raises what no person may see."""
    return CliRunner().invoke(turnstone, words, catch_exceptions=False)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "work" / ".turnstone.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            CREATE TABLE memories (key TEXT PRIMARY KEY, value TEXT, created TEXT, updated TEXT);
            CREATE TABLE conversations (id INTEGER PRIMARY KEY, session_id TEXT, timestamp TEXT,
                role TEXT, content TEXT, tool_name TEXT, tool_args TEXT, tool_call_id TEXT);
            CREATE TABLE sessions (session_id TEXT PRIMARY KEY, alias TEXT UNIQUE, title TEXT,
                created TEXT, updated TEXT);
            INSERT INTO memories VALUES ('a-key', 'a value', '', '');
            INSERT INTO conversations VALUES
                (1, '5e5500000000', '', 'user', 'hello', NULL, NULL, NULL),
                (2, '5e5500000000', '', 'assistant', 'hello too', NULL, NULL, NULL),
                (3, '5e5500000000', '', 'boss', 'what', NULL, NULL, NULL);
            INSERT INTO sessions VALUES ('5e5500000000', 'mine', NULL, '', '');
        """)
    return path


def test_what_02_kept_is_imported_exported_and_imported_elsewhere(
    old: Path, tmp_path: Path
) -> None:
    store, other = str(tmp_path / "one" / "t.db"), str(tmp_path / "two" / "t.db")

    done = run("import", "--store", store, str(old.parent))
    again = run("import", "--store", store, str(old))

    assert done.exit_code == again.exit_code == 0
    assert done.stdout.splitlines() == [
        f"1 session(s), 2 message(s), 1 memory(ies) of {old} are in the store now.",
        "left out: row 3 of conversations has the role 'boss'",
    ]
    assert "0 session(s), 0 message(s), 0 memory(ies)" in again.stdout
    assert "2 were there already." in again.stdout
    for form, name in (("json", "s.json"), ("markdown", "s.md")):
        file = tmp_path / name
        written = run("export", "--store", store, "mine", "--format", form, "-o", str(file))
        assert written.stdout == f"Session 5e5500000000 is in {file}.\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert run("export", "--store", store, "5e55", "--format", form).stdout.rstrip(
            "\n"
        ) == file.read_text().rstrip("\n")
        taken = run("import", "--store", other, str(file))
        assert taken.stdout.startswith("1 session(s), 2 message(s)" if form == "json" else "0 s")


def test_a_file_that_is_cut_off_is_refused_and_the_whole_one_is_taken_after_it(
    old: Path, tmp_path: Path
) -> None:
    store, other = str(tmp_path / "one" / "t.db"), str(tmp_path / "two" / "t.db")
    run("import", "--store", store, str(old))
    file, part = tmp_path / "s.md", tmp_path / "part.md"
    run("export", "--store", store, "mine", "--format", "markdown", "-o", str(file))
    text = file.read_text()
    part.write_text(
        text[: text.index("<!-- md_as_config:ctx:end -->", text.index("hello too")) + 30]
    )

    cut = run("import", "--store", other, str(part))
    whole = run("import", "--store", other, str(file))

    assert cut.exit_code == 1
    assert "is cut off behind 2 message(s): its end mark is missing." in cut.stderr
    assert whole.stdout.startswith("1 session(s), 2 message(s)")


def test_a_file_of_oturn_is_taken_and_told_to_have_no_end_mark(tmp_path: Path) -> None:
    from oturn.model import Message
    from oturn.session_records import write_item

    file = tmp_path / "o.md"
    file.write_text(write_item(Message(role="user", content="hello")))

    done = run("import", "--store", str(tmp_path / "t.db"), str(file))

    assert done.stdout.startswith("1 session(s), 1 message(s)")
    assert f"{file} is a file of oturn, which has no end mark" in done.stdout


def test_a_session_is_erased_by_alias_or_whole_id_and_not_by_the_beginning_of_one(
    old: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "one" / "t.db")
    for name in ("mine", "5e5500000000"):
        run("import", "--store", store, str(old))
        part = run("erase", "--store", store, "5e55")
        done = run("erase", "--store", store, name)

        assert part.exit_code == 1
        assert "'5e55' is only the beginning of an id (session 5e5500000000, " in part.stderr
        assert (done.exit_code, "is erased" in done.stdout) == (0, True)
        assert run("export", "--store", store, name).exit_code == 1


def test_a_file_that_is_there_is_not_replaced(old: Path, tmp_path: Path) -> None:
    store, file = str(tmp_path / "one" / "t.db"), tmp_path / "there"
    file.write_text("mine")
    run("import", "--store", store, str(old))

    refused = run("export", "--store", store, "mine", "-o", str(file))

    assert refused.exit_code == 1
    assert f"error: {file} cannot be written: File exists." in refused.stderr
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["import", "{}/nothing"], "nothing cannot be read: No such file or directory."),
        (["import", "{}"], "/.turnstone.db cannot be read: No such file or directory."),
        (["import", "{}/noise"], "noise is neither text nor a database of 0.2."),
        (["import", "{}/empty"], "empty holds no conversation."),
        (["import", "{}/other.db"], "other.db is a database, and none of turnstone 0.2."),
        (["export", "nobody"], "There is no session 'nobody' in this store."),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path: Path, words: list[str], told: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "noise").write_bytes(b"\xff\xfe\x00\x01")
    (files / "empty").write_text("")
    with closing(sqlite3.connect(files / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    command, *rest = [word.format(files) for word in words]

    result = run(command, "--store", str(tmp_path / "state" / "t.db"), *rest)

    assert result.exit_code == 1
    assert f"{told}\n" in result.stderr


@pytest.mark.parametrize("name", ["nobody", ""])
def test_a_session_that_is_not_there_is_not_resumed(tmp_path: Path, name: str) -> None:
    store = str(tmp_path / "state" / "t.db")
    work = tmp_path / "work"
    work.mkdir()

    result = run(
        *("--store", store, "--model", "practice", "--workspace", str(work)),
        *("-p", "hello", "--resume", name),
    )

    assert result.exit_code == 1
    assert f"There is no session {name!r} in this store." in result.stderr


def test_a_session_that_was_imported_goes_on(old: Path, tmp_path: Path) -> None:
    store, work = str(tmp_path / "state" / "t.db"), tmp_path / "elsewhere"
    work.mkdir()
    run("import", "--store", store, str(old))

    result = run(
        *("--store", store, "--model", "practice", "--workspace", str(work)),
        *("-p", "help", "--resume", "mine"),
    )

    assert result.exit_code == 0, result.stderr
    assert '"content": "hello too"' in run("export", "--store", store, "mine").stdout
    messages = run("export", "--store", store, "mine").stdout.count('"role": "user"')
    assert messages == 4  # of two messages, as the model is sent them and as readers are shown them
