"""Reads foreign HTML and PDF in a program of its own, which is stopped at its limits.

What is read can make that program hang, grow or crash; it cannot do so to this one. Where commands
are confined, the program is confined as they are: no network, no file but its input and its own
packages. Elsewhere it has its limits and a clean environment, and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, Level, Sandbox

#: Characters of text that are taken from one page.
MAX_TEXT = 2_000_000

#: Bytes of memory of the program, Python included.
MEMORY = 1_000_000_000

#: Characters of its answer: in JSON, one of the text can take six.
_MAX_ANSWER = 6 * MAX_TEXT + 10_000

_PROGRAM = Path(__file__).resolve().with_name("foreign_program.py")
_PACKAGES = ("pypdf", "html_to_markdown")

#: What a sandbox shows in any case.
_SHOWN = tuple(map(Path, ("/", "/usr", "/usr/local")))


class Found(msgspec.Struct):
    """What the program says: the text of a page, or some pages of a PDF; or why there is none,
    as it is said of what was read."""

    text: str = ""
    pages: int = 0
    texts: list[str] = []
    error: str = ""


class TookTooLong(Exception):
    """It has not ended within its time."""


class ForeignReader:
    """`sandbox` confines the program, from level L2 on; None: nothing does."""

    def __init__(self, sandbox: Sandbox | None = None, *, memory: int = MEMORY) -> None:
        confined = sandbox is not None and sandbox.confinement.level >= Level.L2
        self._sandbox = sandbox if confined else None
        self._memory = memory
        self._packages = _packages()

    async def read(self, task: Mapping[str, object], file: IO[bytes], seconds: float) -> Found:
        """What the program makes of the file, from its beginning. Raises TookTooLong."""
        file.seek(0)
        order = json.dumps(
            {
                **task,
                "memory": self._memory,
                "seconds": max(1, int(seconds) + 1),
                "packages": [str(path) for path in self._packages],
            }
        )
        argv = [str(Path(sys.executable).resolve()), "-I", "-S", "-B", str(_PROGRAM), order]
        answer: str | bytes
        try:
            if self._sandbox is not None:
                answer = await self._confined(self._sandbox, argv, file, seconds)
            else:
                async with asyncio.timeout(seconds), _started(argv, file) as process:
                    answer = await _all(process)
        except TimeoutError:
            raise TookTooLong from None
        try:
            return msgspec.json.decode(answer, type=Found)
        except msgspec.DecodeError:
            return Found(error="cannot be read within its limits of time and memory")

    async def _confined(
        self, sandbox: Sandbox, argv: list[str], file: IO[bytes], seconds: float
    ) -> str:
        """Raises TimeoutError."""
        programs = (*self._packages, Path(sys.base_prefix).resolve(), _PROGRAM)
        with tempfile.TemporaryDirectory(prefix="turnstone-reader-") as folder:
            command = Command(
                script=f"exec env -i LC_ALL=C.UTF-8 {shlex.join(argv)} 2>/dev/null",
                workspace=Path(folder).resolve(),
                timeout=seconds,
                max_output=_MAX_ANSWER,
                stdin=file.fileno(),
                programs=tuple(path for path in programs if path not in _SHOWN),
            )
            try:
                result = await sandbox.run(command, lambda _: None)
            except (OSError, ToolRefused):
                return ""
        if result.timed_out:
            raise TimeoutError
        return "" if result.dropped else result.output


def _packages() -> tuple[Path, ...]:
    """The folders that hold the packages the program needs."""
    specs = map(importlib.util.find_spec, _PACKAGES)
    found = [Path(spec.origin).resolve().parent.parent for spec in specs if spec and spec.origin]
    return tuple(dict.fromkeys(found))


async def _all(process: asyncio.subprocess.Process) -> bytes:
    """What the program prints, as far as an answer may go, in whichever hands the program is."""
    assert process.stdout is not None
    printed = bytearray()
    while piece := await process.stdout.read(65_536):
        printed += piece[: 4 * _MAX_ANSWER - len(printed)]
    return bytes(printed)


@asynccontextmanager
async def _started(argv: list[str], file: IO[bytes]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, which is gone when this is left, in whichever way."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=file,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=os.sep,
        env={"LC_ALL": "C.UTF-8"},  # and no secrets
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.shield(process.communicate())
