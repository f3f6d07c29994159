"""The page about sessions: its snippets run, one after the other, as one program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "sessions.md").read_text("utf-8")


def test_the_snippets_of_the_page_run_in_their_order(tmp_path: Path) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(snippets) == 5
    program = tmp_path / "page.py"
    program.write_text("\n".join(snippets), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "line 10: the last record is cut short" in done.stderr
    assert (tmp_path / "work" / ".oturn" / "sessions" / "mine.md").is_symlink()
