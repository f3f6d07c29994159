"""What is said beside an answer, on stderr: what went wrong, and what to do."""

from __future__ import annotations

import sys

from turnstone.cli.render import Screen, make_console
from turnstone.core.errors import TurnstoneError


def complain(error: TurnstoneError) -> None:
    """One sentence and what to do."""
    say_error(error.message)
    if error.hint:
        beside().line(error.hint, indent="  ")


def say_error(sentence: str) -> None:
    beside().line(f"error: {sentence}", "red")


def beside() -> Screen:
    """stderr, for what is said beside an answer."""
    return Screen(make_console(sys.stderr), answers=False)
