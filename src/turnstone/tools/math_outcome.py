"""What a piece of Python came to, whichever engine ran it, and how a model reads it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

#: Characters of what was printed, of a value, and of an error: cut where they arise.
MAX_TEXT = 64_000

#: Characters of an error: a traceback of eight lines, and a message of some length.
MAX_ERROR = 4_000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is that of `result`, or of the last expression; None: there is none to show.

    `ended`: why the run itself was stopped; the same code is not run again.
    """

    printed: str = ""
    value: str | None = None
    named: bool = False  # the value is that of the variable `result`
    error: str = ""
    ended: Literal["", "time", "memory", "output", "crash"] = ""


_ENDED = {
    "time": "The code took longer than {seconds:g} s, the time limit.",
    "memory": "The code needed more memory than it may have.",
    "output": f"The code printed more than {MAX_TEXT:,} characters.",
    "crash": "The process that ran the code died of it.",
}

NOTHING = "[nothing was printed, and there is no `result`; print a value, or end with it]"


def report(outcome: Outcome, seconds: float) -> str:
    """The text for the model; cut to `MAX_TEXT` and a note where it is longer."""
    lines = [printed] if (printed := _cut(outcome.printed).rstrip("\n")) else []
    if outcome.value is not None and (outcome.named or not lines):
        value = _cut(outcome.value)
        lines.append(f"result = {value}" if lines else value)
    problem = _ENDED[outcome.ended].format(seconds=seconds) if outcome.ended else outcome.error
    if problem:
        lines.append(f"Error: {_cut(problem, MAX_ERROR)}")
    return "\n".join(lines) if lines else NOTHING


def _cut(text: str, limit: int = MAX_TEXT) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut off here: {limit:,} characters are shown]"
