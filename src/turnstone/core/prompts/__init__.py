"""The prompts: text files in this folder, filled in here. No prompt is a string in code.

What is filled in does not change during a workstream's life, so that every request begins
with the same bytes and a provider's prefix cache can hit.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def system_prompt(workspace: Path, created: float, instructions: str = "") -> str:
    """The system message of a workstream made at `created` (Unix seconds).

    `instructions` are the person's own, word for word, behind ours.
    """
    day = datetime.fromtimestamp(created, tz=UTC).date().isoformat()
    filled = _text("system.txt").format(workspace=workspace, platform=platform.system(), date=day)
    return f"{filled.strip()}\n\n{instructions}".strip()
