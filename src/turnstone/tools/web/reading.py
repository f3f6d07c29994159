"""Turns a fetched page into text, in a program of its own that is stopped at its limits.

The page can make that program hang, grow or crash; it cannot do so to this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from turnstone.tools.web.fetching import FetchFailed, Page

#: Characters of text that are taken from one page.
MAX_TEXT = 2_000_000

#: Bytes of memory of the program, Python included.
MEMORY = 1_000_000_000

_UNREADABLE = 2
_PROGRAM = Path(__file__).with_name("page_program.py")


async def read_page(page: Page, timeout: float, *, memory: int = MEMORY) -> str:
    """The text of a page: HTML as Markdown. Raises FetchFailed with a sentence."""
    order = {
        "kind": page.kind,
        "charset": page.charset,
        "whole": page.whole,
        "url": page.url,
        "max_text": MAX_TEXT,
        "memory": memory,
        "seconds": max(1, int(timeout) + 1),
    }
    with tempfile.TemporaryFile() as file:
        file.write(page.body)
        file.seek(0)
        try:
            async with asyncio.timeout(timeout), _started(order, file) as process:
                text = await _all(process)
                code = await process.wait()
        except TimeoutError:
            raise FetchFailed(
                f"{page.url} takes more than {timeout:g} s to turn into text."
            ) from None
    if code == _UNREADABLE:
        raise FetchFailed(f"{page.url} {text}.")
    if code != 0:
        raise FetchFailed(f"{page.url} cannot be turned into text; what read it broke down.")
    return text


async def _all(process: asyncio.subprocess.Process) -> str:
    """What the program prints, as far as a page may go, in whichever hands the program is."""
    assert process.stdout is not None
    most = 4 * MAX_TEXT  # bytes of UTF-8
    printed = bytearray()
    while piece := await process.stdout.read(65_536):
        printed += piece[: most - len(printed)]
    return printed.decode("utf-8", "replace")


@asynccontextmanager
async def _started(
    order: dict[str, object], page: IO[bytes]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, which is gone when this is left, in whichever way."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-B",
        str(_PROGRAM),
        json.dumps(order),
        stdin=page,
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
