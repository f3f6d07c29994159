"""The program itself on a real terminal, with keys struck one after another."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import last_user_text, shell, tool_results
from support.processes import run
from support.tmux import Terminal, terminal


@asynccontextmanager
async def turnstone(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Terminal]:
    """`turnstone` in a terminal, with its home and workspace in `folder`."""
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    program = str(Path(sys.executable).with_name("turnstone"))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
        **variables,
    }
    async with terminal([program, *arguments], workspace, environment) as window:
        yield window


async def test_a_task_from_the_first_screen_to_the_last_key(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url) as window:
            await window.shows("Ctrl-D leaves.")
            await window.types("run: echo one > a.txt; cat a.txt")
            question = await window.shows("allow?")
            assert "◆ bash: echo one > a.txt; cat a.txt" in question
            assert "asked because" in question
            await window.types("y")
            await window.shows("✓ done")
            assert (tmp_path / "workspace" / "a.txt").read_text() == "one\n"

            await window.types("run: sleep 60")
            await window.shows("allow?", times=2)
            await window.types("y")
            await window.shows("▸ bash: sleep 60")
            await window.strikes("C-c")
            await window.shows("The turn was stopped.")

            await window.types("still there?")
            await window.shows("still there?", times=2)
            await window.strikes("C-c")
            await window.shows("Press Ctrl-C once more to leave")
            await window.strikes("C-c")
            await window.shows("exit code 0")


async def test_what_a_command_prints_cannot_touch_the_screen(tmp_path: Path) -> None:
    hostile = r"run: printf '\033[2J\033[H\033]0;owned\007\033[?1049h\rover\x08\x9b2J'"
    with ModelServer(shell) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url) as window:
            await window.shows("Ctrl-D leaves.")
            await window.types(hostile)
            await window.shows("allow?")
            await window.types("y")
            screen = await window.shows("␛[2J␛[H␛]0;owned␇␛[?1049h␍over␈", times=2)
            assert screen.startswith("turnstone "), "the first line is where it was"
            title = await window.tmux("display-message", "-p", "#{pane_title}")
            assert "owned" not in title


async def test_one_message_on_a_terminal_asks_there(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        arguments = ("--base-url", model.base_url, "-p", "run: echo one > a.txt")
        async with turnstone(tmp_path, *arguments) as window:
            await window.shows("allow?")
            await window.types("y")
            await window.shows("exit code 0")
    assert (tmp_path / "workspace" / "a.txt").read_text() == "one\n"


async def test_a_newcomer_without_a_model_is_shown_how_things_work(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "hello.txt").write_text("hi\n")
    async with turnstone(tmp_path, "--model", "practice") as window:
        first = await window.shows("but the practice model")
        # Words that a line has no room for go to the next one whole.
        assert "a few plain requests, to show how things work." in " ".join(first.split())
        await window.types("list the files here then read hello.txt")
        await window.shows("[practice model] I will list the files with `ls -la`.")
        await window.shows("allow?")
        await window.types("y")
        await window.shows("I asked read_file to read hello.txt. It returned")
        await window.shows("›", times=2)
        await window.strikes("C-d")
        await window.shows("exit code 0")


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
async def test_colours_are_used_on_a_terminal_unless_they_are_not_wanted(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("Found.")
        return calls(call("search", query=last_user_text(body)))

    with ModelServer(plan) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url, **variables) as window:
            await window.shows("Ctrl-D leaves.")
            await window.types("nothing")
            await window.shows("Found.")
            coloured = await window.tmux("capture-pane", "-p", "-e", "-S", "-")
            assert ("\x1b[36m" in coloured or "\x1b[1m\x1b[36m" in coloured) is not bool(variables)


async def test_in_a_pipe_there_are_no_colours_and_no_control_codes(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        arguments = ("--base-url", model.base_url, "-p", "run: true")
        code, out, err = await run(tmp_path, "turnstone", *arguments)
    assert code == 3
    assert "Not run" in out and "Nobody could be asked" in err
    assert not any(ord(char) < 32 and char != "\n" for char in out + err)
