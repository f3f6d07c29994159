"""The pipelines of `docs/howto/scripts.md` run, one behind the other, as a person would type them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer
from modelserver.plans import echo, last_user_text
from support.needs import require

#: Seconds for one block: some start several programs.
PATIENCE = 50

#: How many blocks of the page are run.
BLOCKS = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what the page takes to be there."""
    require("git")
    work = tmp_path / "work"
    work.mkdir()
    for name in ("notes.txt", "before.txt", "after.txt", "message.txt", "entry.md"):
        (work / name).write_text(f"this is {name}, and it is done\n")
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], [*person, "commit", "-q", "--allow-empty", "-m", "Add a door"]):
        subprocess.run(["git", *words], cwd=work, check=True)
    return work


@pytest.mark.parametrize("number", range(BLOCKS))
def test_each_pipeline_of_the_page_runs(
    blocks: list[Any], folder: Path, tmp_path: Path, number: int
) -> None:
    page = [b for b in blocks if b.page.endswith("howto/scripts.md") and b.marker == "run"]
    assert len(page) == BLOCKS
    with ModelServer(echo) as model:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", page[number].text],
            cwd=folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "TURNSTONE_API_BASE_URL": model.base_url,
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        sent = " ".join(last_user_text(request) for request in model.requests)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    for name in ("notes", "before", "after", "message"):
        assert (f"{name}.txt" in page[number].text) is (f"this is {name}.txt" in sent)
    if "> entry.md" in page[number].text:
        assert "Add a door" in (folder / "entry.md").read_text()
    if "--continue" in page[number].text:
        assert "Heron" in str(model.requests[-1]["messages"]), "the session was gone on with"
