"""Both engines find the same, whatever is asked; and what is asked for holds."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import needs
from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext
from turnstone.tools.search import Search
from turnstone.tools.search_engines import PER_FILE, PythonEngine, Ripgrep
from turnstone.tools.search_findings import MAX_GATHERED

NAMES = ["a.py", "b.py", "b.PY", "c.txt", "d e.md", "[x].py", "log.log", ".hidden", "UTF16.txt"]
FOLDERS = ["", "src/", "src/deep/", "build/", "src/build/", ".github/"]
LINES = ["needle", "a needle b", "hay", "", "\tneedle\r", "ünder", "nee", "x" * 500 + "needle"]
IGNORES = [
    "*.log", "build/", "/build", "src/*.py", "!b.py", "# a.py", "**/deep", "src/**", "*.p[xy]",
    "deep/", "*", "!*.py", "!*/", "{a,b}.py", "  ", "c.txt  ", "/src/deep/*.txt", "\\[x\\].py",
]  # fmt: skip
GLOBS = [
    "*.py", "*.{py,md}", "src/*", "src/**", "**/deep/*", "!*.py", "!src/", "!build", "/a.py",
    "[ab].py", "[!a].py", "?.txt", "**/*.txt", "src/**/*.py", "\\[x\\].py", "*", "build", "d e.*",
]  # fmt: skip
TREES = st.dictionaries(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map("".join),
    st.lists(st.sampled_from(LINES), max_size=8),
    max_size=10,
)
IGNORED = st.dictionaries(
    st.sampled_from(FOLDERS[:4]), st.lists(st.sampled_from(IGNORES), max_size=4), max_size=2
)
ASKED = st.fixed_dictionaries(
    {"query": st.sampled_from(["needle", "^.?needle", "e+d", "^$", "needle(", "a", "py"])},
    optional={
        "glob": st.sampled_from(GLOBS),
        "context": st.integers(0, 3),
        "count": st.booleans(),
        "gitignore": st.booleans(),
    },
)


def fill(folder: Path, tree: dict[str, list[str]], ignored: dict[str, list[str]]) -> None:
    for name, lines in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines)
        path.write_bytes(text.encode("utf-16" if "UTF16" in name else "utf-8"))
    for name, lines in ignored.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / ".gitignore").write_text("\n".join(lines))


@given(TREES, IGNORED, ASKED)
@settings(deadline=None, max_examples=40)
def test_both_engines_tell_the_same(
    tree: dict[str, list[str]], ignored: dict[str, list[str]], asked: dict[str, object]
) -> None:
    import asyncio

    rg = needs.require("rg")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        fill(folder, tree, ignored)
        context = ToolContext("w1", folder, 20.0, 10_000)
        one, other = (
            asyncio.run(call(Search(engine), context, **asked))
            for engine in (Ripgrep(rg), PythonEngine())
        )
        assert one == other


@pytest.fixture(params=["ripgrep", "python"])
def search(request: pytest.FixtureRequest) -> Search:
    return Search(Ripgrep(needs.require("rg")) if request.param == "ripgrep" else PythonEngine())


async def found(search: Search, context: ToolContext, /, **asked: object) -> list[str]:
    result = await call(search, context, query="needle", **asked)
    assert result.status == "ok", result.output
    return result.output.splitlines()


@pytest.fixture
def tree(context: ToolContext) -> Path:
    fill(
        context.workspace,
        {
            "a.py": ["one", "needle", "three", "four", "five", "needle", "seven"],
            "src/b.py": ["needle"],
            "src/c.txt": ["needle", "needle"],
            "out/d.txt": ["needle"],
        },
        {"": ["out/"]},
    )
    return context.workspace


async def test_a_glob_says_which_files(search: Search, context: ToolContext, tree: Path) -> None:
    assert await found(search, context, glob="*.py") == [
        "a.py:2:needle", "a.py:6:needle", "src/b.py:1:needle",
    ]  # fmt: skip
    assert await found(search, context, glob="src/**") == [
        "src/b.py:1:needle", "src/c.txt:1:needle", "src/c.txt:2:needle",
    ]  # fmt: skip
    assert await found(search, context, glob="!src/") == [
        "a.py:2:needle", "a.py:6:needle", "out/d.txt:1:needle",
    ]  # fmt: skip
    assert await found(search, context, glob="src/") == ["[no line matches]"]
    assert await found(search, context, glob="!*.py", path="src") == [
        "src/c.txt:1:needle", "src/c.txt:2:needle",
    ]  # fmt: skip


async def test_a_glob_brings_back_no_secrets(
    search: Search, context: ToolContext, tree: Path
) -> None:
    (tree / ".env").write_text("needle\n")
    (tree / "node_modules").mkdir()
    (tree / "node_modules/x.js").write_text("needle\n")

    for glob in (".env", "*", "**/.env*", "node_modules/**", ".*"):
        lines = await found(search, context, glob=glob)
        assert not [line for line in lines if line.startswith((".env", "node_modules"))]


async def test_lines_around_a_match_are_marked(
    search: Search, context: ToolContext, tree: Path
) -> None:
    assert await found(search, context, context=1, glob="a.py") == [
        "a.py-1-one", "a.py:2:needle", "a.py-3-three", "--",
        "a.py-5-five", "a.py:6:needle", "a.py-7-seven",
    ]  # fmt: skip


async def test_matches_can_be_counted(search: Search, context: ToolContext, tree: Path) -> None:
    assert await found(search, context, count=True) == [
        "a.py:2", "out/d.txt:1", "src/b.py:1", "src/c.txt:2", "[6 lines match, in 4 files]",
    ]  # fmt: skip


async def test_ignored_files_are_left_out_where_that_is_wanted(
    search: Search, context: ToolContext, tree: Path
) -> None:
    lines = await found(search, context, gitignore=True, count=True)

    assert lines == ["a.py:2", "src/b.py:1", "src/c.txt:2", "[5 lines match, in 3 files]"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"glob": "[a"}, "a \\[ is not closed"),
        ({"glob": "{a,b"}, "a { is not closed"),
        ({"glob": "a\nb"}, "one line"),
        ({"context": 21}, "0 to 20"),
        ({"context": -1}, "0 to 20"),
        ({"count": "perhaps"}, "true or false"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    asked: dict[str, object], sentence: str, context: ToolContext
) -> None:
    with pytest.raises(ToolRefused, match=sentence):
        await prepare(Search(PythonEngine()), context, query="x", **asked)


async def test_many_matches_with_lines_around_them_are_cut_and_told(
    search: Search, context: ToolContext
) -> None:
    fill(context.workspace, {f"f{n}.txt": ["needle", "hay"] * 150 for n in range(9)}, {})
    roomy = replace(context, max_output=1_000_000)

    lines = await found(search, roomy, context=1)

    assert sum(":needle" in line for line in lines) == 1000
    assert "[stopped at 1,000 matches; narrow the query or the path]" in lines


async def test_more_than_can_be_put_in_order_is_told_from_the_first_path_on(
    context: ToolContext,
) -> None:
    lines = ("needle" + "x" * 3_000 + "\n") * PER_FILE
    for number in range(MAX_GATHERED // len(lines) + 2):
        (context.workspace / f"{number:03}.txt").write_text(lines)

    for engine in (Ripgrep(needs.require("rg")), PythonEngine()):
        told = (await call(Search(engine), context, query="needle")).output.splitlines()

        numbers = [line.partition(":needle")[0] for line in told if ":needle" in line]
        assert numbers
        assert numbers == [f"000.txt:{number}" for number in range(1, len(numbers) + 1)]
        assert any("narrow the query or the path" in line for line in told)
