"""Every attack on a path, with every tool that takes one. Each is shown to work without a guard."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support import needs
from support.tools import call
from tools.path_attacks import ESCAPES, NO_PATHS, SECRET, SECRETS, THINGS, Attack
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import Prepared, Tool, ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.files import digest_of
from turnstone.tools.paths import shown
from turnstone.tools.read_file import ReadFile
from turnstone.tools.search import Search
from turnstone.tools.search_engines import Engine, Order, PythonEngine, Ripgrep
from turnstone.tools.write_file import WriteFile

TOOLS: list[tuple[Tool, dict[str, Any]]] = [
    (ReadFile(), {}),
    (Search(), {"query": "needle"}),
    (WriteFile(), {"content": "evil"}),
    (EditFile(), {"old_string": "needle", "new_string": "evil"}),
]


@pytest.fixture
def ground(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the words in capitals of an attack stand for."""
    ws = context.workspace
    out = ws.parent / "out"
    twins = ["ws-evil", "WS", "ws ", "ws.", "ws\u202e", "ws\u200b", "ws\u0301", "w\u0455"]
    for name in ("out", *twins, "ws\n", "ws\\"):
        (ws.parent / name).mkdir()
        (ws.parent / name / "secret").write_text(SECRET)
    (out / "back").symlink_to(ws)
    for name in ("deep/deeper", ".cache"):
        (ws / name).mkdir(parents=True)
    (ws / "file").write_text("text\n")
    descriptor = os.open(out / "secret", os.O_RDONLY)
    links: dict[str, str | Path] = {
        "to_file": out / "secret", "to_folder": out, "twice": "to_folder", "up": "..",
        "root": "/", "deep/middle": "../../out", ".cache/link": out, "a\nlink": out / "secret",
        "notes.txt": "../out/secret", "--link": out / "secret", "evil": f"{ws}-evil",
        "deep/deeper/up": "../../..", "magic": "/proc/self/root", "chain0": out,
        "magic_file": f"/proc/self/fd/{descriptor}",
        **{f"chain{n + 1}": f"chain{n}" for n in range(9)},
    }  # fmt: skip
    for name, target in links.items():
        (ws / name).symlink_to(target)
    monkeypatch.setenv("HOME", str(out))
    monkeypatch.chdir(out)
    yield {
        "WS": str(ws), "OUT": str(out), "PARENT": ws.parent.name,
        "PID": str(os.getpid()), "FD": str(descriptor),
    }  # fmt: skip
    os.close(descriptor)


def written_out(path: str, ground: dict[str, str]) -> str:
    if path == "../WS/secret":
        return path
    for word, meaning in ground.items():
        path = path.replace(word, meaning)
    return path


async def prepared(tool: Tool, context: ToolContext, **arguments: Any) -> Prepared | None:
    """None if it was refused."""
    try:
        return await tool.prepare(arguments, context)
    except ToolRefused:
        return None


@pytest.mark.parametrize("attack", ESCAPES, ids=[attack.name for attack in ESCAPES])
async def test_what_leads_out_is_asked_about_as_what_it_is(
    attack: Attack, ground: dict[str, str], context: ToolContext
) -> None:
    path = written_out(attack.path, ground)
    with open(context.workspace / os.path.expanduser(path)) as open_to_all:
        assert open_to_all.read() == SECRET, "the attack is none"
    secret = Path(os.path.realpath(context.workspace / os.path.expanduser(path)))
    context.reads.seen(secret, digest_of(SECRET.encode()))

    for tool, more in TOOLS:
        found = await prepared(tool, context, path=path, **more)

        assert found is not None
        [use] = found.paths
        assert (use.path, use.inside) == (secret, False)
        assert shown(secret, context) in found.header
    assert secret.read_text() == SECRET


@pytest.mark.parametrize(("name", "make"), THINGS, ids=[name for name, _ in THINGS])
async def test_what_is_no_file_is_neither_read_nor_changed_nor_waited_for(
    name: str, make: Any, ground: dict[str, str], context: ToolContext, monkeypatch
) -> None:
    monkeypatch.chdir(context.workspace)
    make(context.workspace / "thing")
    before = sorted(os.listdir(context.workspace))

    for tool, more in TOOLS:
        found = await prepared(tool, context, path="thing", **more)
        if found is not None and tool.spec.name != "search":
            result = await tool.run(found, context, lambda _: None)
            assert result.status == "error", tool.spec.name
    assert sorted(os.listdir(context.workspace)) == before


@pytest.mark.parametrize(("name", "path"), NO_PATHS, ids=[name for name, _ in NO_PATHS])
async def test_what_is_no_path_is_refused(name: str, path: str, context: ToolContext) -> None:
    for tool, more in TOOLS:
        if tool.spec.name == "search" and not path:
            continue  # without a path it searches the workspace
        assert await prepared(tool, context, path=path, **more) is None


@pytest.mark.parametrize("path", SECRETS)
async def test_a_file_of_secrets_is_asked_about_by_whatever_name(
    path: str, ground: dict[str, str], context: ToolContext
) -> None:
    (context.workspace / "env_link").symlink_to(".env")
    path = written_out(path, ground)
    place = context.workspace / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(SECRET)
    context.reads.seen(Path(os.path.realpath(place)), digest_of(SECRET.encode()))

    for tool, more in TOOLS:
        found = await prepared(tool, context, path=path, **more)
        assert found is not None
        assert not found.paths[0].inside
    unasked = await call(Search(), context, query="needle")
    assert "needle" not in unasked.output


async def test_own_files_are_refused_by_whatever_name(context: ToolContext, tmp_path: Path) -> None:
    own = tmp_path / "state"
    own.mkdir()
    (own / "token").write_text(SECRET)
    (context.workspace / "link").symlink_to(own)
    hidden = (own,)
    tools: list[Tool] = [
        ReadFile(hidden),
        Search(hidden=hidden),
        WriteFile(hidden),
        EditFile(hidden),
    ]

    for path in ("../state/token", "link/token", f"{own}/token", "../STATE/token", "link/new"):
        for tool, (_, more) in zip(tools, TOOLS, strict=True):
            assert await prepared(tool, context, path=path, **more) is None


async def test_a_link_to_nowhere_makes_no_file_outside_unasked(context: ToolContext) -> None:
    out = context.workspace.parent / "new"
    (context.workspace / "dangling").symlink_to(out)
    (context.workspace / "folder").symlink_to(out)

    for path in ("dangling", "folder/file"):
        found = await prepared(WriteFile(), context, path=path, content="evil")
        assert found is not None
        assert not found.paths[0].inside
        assert "/new" in found.header
    assert not out.exists()


async def test_another_name_of_a_file_outside_is_not_written_through(context: ToolContext) -> None:
    outside = context.workspace.parent / "outside"
    outside.write_text(SECRET)
    for name, tool in (("a", WriteFile()), ("b", EditFile())):
        os.link(outside, context.workspace / name)
        await call(ReadFile(), context, path=name)
        more = next(more for known, more in TOOLS if known.spec.name == tool.spec.name)
        assert (await call(tool, context, path=name, **more)).status == "ok"
        assert "evil" in (context.workspace / name).read_text()
    assert outside.read_text() == SECRET


async def test_a_file_with_holes_is_not_taken_into_memory(context: ToolContext) -> None:
    with open(context.workspace / "sparse", "wb") as file:
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    context.reads.seen(context.workspace / "sparse", "0" * 64)

    assert "binary" in (await call(ReadFile(), context, path="sparse")).output
    assert (
        await prepared(EditFile(), context, path="sparse", old_string="a", new_string="b") is None
    )
    written = await call(WriteFile(), context, path="sparse", content="small")

    assert written.status == "ok"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


#: Swaps a name for a link to another place and back, for ever.
SWAP = """
import contextlib, os, sys
name, away, target = sys.argv[1:]
steps = [(os.rename, name, away), (os.symlink, target, name), (os.unlink, name), (os.rename, away, name)]
while True:
    for step, *paths in steps:
        with contextlib.suppress(OSError):
            step(*paths)
"""

#: Seconds that a race lasts at least, and within which the plain way must have lost it.
RACE, LOST = 1.0, 25.0


@pytest.fixture(params=["deep", "deep/file"])
def racing(request: pytest.FixtureRequest, context: ToolContext) -> Iterator[Path]:
    """A file; it, or its folder, is being swapped for a link out."""
    ws = context.workspace
    outside = ws.parent / "outside"
    for folder, text in ((ws / "deep", "inner needle\n"), (outside, SECRET)):
        folder.mkdir()
        (folder / "file").write_text(text)
    target = outside if request.param == "deep" else outside / "file"
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAP, str(ws / request.param), str(ws / "away"), str(target)]
    )
    yield ws / "deep" / "file"
    swapper.kill()
    swapper.wait()


def plainly(context: ToolContext, path: Path) -> bool:
    """Whether a check followed by an ordinary read gets out."""
    with suppress(OSError):
        if os.path.realpath(path).startswith(f"{context.workspace}/"):
            return path.read_text() == SECRET
    return False


@pytest.mark.parametrize("tool", ["read_file", "edit_file", "ripgrep", "python"])
async def test_no_swap_leads_a_tool_out(tool: str, racing: Path, context: ToolContext) -> None:
    """What is judged to be inside never gives the secret, nor changes it."""
    engines: dict[str, Engine] = {"ripgrep": Ripgrep("rg"), "python": PythonEngine()}
    engine = engines.get(tool)
    lost, rounds, begun = False, 0, time.monotonic()
    while (passed := time.monotonic() - begun) < RACE or not lost or not rounds:
        assert passed < LOST, "the race was none"
        lost = lost or plainly(context, racing)
        with suppress(ToolRefused):
            if engine is not None:
                used: Tool = Search(engine)
                found = await used.prepare({"query": "needle", "path": "deep/file"}, context)
            else:
                used = ReadFile() if tool == "read_file" else EditFile()
                context.reads.seen(racing, digest_of(b"inner needle\n"))
                arguments = {"path": "deep/file", "old_string": "needle", "new_string": "needle "}
                found = await used.prepare(arguments, context)
            if not found.paths[0].inside:
                continue
            rounds += 1
            result = await used.run(found, context, lambda _: None)
            assert "SECRET" not in result.output
    assert (context.workspace.parent / "outside/file").read_text() == SECRET


@pytest.mark.parametrize("engine", [Ripgrep("rg"), PythonEngine()], ids=["ripgrep", "python"])
async def test_no_swap_leads_a_search_of_everything_out(
    engine: Engine, racing: Path, context: ToolContext
) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < RACE:
        result = await call(Search(engine), context, query="needle")
        assert "SECRET" not in result.output


class Led(Ripgrep):
    """A program that is led out by links, as any is whose folder is swapped at the right time."""

    def lines(self, order: Order) -> list[str]:
        program, *rest = super().lines(order)
        return [program, "--follow", *rest]

    def files(self, order: Order) -> list[str]:
        program, *rest = super().files(order)
        return [program, "--follow", *rest]


@pytest.mark.parametrize("count", [False, True])
async def test_a_search_program_that_was_led_out_is_not_believed(
    count: bool, ground: dict[str, str], context: ToolContext
) -> None:
    (context.workspace / "root").unlink()  # or it would look through the whole machine
    (context.workspace / "magic").unlink()
    (context.workspace / "up").unlink()
    (context.workspace / "deep/deeper/up").unlink()
    (context.workspace / "file").write_text("inner needle\nsecret\n")
    command = Led(needs.require("rg")).lines(Order("needle", "./"))
    told = subprocess.run(command, cwd=context.workspace, check=False, capture_output=True).stdout
    assert b"SECRET" in told, "the attack is none"

    search = Search(Led(needs.require("rg")))
    lines = (await call(search, context, query="needle", count=count)).output.splitlines()
    names = (await call(search, context, query="secret")).output

    assert [line for line in lines if line[0] != "["] == [
        "file:1" if count else "file:1:inner needle"
    ]
    assert "changed meanwhile" in lines[-1]
    assert names == "file:2:secret"


def test_there_are_as_many_as_is_promised() -> None:
    assert len(ESCAPES) + len(THINGS) + len(NO_PATHS) + len(SECRETS) >= 60
