"""A real terminal for tests: a program in a tmux of its own, keys in, the screen out."""

from __future__ import annotations

import asyncio
import shlex
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from support.needs import require

#: Seconds for something to appear; more is a failure.
PATIENCE = 60.0


class Terminal:
    """One window. `screen` is everything in it and above it, as plain text."""

    def __init__(self, tmux: str, name: str) -> None:
        self._command = [tmux, "-L", name, "-f", "/dev/null"]

    async def screen(self) -> str:
        return await self.tmux("capture-pane", "-p", "-J", "-S", "-")

    async def types(self, text: str) -> None:
        await self.tmux("send-keys", "-l", text)
        await self.tmux("send-keys", "Enter")

    async def strikes(self, key: str) -> None:
        """A key by tmux's name for it: `C-c`."""
        await self.tmux("send-keys", key)

    async def shows(self, text: str, times: int = 1) -> str:
        """Waits until this stands there so many times; returns the screen."""
        screen = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while (screen := await self.screen()).count(text) < times:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{text!r} did not appear {times} times:\n{screen}") from None
        return screen

    async def tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


@asynccontextmanager
async def terminal(
    command: list[str], folder: Path, variables: Mapping[str, str], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Terminal]:
    """A window of `size` columns and rows with this program in it; its exit code is shown."""
    window = Terminal(require("tmux"), f"turnstone-test-{uuid.uuid4().hex[:8]}")
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    # The window stays when the program has ended, so that its last words can be read.
    shell = f"env -i {settings} {shlex.join(command)}; echo exit code $?; exec sleep 600"
    width, height = map(str, size)
    await window.tmux("new-session", "-d", "-x", width, "-y", height, "-c", str(folder), shell)
    try:
        yield window
    finally:
        await window.tmux("kill-server")
