"""All of `support.escapes` on a real screen, from a model, a tool, a name and an error: what that
screen is set to is as before, and they stand there as text."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import tool_results
from support.escapes import HOSTILE
from support.tmux import PATIENCE, terminal

ALL = "\n\n".join(f"{n}: {sequence} :{n}" for n, sequence in enumerate(HOSTILE.values()))

#: What a terminal may have been set to: its title, the cursor, modes, the clipboard.
STATE = "#{alternate_on} #{mouse_any_flag} #{keypad_flag} #{origin_flag}"
STATE += " #{scroll_region_upper} #{cursor_flag} #{insert_flag} #{wrap_flag}"


def plan(body: dict[str, Any]) -> Reply:
    if tool_results(body):
        return text(f"{ALL.encode(errors='replace').decode()}\n\nThat was all.")
    return calls(call("bash", command="cat hostile; echo \x1b]0;owned\x07 >/dev/null"))


async def test_a_real_terminal_obeys_none_of_them(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "hostile").write_bytes(ALL.encode(errors="surrogatepass"))
    program = str(Path(sys.executable).with_name("turnstone"))
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
    }
    with ModelServer(plan) as model:
        command = [program, "--base-url", model.base_url]
        async with terminal(command, workspace, variables, size=(120, 40)) as window:
            await window.tmux("set-option", "-g", "set-clipboard", "on")
            await window.tmux("set-option", "-g", "history-limit", "50000")
            await window.shows("Ctrl-D leaves.")
            before = await window.tmux("display-message", "-p", STATE)
            await window.types("go")
            asked = await window.shows("y once")
            assert r"\x1b]0;owned\x07" in asked
            await window.strikes("y")
            screen = await window.shows("That was all.")
            for n, _ in enumerate(HOSTILE):
                assert f"{n}:" in screen and f":{n}" in screen, n
            assert "␛[2J" in screen and "␛]52;c;" in screen and "<U+009B>2J" in screen
            await window.types("!cat hostile; echo That was $?")
            await window.shows("That was 0")
            await window.shows("y once")
            await window.strikes("n")
            await window.shows("That was all.", times=2)
            async with asyncio.timeout(PATIENCE):
                while await window.tmux("display-message", "-p", STATE) != before:
                    await asyncio.sleep(0.05)
            assert await window.tmux("list-buffers") == "", "nothing is in the clipboard"
            title = await window.tmux("display-message", "-p", "#{pane_title} #{window_name}")
            assert "owned" not in title and "turnstone" in title
