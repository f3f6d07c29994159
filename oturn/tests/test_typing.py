"""What a type checker says to users: nothing about right uses, and something about each wrong one.

pyright is asked in the form of basedpyright, whose wheel needs no download at the first run; the
file `typing/pyrightconfig.json` gives it pyright's own rules.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"
EXAMPLES = Path(__file__).parent.parent / "examples"
MARK = "# error:"
#: Seconds that a type checker gets; it needs about five.
PATIENCE = 50

Told = dict[str, set[int]]


def mypy(folder: Path, *files: Path) -> Told:
    pytest.importorskip("mypy", reason="mypy is not installed (dependency group dev)")
    strict = ["--strict", "--config-file=", f"--cache-dir={folder}", "--no-error-summary"]
    return told([sys.executable, "-m", "mypy", *strict], *files)


def pyright(_: Path, *files: Path) -> Told:
    found = shutil.which("basedpyright", path=Path(sys.executable).parent)
    if found is None:
        pytest.skip("basedpyright is not installed (dependency group dev)")
    return told([found, "--pythonpath", sys.executable], *files)


def told(command: list[str], *files: Path) -> Told:
    """The lines with errors, for each file; fails when the checker itself fails."""
    done = subprocess.run(
        [*command, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=HERE,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines: Told = {file.name: set() for file in files}
    for name, line in re.findall(r"(\w+\.py):(\d+)(?::\d+)?(?: -)?:? error", done.stdout):
        lines[name].add(int(line))
    assert done.returncode == 0 or any(lines.values()), done.stdout
    return lines


def marked(file: Path) -> set[int]:
    lines = file.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if MARK in line}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_uses_are_clean_and_each_wrong_line_is_flagged(
    checker: object, tmp_path: Path
) -> None:
    assert callable(checker)
    right, wrong = HERE / "api.py", HERE / "wrong.py"
    assert len(marked(wrong)) > 30
    assert checker(tmp_path, right, wrong) == {"api.py": set(), "wrong.py": marked(wrong)}


def test_the_examples_of_machines_are_clean(tmp_path: Path) -> None:
    files = [EXAMPLES / "order.py", EXAMPLES / "traffic_light.py"]
    assert mypy(tmp_path, *files) == {file.name: set() for file in files}
