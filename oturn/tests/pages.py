"""The pages of the documentation and their fenced blocks, as tests look at them.

The Python blocks of a page, one after the other, are one program. A block that cannot run has
`<!-- fragment -->` on the line before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Where the pages say that a model server is.
SHOWN_SERVER = "http://localhost:8000/v1"
#: Seconds that the program of a page gets; each needs one or two.
PATIENCE = 50

_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[\w: ]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    marker: str
    text: str


def blocks_of(page: Path, language: str) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            page.name,
            text[: found.start("text")].count("\n") + 1,
            found["language"],
            found["marker"] or "",
            found["text"],
        )
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]


def program_of(page: Path) -> str:
    """What runs of a page, with every line where it stands in the page."""
    lines: list[str] = []
    for block in blocks_of(page, "python"):
        if block.marker != "fragment":
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


def run(program: str, folder: Path, *arguments: str, said: str = "") -> tuple[str, str]:
    """(stdout, stderr) of a program that must end well, in an empty home of its own."""
    home = {"HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=folder,
        env=os.environ | home,
        input=said,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
