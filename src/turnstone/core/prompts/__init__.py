"""The prompts: text files in this folder, filled in here. No prompt is a string in code.

What is filled in is recorded with the conversation, and sent as it was recorded: every request
begins with the same bytes, in every process and on every day, and a provider's prefix cache
can hit. Reads nothing but its own folder.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path


@cache
def text(name: str) -> str:
    """A prompt as it stands in its file, without blanks around it."""
    return files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the system prompt of a conversation is made of."""

    workspace: Path
    now: float  # Unix seconds
    persona: str = ""  # whom the model is to speak as
    instructions: str = ""  # the person's own, word for word
    project: str = ""  # what the workspace says of itself: its AGENTS.md
    memories: int = 0  # that `recall` would find
    creative: bool = False  # for writing, without tools
    agent: str = ""  # the kind of sub-agent that it is


def system_prompt(facts: Facts) -> str:
    """The system message: ours, then the project's notes, then the person's own words.

    The person's come last: where two of them differ, they hold.
    """
    day = datetime.fromtimestamp(facts.now, tz=UTC).date().isoformat()
    parts = [
        text("creative" if facts.creative else "system"),
        text("place").format(workspace=facts.workspace, platform=platform.system(), date=day),
    ]
    if facts.agent:
        parts.append(text(facts.agent))
    if facts.memories and not facts.creative:
        parts.append(text("memories").format(count=facts.memories))
    if facts.project and not facts.creative:
        parts.append(f"{text('project')}\n\n<AGENTS.md>\n{facts.project}\n</AGENTS.md>")
    if facts.persona:
        parts.append(text("persona").format(persona=facts.persona))
    return "\n\n".join([*parts, facts.instructions.strip()]).strip()


def extraction_prompts(question: str, url: str, page: str, mark: str) -> tuple[str, str]:
    """What asks a model about a fetched page: the system message, and the user's.

    `mark` is a text that cannot be in the page, chosen when the page was already there.
    """
    told = {"question": question, "url": url, "page": page, "mark": mark}
    return (
        text("extraction").format(mark=mark),
        text("extraction_page").format(**told),
    )


def web_search_prompt(query: str, topic: str) -> str:
    """What asks a model that searches by itself."""
    return text("web_search").format(query=query, topic=topic)
