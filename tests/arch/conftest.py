"""What the tests of the tree's shape look at: the files that are, or would be, committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.needs import require

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def committed() -> list[Path]:
    """Every file that git tracks or would track; of an unpacked archive, every file."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git tree, so that it cannot be told which files belong to it")
    require("git")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]
