"""The program itself on a real terminal, with keys struck one after another."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, hold, text
from modelserver.plans import last_user_text, shell, tool_results
from support.nodes import local_host
from support.processes import run
from support.servers import FULL, serving
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


def edits(body: dict[str, Any]) -> Reply:
    """`shell`, and for `edit` a change of `notes.txt`, which is read first."""
    done = len(tool_results(body))
    if last_user_text(body) == "edit" and done < 2:
        change = {"path": "notes.txt", "old_string": "two", "new_string": "zwei"}
        return calls(call("edit_file", **change) if done else call("read_file", path="notes.txt"))
    return shell(body)


async def test_a_task_from_the_first_screen_to_the_last_key(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    notes = tmp_path / "workspace" / "notes.txt"
    notes.write_text("one\ntwo\n")
    with ModelServer(edits) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url) as window:
            await window.shows("a message · /help")
            await window.types("edit")
            question = await window.shows("y once")
            assert "edit_file: notes.txt" in question and "+zwei" in question
            assert "asked because" in question
            await window.strikes("y")
            await window.shows("▸ edit_file: notes.txt  ✓ done")
            assert notes.read_text() == "one\nzwei\n"

            await window.types("run: sleep 60")
            await window.shows("│ sleep 60")
            await window.shows("y once")
            await window.strikes("y")
            await window.shows("▸ bash: sleep 60")
            await window.tmux("send-keys", "-l", "mind the gap")
            await window.strikes("M-Enter")
            await window.shows("↳ steers: mind the gap")
            await window.strikes("C-c")
            await window.shows("The turn was stopped.")
            await window.shows("› mind the gap")  # and it is the next turn

            await window.shows("a message · /help")
            await window.strikes("C-c")
            await window.shows("Press Ctrl-C once more to leave")
            await window.strikes("C-c")
            last = await window.shows("exit code 0")
            assert "a message" not in last, "nothing that was alive is left"


async def test_a_program_that_was_suspended_goes_on_where_it_was(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        program = str(Path(sys.executable).with_name("turnstone"))
        (tmp_path / "workspace").mkdir()
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "tmux-256color"}
        variables |= {"LANG": "C.UTF-8", "PS1": "shell$ "}
        bash = ["bash", "--norc", "--noprofile", "-i"]
        async with terminal(bash, tmp_path / "workspace", variables) as window:
            await window.shows("shell$")
            await window.types(f"{program} --base-url {model.base_url}")
            await window.shows("a message · /help")
            await window.tmux("send-keys", "-l", "half a")
            await window.shows("› half a")
            await window.strikes("C-z")
            await window.shows("Stopped")
            assert "half a" not in await window.screen(), "the shell has the screen"
            await window.types("fg")
            await window.shows("› half a")
            await window.types(" message")
            await window.shows("half a message", times=2)


async def test_two_workstreams_and_another_terminal_that_watches(tmp_path: Path) -> None:
    async with local_host(tmp_path / "node", shell) as host, serving(host) as served:
        arguments = ("attach", served.url, "--auth-token", FULL)
        async with turnstone(tmp_path, *arguments) as one:
            await one.shows("a message · /help")
            await one.types("hello")
            await one.shows("hello", times=2)
            await one.shows("a message · /help")
            await one.types("/ws new second")
            await one.shows("── second (")
            first, second = await host.list()
            async with turnstone(tmp_path, *arguments, "--resume", first.id) as other:
                await other.shows("a message · /help")
                await other.types("run: echo from-the-first")
                await one.shows("asks: /ws 1 goes there.")
                await one.types("run: echo from-the-second")
                await one.shows("│ echo from-the-second")
                await one.shows("y once")
                await one.strikes("y")
                await one.shows("▸ bash: echo from-the-second  ✓ done")
                await one.types("/ws 1")
                await one.shows("│ echo from-the-first")
                await one.shows("y once")
                await one.strikes("y")
                await other.shows("▸ bash: echo from-the-first  ✓ done")
                await other.shows("allowed by")
                title = await one.tmux("display-message", "-p", "#{pane_title}")
                assert title.strip().endswith(f"{first.name} · turnstone")
            await one.strikes("C-d")
            await one.shows("exit code 0")
        assert [info.id for info in await host.list()][:2] == [first.id, second.id]


async def test_an_answer_that_streams_while_the_window_is_resized_is_whole(tmp_path: Path) -> None:
    gates = [threading.Event(), threading.Event()]
    parts = [
        f"Paragraph {n}, with some words so that it takes more than one row of a narrow one."
        for n in range(12)
    ]

    def plan(body: dict[str, Any]) -> Reply:
        if last_user_text(body) == "go on":
            return hold(text("\n\n".join(parts[6:])), gates[1], before=18)
        return hold(text("\n\n".join(parts[:6])), gates[0], before=18)

    with ModelServer(plan) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url) as window:
            await window.shows("a message · /help")
            await window.types("go")
            await window.shows("Paragraph 0")
            await window.tmux("resize-window", "-x", "50", "-y", "20")
            await window.shows("the model writes")
            gates[0].set()
            await window.shows("a message · /help")
            await window.types("go on")
            await window.shows("Paragraph 6")
            await window.tmux("resize-window", "-x", "120", "-y", "40")
            await window.shows("the model writes")
            gates[1].set()
            await window.shows("Paragraph 11, with some words")
            screen = await window.shows("a message · /help")
            told = " ".join(screen.split())
            for part in parts:
                assert told.count(part) == 1, part
            assert screen.count("scripted-model ·") <= 2, "one status bar, and the first screen"


async def test_on_a_terminal_that_cannot_move_its_cursor_it_is_plain_lines(tmp_path: Path) -> None:
    with ModelServer(shell) as model:
        async with turnstone(tmp_path, "--base-url", model.base_url, TERM="dumb") as window:
            await window.shows("Ctrl-D leaves.")
            await window.types("run: echo one")
            await window.shows("allow?")
            await window.types("y")
            await window.shows("✓ done")


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
        await window.shows("[practice model] I will list the files with ls -la.")
        await window.shows("y once")
        await window.strikes("y")
        await window.shows("I asked read_file to read hello.txt. It returned")
        await window.shows("a message · /help")
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
            await window.shows("a message · /help")
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
