"""One suite for both engines: ripgrep, and ours for machines without it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import needs
from support.commands import until_gone, until_there
from support.tools import call, prepare
from turnstone.core.sensitive import (
    HOME_SECRETS,
    SECRET_ANYWHERE,
    SECRET_PLACES,
    is_plain_name,
    is_secret,
)
from turnstone.core.tool import ToolContext
from turnstone.tools.search import Search
from turnstone.tools.search_engines import PER_FILE, PythonEngine, Ripgrep
from turnstone.tools.search_findings import MAX_MATCHES


@pytest.fixture(params=["ripgrep", "python"])
def search(request: pytest.FixtureRequest) -> Search:
    return Search(Ripgrep(needs.require("rg")) if request.param == "ripgrep" else PythonEngine())


def files(context: ToolContext, **contents: str | bytes) -> None:
    for name, content in contents.items():
        path = context.workspace / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


async def found(search: Search, context: ToolContext, query: str, path: str = "") -> list[str]:
    arguments = {"query": query, **({"path": path} if path else {})}
    result = await call(search, context, **arguments)
    assert result.status == "ok", result.output
    return result.output.splitlines()


async def test_lines_come_with_path_and_number_in_the_order_of_paths(
    search: Search, context: ToolContext
) -> None:
    files(context, b_txt="x\nerror: b\n", a__z_txt="error: z\n", a_txt="no\n", c_txt="error: c")

    assert await found(search, context, "err.r: ") == [
        "a/z.txt:1:error: z",
        "b.txt:2:error: b",
        "c.txt:1:error: c",
    ]


async def test_files_whose_name_matches_come_after_the_lines(
    search: Search, context: ToolContext
) -> None:
    files(context, notes_txt="see Parser.py\n", lib__Parser_py="x", old_parser_txt="y")

    assert await found(search, context, "Parser") == [
        "notes.txt:1:see Parser.py",
        "",
        "Files whose name contains 'Parser':",
        "lib/Parser.py",
        "old.parser.txt",
    ]


async def test_nothing_found_is_told(search: Search, context: ToolContext) -> None:
    files(context, a_txt="x\n")

    assert await found(search, context, "absent") == ["[no line matches]"]


async def test_text_that_is_no_expression_is_searched_for_as_it_stands(
    search: Search, context: ToolContext
) -> None:
    files(context, a_txt="call(x\ncall x\n")

    assert await found(search, context, "call(") == [
        "a.txt:1:call(x",
        "[the query is no regular expression; it was taken as text]",
    ]


async def test_case_matters(search: Search, context: ToolContext) -> None:
    files(context, a_txt="Error\nerror\n")

    assert await found(search, context, "error") == ["a.txt:2:error"]


@pytest.mark.parametrize("query", ["--files", "-e", "--pre=evil", "-"])
async def test_a_query_is_never_taken_as_an_option(
    query: str, search: Search, context: ToolContext
) -> None:
    files(context, a_txt=f"has {query} in it\n")

    assert (await found(search, context, query))[0] == f"a.txt:1:has {query} in it"


async def test_binary_files_git_packages_and_credentials_are_left_out(
    search: Search, context: ToolContext
) -> None:
    files(context, bin=b"needle\0", a_txt="needle\n", x__node_modules__p_js="needle\n")
    for path in (".git/config", ".env", ".ENV.local", "sub/key.pem", ".ssh/id_rsa"):
        (context.workspace / path).parent.mkdir(exist_ok=True)
        (context.workspace / path).write_text("needle\n")
    (context.workspace / "node_modules").mkdir()
    (context.workspace / "node_modules" / "x.js").write_text("needle\n")

    lines = await found(search, context, "needle")

    assert "a.txt:1:needle" in lines
    assert not [
        line for line in lines if any(s in line for s in ("git", "env", "ENV", "pem", "ssh"))
    ]
    assert not [line for line in lines if line.startswith(("node_modules", "bin"))]


@pytest.mark.parametrize("path", ["", ".config", ".local/share"])
async def test_the_secrets_of_a_home_are_left_out(
    path: str, search: Search, context: ToolContext
) -> None:
    for place in HOME_SECRETS:
        for name in (place, f"{place}/needle"):
            file = context.workspace / ("as_file" if name == place else "as_folder") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("needle\n")
    for kind in ("as_file", "as_folder"):
        within = f"{kind}/{path}" if path else kind
        (context.workspace / within / "plain").write_text("needle\n")

        assert await found(search, context, "needle", within) == [f"{within}/plain:1:needle"]


async def test_who_was_permitted_to_search_a_secret_folder_finds_what_is_in_it(
    search: Search, context: ToolContext, tmp_path: Path
) -> None:
    for folder in (context.workspace, tmp_path / "other"):
        (folder / ".aws").mkdir(parents=True)
        (folder / ".aws" / "config").write_text("needle\n")

    assert await found(search, context, "needle", ".aws") == [".aws/config:1:needle"]
    outside = f"{tmp_path}/other/.aws"
    assert await found(search, context, "needle", outside) == [f"{outside}/config:1:needle"]


async def test_a_name_with_unseen_characters_is_spelled_out_on_one_line(
    search: Search, context: ToolContext
) -> None:
    for name in ("a\nb\x1b[31m", "\u202egpj.c", "d\n./e:1:x", "t\tab", b"\xff"):
        path = os.path.join(os.fsencode(context.workspace), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("needle\n")

    lines = await found(search, context, "needle")

    assert set(lines) == {
        "\\udcff:1:needle",
        "\\u202egpj.c:1:needle",
        "a\\nb\\x1b[31m:1:needle",
        "d\\n./e:1:x:1:needle",
        "t\\tab:1:needle",
    }
    named = await found(search, context, "[31m")
    assert named[-2:] == [
        "a\\nb\\x1b[31m",
        "[the query is no regular expression; it was taken as text]",
    ]


async def test_hidden_and_ignored_files_are_searched(search: Search, context: ToolContext) -> None:
    (context.workspace / ".gitignore").write_text("*.log\n")
    (context.workspace / "app.log").write_text("needle\n")
    (context.workspace / ".github").mkdir()
    (context.workspace / ".github" / "ci.yml").write_text("needle\n")

    assert await found(search, context, "needle") == [".github/ci.yml:1:needle", "app.log:1:needle"]


async def test_one_folder_or_one_file_can_be_named(search: Search, context: ToolContext) -> None:
    files(context, a__b__x_txt="needle\n", a__y_txt="needle\n", z_txt="needle\n")

    assert await found(search, context, "needle", "a/b") == ["a/b/x.txt:1:needle"]
    assert await found(search, context, "needle", "a/y.txt") == ["a/y.txt:1:needle"]


async def test_outside_the_workspace_paths_are_shown_in_full(
    search: Search, context: ToolContext, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("needle\n")

    prepared = await prepare(search, context, query="needle", path="../other")

    assert not prepared.paths[0].inside
    assert await found(search, context, "needle", "../other") == [f"{tmp_path}/other/x:1:needle"]


async def test_links_are_not_followed(search: Search, context: ToolContext, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("needle\n")
    (context.workspace / "link").symlink_to(tmp_path / "secret")
    (context.workspace / "up").symlink_to("..")

    assert await found(search, context, "needle") == ["[no line matches]"]


async def test_a_fifo_does_not_hold_the_search_up(search: Search, context: ToolContext) -> None:
    os.mkfifo(context.workspace / "fifo")
    files(context, a_txt="needle\n")

    assert await found(search, context, "needle") == ["a.txt:1:needle"]


async def test_of_a_file_with_very_many_matches_the_first_are_told(
    search: Search, context: ToolContext
) -> None:
    files(context, a_txt="needle\n" * 500, b_txt="needle\n")
    lines = await found(search, context, "needle")

    assert lines[PER_FILE - 1 :] == [
        f"a.txt:{PER_FILE}:needle",
        "b.txt:1:needle",
        f"[a.txt: the first {PER_FILE} matches; there may be more]",
    ]


async def test_very_many_matches_end_with_a_note(search: Search, context: ToolContext) -> None:
    files(context, **{f"f{n:02}_txt": "x\n" * 100 for n in range(30)})
    roomy = ToolContext("w1", context.workspace, timeout=20, max_output=1_000_000)

    lines = await found(search, roomy, "x")
    short = "\n".join(await found(search, context, "x"))

    assert sum(line.endswith(":x") for line in lines) == MAX_MATCHES
    assert f"[stopped at {MAX_MATCHES:,} matches; narrow the query or the path]" in lines
    assert len(short) < context.max_output + 200
    assert "narrow the query" in short


async def test_a_long_line_is_cut(search: Search, context: ToolContext) -> None:
    files(context, a_txt="needle " + "ü" * 100_000 + "\n")

    (line,) = await found(search, context, "needle")

    assert line.endswith("ü [line cut]")
    assert len(line) < 500


async def test_a_search_without_end_is_stopped(context: ToolContext) -> None:
    """An expression for which our own engine would take longer than the world will last."""
    files(context, a_txt="a" * 60 + "!\n")
    hurried = ToolContext("w1", context.workspace, timeout=0.5, max_output=1000)

    result = await call(Search(PythonEngine()), hurried, query="(a+)+$")

    assert "[stopped after 0.5 s, the time limit]" in result.output


async def test_a_cancelled_search_is_gone_when_the_cancellation_passes(
    context: ToolContext,
) -> None:
    files(context, a_txt="a" * 60 + "!\n")
    query = f"(a+)+$|{context.workspace.parent.name}"
    running = asyncio.create_task(call(Search(PythonEngine()), context, query=query))
    assert await until_there(query)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert await until_gone(query) == []


@pytest.mark.parametrize("path", ["absent", "absent/deeper"])
async def test_a_missing_place_is_told(path: str, search: Search, context: ToolContext) -> None:
    result = await call(search, context, query="x", path=path)

    assert (result.status, result.output) == ("error", f"{path} does not exist.")


async def test_settings_of_a_persons_ripgrep_do_not_count(
    context: ToolContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rc").write_text("--pre=/bin/false\n--ignore-case\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "rc"))
    files(context, a_txt="Needle\nneedle\n")

    lines = await found(Search(Ripgrep(needs.require("rg"))), context, "needle")

    assert lines == ["a.txt:2:needle"]


_PLACES = st.sampled_from([place.split("/") for place in SECRET_PLACES])
_PARTS = st.sampled_from(
    [*SECRET_ANYWHERE, "src", "a.py", "ID_RSA", ".Env", ".aws", "config", "cafe\u0301", "notes"]
).map(lambda name: [name.replace("*", "x")])


@given(st.lists(st.one_of(_PARTS, _PLACES), min_size=1, max_size=3))
def test_a_plain_name_is_a_secret_only_in_a_folder_that_is_one(parts: list[list[str]]) -> None:
    *folder, name = (name for part in parts for name in part)
    if is_plain_name(name):
        assert is_secret([*folder, name]) == is_secret(folder)
