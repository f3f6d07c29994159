"""The fenced blocks of the documentation, as the tests here look at them.

A block may have a marker on the line before it: `<!-- run -->` (a whole program, which is run)
`<!-- request -->` (commands that are typed while Turnstone runs, and are tried in
`test_first_request`) or `<!-- fragment -->` (a piece that does not stand alone, and is only
shown).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>\w+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, ROOT / "oturn" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            str(page.relative_to(ROOT)),
            text[: found.start("text")].count("\n") + 1,
            found["language"],
            found["marker"] or "",
            found["text"],
        )
        for found in _BLOCK.finditer(text)
    ]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def all_pages() -> list[Path]:
    return pages()


@pytest.fixture(scope="session")
def blocks() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page)]
