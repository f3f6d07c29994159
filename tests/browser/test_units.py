"""The modules of the pages that need no browser, in Node: a second or two in all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.needs import require

UNIT = Path(__file__).parent / "unit"


@pytest.mark.parametrize("file", sorted(UNIT.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_the_tests_of_a_module_pass(file: Path) -> None:
    done = subprocess.run(
        [require("node"), "--test", file], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
