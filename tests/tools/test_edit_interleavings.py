"""Two agents edit one file: it ends as if their edits had been made one after another, each
where its preview showed it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.tools import call
from turnstone.core.edit import Edit, change
from turnstone.core.errors import ToolRefused
from turnstone.core.read_marks import ReadMarks
from turnstone.core.tool import Prepared, ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile

START = "".join(f"{letter}\n" for letter in "abbaabab")
LETTERS = st.sampled_from("ab")
Step: TypeAlias = tuple[Literal["read", "prepare", "run", "write"], int, str, str, int | None]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["prepare", "prepare", "prepare", "run", "run", "run", "read", "write"]),
        st.sampled_from([0, 0, 0, 0, 1]),
        LETTERS,
        st.text(alphabet="ab\n", max_size=3),
        st.sampled_from([None, *range(1, 10)]),
    ),
    min_size=4,
    max_size=24,
)


class Shown(NamedTuple):
    some: list[tuple[int, str]]
    at: int
    text: str  # of the whole file


class Characters:
    """The file with each character a thing of its own: where one has gone is known."""

    def __init__(self) -> None:
        self._new = count()
        self.all = self._made(START)

    def _made(self, text: str) -> list[tuple[int, str]]:
        return [(next(self._new), char) for char in text]

    def shown(self, old: str, new: str, near_line: int | None) -> Shown:
        """What an edit of what is there now would replace."""
        edit = change(self.text().encode(), old, new, near_line)
        assert isinstance(edit, Edit)
        some = self.all[edit.start : edit.start + len(edit.removed)]
        return Shown(some, edit.start, self.text())

    def replace(self, shown: Shown, new: str) -> None:
        some, at = shown.some, shown.at
        # A file that is by now, to the byte, what it was then again, is the one that was shown.
        if self.text() != shown.text:
            at = self.all.index(some[0])
            assert self.all[at : at + len(some)] == some, "what was shown was not there any more"
        self.all[at : at + len(some)] = self._made(new)

    def write(self, text: str) -> None:
        if text != self.text():  # the same bytes again change nothing
            self.all = self._made(text)

    def text(self) -> str:
        return "".join(char for _, char in self.all)


async def interleaved(folder: Path, steps: list[Step]) -> str:
    """What the file must be, by what was shown and then said to have succeeded."""
    file = Characters()
    agents = [ToolContext(f"w{n}", folder, 10.0, 10_000, reads=ReadMarks()) for n in (0, 1)]
    waiting: list[list[tuple[Prepared, Shown | None]]] = [[], []]
    for agent in agents:
        await call(ReadFile(), agent, path="file")
    for what, number, old, new, near in steps:
        agent, ready = agents[number], waiting[number]
        if what == "read":
            await call(ReadFile(), agent, path="file")
        elif what == "run" and ready:
            prepared, some = ready.pop(0)
            tool = EditFile() if some else WriteFile()
            if (await tool.run(prepared, agent, lambda _: None)).status != "ok":
                continue
            if some:
                file.replace(some, prepared.arguments["new_string"])
            else:
                file.write(prepared.arguments["content"])
        elif what == "write":
            arguments = {"path": "file", "content": START + new}
            ready.append((await WriteFile().prepare(arguments, agent), None))
        elif what == "prepare":
            wanted = {"old_string": f"{old}\n", "new_string": f"{new}\n", "near_line": near}
            try:
                prepared = await EditFile().prepare({"path": "file", **wanted}, agent)
            except ToolRefused:
                continue
            ready.append((prepared, file.shown(f"{old}\n", f"{new}\n", near)))
    return file.text()


@given(STEPS)
@settings(deadline=None, max_examples=300)
def test_any_interleaving_ends_as_the_edits_one_after_another_where_they_were_shown(
    steps: list[Step],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "file").write_text(START)

        expected = asyncio.run(interleaved(folder, steps))

        assert (folder / "file").read_text() == expected


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
