"""Attacks on paths: what gets out is asked about, what is no file is refused, nothing hangs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.policy import Grants, decide
from turnstone.core.sandbox import Level
from turnstone.core.sensitive import HOME_SECRETS, HOME_STARTER_FILES, HOME_STARTER_FOLDERS
from turnstone.core.tool import ToolContext
from turnstone.tools.files import Changed, digest, reading, replace
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile


@dataclass
class Ground:
    workspace: Path
    outside: Path


@pytest.fixture
def ground(context: ToolContext) -> Ground:
    workspace = context.workspace
    outside = workspace.parent / "outside"
    outside.mkdir()
    evil = workspace.with_name("ws-evil")
    evil.mkdir()
    for folder in (outside, evil, workspace):
        (folder / "file").write_text("text\n")
    (workspace / "deep").mkdir()
    (workspace / "to_file").symlink_to(outside / "file")
    (workspace / "to_folder").symlink_to(outside)
    (workspace / "twice").symlink_to("to_folder")
    (workspace / "up").symlink_to("..")
    (workspace / "magic").symlink_to("/proc/self/root")
    (workspace / "inner").symlink_to("file")
    return Ground(workspace, outside)


#: A path, and whether it leads to a place inside the workspace.
PLACES = [
    ("file", True),
    ("./file", True),
    ("deep/../file", True),
    (".//deep//..//file", True),
    ("inner", True),
    ("deep/new/file", True),
    ("WORKSPACE/file", True),
    ("~", False),
    ("~/file", False),
    ("~root/file", True),
    ("$HOME/file", True),
    ("../outside/file", False),
    ("deep/../../outside/file", False),
    ("../ws-evil/file", False),
    ("WORKSPACE-evil/file", False),
    ("WORKSPACE/../ws-evil/file", False),
    ("/etc/passwd", False),
    ("to_file", False),
    ("to_folder/file", False),
    ("to_folder/new", False),
    ("twice/file", False),
    ("up/outside/file", False),
    ("up/ws/file", True),
    ("magic/etc/passwd", False),
    ("/proc/self/cwd/file", False),
    ("/proc/self/root/etc/passwd", False),
    ("..", False),
    ("../WS/file", False),
    ("\u202efile", True),
]


@pytest.mark.parametrize(("path", "inside"), PLACES)
async def test_a_path_is_judged_by_where_it_leads(
    path: str, inside: bool, ground: Ground, context: ToolContext
) -> None:
    path = path.replace("WORKSPACE", str(ground.workspace))

    use = (await prepare(ReadFile(), context, path=path)).paths[0]

    assert use.inside is inside
    assert use.path == Path(os.path.realpath(use.path))
    assert use.path.is_relative_to(ground.workspace) is inside


SENSITIVE = {
    "read": [".env", ".env.local", "deep/.ENV", "key.pem", "id_rsa", ".ssh/config", ".netrc",
             ".aws/credentials", ".npmrc", "sub/.git/config", ".config/turnstone/config.toml"],
    "write": [".bashrc", ".zshrc", ".git/hooks/pre-commit", ".github/workflows/ci.yml",
              ".gitlab-ci.yml", ".vscode/tasks.json", ".mcp.json", ".gitattributes"],
}  # fmt: skip


@pytest.mark.parametrize("path", SENSITIVE["read"])
async def test_credentials_inside_the_workspace_count_as_outside(
    path: str, context: ToolContext
) -> None:
    assert not (await prepare(ReadFile(), context, path=path)).paths[0].inside
    assert not (await prepare(WriteFile(), context, path=path, content="")).paths[0].inside


@pytest.mark.parametrize("place", HOME_SECRETS)
async def test_what_is_hidden_from_commands_in_a_home_is_asked_about(
    place: str, context: ToolContext
) -> None:
    for path in (place, f"{place}/file", f"backup/{place.upper()}"):
        assert not (await prepare(ReadFile(), context, path=path)).paths[0].inside


@pytest.mark.parametrize("place", [*HOME_STARTER_FILES, *HOME_STARTER_FOLDERS, ".git/commondir"])
async def test_what_commands_may_not_make_in_a_home_is_asked_about_before_it_is_written(
    place: str, context: ToolContext
) -> None:
    assert not (await prepare(WriteFile(), context, path=place, content="")).paths[0].inside


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".vscode/tasks.json", "is started or obeyed by other programs later"),
        (".env", "may hold secrets"),
        ("~/.ssh/config", "may hold secrets"),
        ("../file", "is outside the workspace"),
    ],
)
async def test_the_question_about_a_path_names_the_reason_for_it(
    path: str, why: str, context: ToolContext
) -> None:
    tool = WriteFile()
    call = await prepare(tool, context, path=path, content="")

    ruling = decide(call, tool.spec, Grants(auto_approve=True), Level.L3)

    assert ruling.rule.startswith(f"{call.paths[0].path} {why}")


@pytest.mark.parametrize("path", SENSITIVE["write"])
async def test_what_starts_by_itself_counts_as_outside_for_writing_only(
    path: str, context: ToolContext
) -> None:
    assert (await prepare(ReadFile(), context, path=path)).paths[0].inside
    assert not (await prepare(WriteFile(), context, path=path, content="")).paths[0].inside


async def test_a_link_to_credentials_counts_as_what_it_leads_to(context: ToolContext) -> None:
    (context.workspace / ".env").write_text("KEY=1")
    (context.workspace / "harmless.txt").symlink_to(".env")

    assert not (await prepare(ReadFile(), context, path="harmless.txt")).paths[0].inside


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a\0b", "NUL"),
        ("x" * 300, "too long"),
        ("x/" * 5000, "too long"),
        ("a\ud800", "half of a character"),
    ],
)
async def test_what_can_be_no_path_is_refused(
    path: str, sentence: str, context: ToolContext
) -> None:
    for tool, more in ((ReadFile(), {}), (WriteFile(), {"content": ""})):
        with pytest.raises(ToolRefused, match=sentence):
            await prepare(tool, context, path=path, **more)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES: list[tuple[Callable[[Path], None], str]] = [
    (make_fifo, "is a FIFO"),
    (make_socket, "is a socket"),
    (Path.mkdir, "is a directory"),
    (make_loop, "is a link that leads nowhere"),
]


@pytest.mark.parametrize(("make", "sentence"), NO_FILES)
async def test_what_is_no_file_is_neither_read_nor_written(
    make: Callable[[Path], None], sentence: str, context: ToolContext
) -> None:
    make(context.workspace / "thing")

    result = await call(ReadFile(), context, path="thing")

    assert result.status == "error"
    assert result.output.startswith(f"thing {sentence}")
    with pytest.raises(ToolRefused, match=f"thing {sentence}"):
        await prepare(WriteFile(), context, path="thing", content="x")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
async def test_a_device_is_no_file(device: str, context: ToolContext) -> None:
    result = await call(ReadFile(), context, path=device)

    assert result.output == f"{device} is a device."


@pytest.mark.parametrize("path", [".", "..", "/"])
async def test_a_folder_is_no_file(path: str, context: ToolContext) -> None:
    assert "a directory" in (await call(ReadFile(), context, path=path)).output
    with pytest.raises(ToolRefused):
        await prepare(WriteFile(), context, path=path, content="x")


async def test_a_file_is_no_folder(context: ToolContext) -> None:
    (context.workspace / "file").write_text("x")

    assert "no directory" in (await call(ReadFile(), context, path="file/x")).output
    with pytest.raises(ToolRefused, match="no directory"):
        await prepare(WriteFile(), context, path="file/x", content="x")


@pytest.mark.parametrize("name", ["file", "deep/file"])
async def test_a_link_put_in_place_after_the_decision_is_not_followed(
    name: str, ground: Ground, context: ToolContext
) -> None:
    (ground.workspace / "deep" / "file").write_text("text\n")
    path = ground.workspace / name
    reader, writer = ReadFile(), WriteFile()
    to_read = await prepare(reader, context, path=name)
    to_write = await prepare(writer, context, path=name, content="evil")

    swapped = path if name == "file" else path.parent
    swapped.rename(ground.workspace / "away")
    swapped.symlink_to(ground.outside / "file" if name == "file" else ground.outside)

    read = await reader.run(to_read, context, lambda _: None)
    wrote = await writer.run(to_write, context, lambda _: None)
    assert (read.status, wrote.status) == ("error", "error")
    assert (ground.outside / "file").read_text() == "text\n"


async def test_a_hard_link_to_something_outside_is_not_written_through(
    ground: Ground, context: ToolContext
) -> None:
    os.link(ground.outside / "file", ground.workspace / "linked")

    result = await call(WriteFile(), context, path="linked", content="new")

    assert result.status == "ok"
    assert (ground.workspace / "linked").read_text() == "new"
    assert (ground.outside / "file").read_text() == "text\n"


#: Seconds that the race lasts at least, and within which the naive way must have lost it.
RACE, LOST = 0.6, 20.0

#: Swaps a folder for a link to another place and back, for ever. What a write has made anew
#: in between is removed.
SWAP = """
import contextlib, os, shutil, sys
deep, away, outside = sys.argv[1:]
steps = [(os.rename, deep, away), (os.symlink, outside, deep), (os.unlink, deep), (os.rename, away, deep)]
while True:
    for step, *paths in steps:
        with contextlib.suppress(OSError):
            step(*paths)
    if os.path.lexists(away):
        shutil.rmtree(away, ignore_errors=True)
"""


@pytest.fixture
def racing(ground: Ground) -> Iterator[Path]:
    """A file whose folder is being swapped."""
    deep, away = ground.workspace / "deep", ground.workspace / "away"
    (deep / "file").write_text("inner")
    (ground.outside / "file").write_text("outer")
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAP, str(deep), str(away), str(ground.outside)]
    )
    yield deep / "file"
    swapper.kill()
    swapper.wait()


def read_safely(workspace: Path, path: Path) -> bytes:
    with reading(workspace, path) as descriptor:
        return os.read(descriptor, 10)


def read_after_a_check(workspace: Path, path: Path) -> bytes:
    return path.read_bytes() if os.path.realpath(path).startswith(f"{workspace}/") else b""


def gets_out(read: Callable[[Path, Path], bytes], workspace: Path, path: Path) -> bool:
    try:
        return read(workspace, path) == b"outer"
    except OSError:
        return False


def test_no_swap_of_a_folder_for_a_link_leads_a_read_out(racing: Path, ground: Ground) -> None:
    """A check followed by an ordinary open loses the same race."""
    escapes, lost = 0, False
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < RACE or not lost:
        escapes += gets_out(read_safely, ground.workspace, racing)
        lost = lost or gets_out(read_after_a_check, ground.workspace, racing)
        assert passed < LOST, "the race was none"
    assert escapes == 0


def test_no_swap_of_a_folder_for_a_link_leads_a_write_out(racing: Path, ground: Ground) -> None:
    writes = 0
    begun = time.monotonic()
    while time.monotonic() - begun < RACE or not writes:
        assert time.monotonic() - begun < LOST, "nothing could be written at all"
        try:
            expects = digest(ground.workspace, racing)
            replace(ground.workspace, racing, b"new", expects=expects)
            writes += 1
        except (OSError, Changed):
            continue
    assert (ground.outside / "file").read_text() == "outer"
    assert os.listdir(ground.outside) == ["file"]
