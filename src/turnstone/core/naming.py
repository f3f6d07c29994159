"""What a session may be called: one line that can be printed, of bounded length. Pure."""

from __future__ import annotations

#: Characters of a name.
LONGEST = 100


def is_name(text: str) -> bool:
    """Whether this may be a name; no name at all may be one too."""
    return len(text) <= LONGEST and text.isprintable()


def named(text: str) -> str:
    """The text as a name: on one line, without what cannot be printed, and cut."""
    line = " ".join(text.split())
    return "".join(character for character in line if character.isprintable())[:LONGEST].strip()
