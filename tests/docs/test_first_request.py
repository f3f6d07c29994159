"""The commands that the README tells a newcomer to type, typed at a real `turnstone up`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

from support.needs import require
from support.processes import server

#: Seconds for the whole of it.
PATIENCE = 50

_READING = re.compile(r"^curl -sN .*$", re.MULTILINE)

#: What a person does at the reading: leave it open, and look.
_WAIT = 'until grep -q "{word}" read.txt; do sleep 0.1; done'


def typed(text: str, url: str) -> str:
    """The block as a script: the reading stays open beside, until the turn has ended."""
    reading = _READING.search(text)
    assert reading is not None
    beside = f"{reading[0]} >read.txt & reader=$!\n" + _WAIT.format(word="approval_asked")
    script = text.replace(reading[0], beside).replace("http://127.0.0.1:8080", url)
    return f"{script}\n{_WAIT.format(word='turn_ended')}\nkill $reader\n"


async def test_the_first_request_of_the_readme_is_answered(
    blocks: list[Any], tmp_path: Path
) -> None:
    require("curl")
    block = next(block for block in blocks if block.marker == "request")
    async with server(tmp_path, "--model", "practice", program="turnstone up") as node:
        shell = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            typed(block.text, node.url),
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                printed, _ = await shell.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            await shell.wait()
    assert printed.count(b'"status":"ok"') == 2
    lines = (tmp_path / "read.txt").read_text().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    by_type = {event["type"]: event for event in events}
    assert by_type["approval_asked"]["items"][0]["preview"] == "ls -la"
    assert "read.txt" in by_type["tool_finished"]["output"]
    assert by_type["turn_ended"]["outcome"] == "done"
    assert by_type["turn_ended"]["text"].startswith("[practice model]")
