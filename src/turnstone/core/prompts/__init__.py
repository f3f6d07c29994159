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


def extraction_prompts(question: str, url: str, page: str, mark: str) -> tuple[str, str]:
    """What asks a model about a fetched page: the system message, and the user's.

    `mark` is a text that cannot be in the page, chosen when the page was already there.
    """
    told = {"question": question, "url": url, "page": page, "mark": mark}
    return (
        _text("extraction.txt").format(mark=mark).strip(),
        _text("extraction_page.txt").format(**told).strip(),
    )


def web_search_prompt(query: str, topic: str) -> str:
    """What asks a model that searches by itself."""
    return _text("web_search.txt").format(query=query, topic=topic).strip()
