"""Two agents edit one file: it ends as if their edits had been made one after another."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.tools import call
from turnstone.core.edit import Edit, change
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import Prepared, ReadMarks, ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile

START = "".join(f"{letter}\n" for letter in "abcdabef")
LETTERS = st.sampled_from("abcdef")
Step: TypeAlias = tuple[Literal["read", "prepare", "run", "write"], int, str, str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "prepare", "prepare", "run", "run", "write"]),
        st.integers(0, 1),
        LETTERS,
        st.text(alphabet="abcdef\n", max_size=3),
    ),
    max_size=24,
)


async def interleaved(folder: Path, steps: list[Step]) -> list[Prepared]:
    """The calls that were said to have succeeded, in their order."""
    done: list[Prepared] = []
    agents = [ToolContext(f"w{n}", folder, 10.0, 10_000, reads=ReadMarks()) for n in (0, 1)]
    waiting: list[list[Prepared]] = [[], []]
    for agent in agents:
        await call(ReadFile(), agent, path="file")
    for what, number, old, new in steps:
        agent, ready = agents[number], waiting[number]
        if what == "read":
            await call(ReadFile(), agent, path="file")
        elif what == "run" and ready:
            prepared = ready.pop(0)
            tool = EditFile() if prepared.tool == "edit_file" else WriteFile()
            if (await tool.run(prepared, agent, lambda _: None)).status == "ok":
                done.append(prepared)
        elif what == "write":
            arguments = {"path": "file", "content": START + new}
            ready.append(await WriteFile().prepare(arguments, agent))
        elif what == "prepare":
            arguments = {"path": "file", "old_string": f"{old}\n", "new_string": f"{new}\n"}
            try:
                ready.append(await EditFile().prepare(arguments, agent))
            except ToolRefused:
                continue
    return done


def one_after_another(done: list[Prepared]) -> bytes:
    data = START.encode()
    for prepared in done:
        wanted = prepared.arguments
        if prepared.tool == "write_file":
            data = wanted["content"].encode()
            continue
        edit = change(data, wanted["old_string"], wanted["new_string"])
        assert isinstance(edit, Edit), "an edit was made where it had no place"
        data = edit.data
    return data


@given(STEPS)
@settings(deadline=None, max_examples=150)
def test_any_interleaving_ends_as_the_edits_one_after_another(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "file").write_text(START)

        done = asyncio.run(interleaved(folder, steps))

        assert (folder / "file").read_bytes() == one_after_another(done)


async def persistent(context: ToolContext, words: list[str]) -> None:
    """Make all these edits, reading again whenever somebody else was faster."""
    for word in words:
        while True:
            await call(ReadFile(), context, path="file")
            arguments = {"old_string": f"{word}\n", "new_string": f"{word} done\n"}
            try:
                result = await call(EditFile(), context, path="file", **arguments)
            except ToolRefused:
                continue
            if result.status == "ok":
                break


async def test_edits_at_once_in_one_process_are_all_made(context: ToolContext) -> None:
    words = [f"{who}{n}" for n in range(20) for who in "ab"]
    file = context.workspace / "file"
    file.write_text("".join(f"{word}\n" for word in words))
    agents = [replace(context, ws_id=ws, reads=ReadMarks()) for ws in ("w1", "w2")]

    await asyncio.gather(*(persistent(agent, words[n::2]) for n, agent in enumerate(agents)))

    assert file.read_text() == "".join(f"{word} done\n" for word in words)


#: A process that adds its own numbers to a file, through the tools' way of replacing files or
#: in the plain way, in which edits are lost.
ADDS = """
import sys
from pathlib import Path
from turnstone.tools.files import Changed, content, digest_of, replace
root, way, who, count = Path(sys.argv[1]), *sys.argv[2:]
path, n = root / "file", 0
while n < int(count):
    data, _ = content(root, path, 10**6)
    new = data + f"{who}{n}\\n".encode()
    try:
        if way == "safe":
            replace(root, path, new, expects=digest_of(data))
        else:
            path.write_bytes(new)
    except Changed:
        continue
    n += 1
"""


def added(folder: Path, way: str, count: int) -> list[str]:
    (folder / "file").write_text("")
    processes = [
        subprocess.Popen([sys.executable, "-c", ADDS, str(folder), way, who, str(count)])
        for who in "ab"
    ]
    assert [process.wait(50) for process in processes] == [0, 0]
    return (folder / "file").read_text().split()


@pytest.mark.parametrize("_", range(2))
def test_two_processes_lose_no_edit_of_each_other(_: int, context: ToolContext) -> None:
    found = added(context.workspace, "safe", 100)

    assert sorted(found) == sorted(f"{who}{n}" for who in "ab" for n in range(100))
    for who in "ab":
        assert [word for word in found if word[0] == who] == [f"{who}{n}" for n in range(100)]


def test_the_plain_way_loses_edits(context: ToolContext) -> None:
    """Or the test above would say nothing."""
    for _ in range(10):
        if len(added(context.workspace, "plain", 300)) < 600:
            return
    raise AssertionError("nothing was lost")
