"""The standard streams, which whoever starts a program may have closed, filled or mixed up.

Says what is wrong with them in a sentence. Writes nothing but to stdout, and only here is that
done without a `Screen`.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO


class StreamFailed(Exception):
    """A standard stream is closed or cannot be used; the message says which, and why."""


def make_ready() -> None:
    """Let no text fail because of its encoding, and have a stderr to write to.

    Bytes from stdin that are no text become U+FFFD. What a terminal cannot show is written as
    its code. Where stderr is closed, what would be said there is dropped.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as we run
    _reconfigure(sys.stdin, "replace")
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, "backslashreplace")


def _reconfigure(stream: object, errors: str) -> None:
    """Python's own choices, `surrogateescape` of the C locale too, give way; others stay."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors=errors)


def has_keyboard() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def read_all() -> str:
    """All of stdin, nothing where it is closed. StreamFailed where it cannot be read."""
    try:
        return "" if sys.stdin is None else sys.stdin.read()
    except OSError as error:
        raise StreamFailed(f"The message cannot be read from stdin: {_why(error)}.") from error


def check_stdout() -> None:
    """StreamFailed where stdout is closed: before anything is done whose answer would be lost."""
    if sys.stdout is None:
        raise StreamFailed("There is nowhere to write the answer: stdout is closed.")


def write_out(text: str) -> None:
    """To stdout, at once. StreamFailed where it takes nothing; BrokenPipeError as it comes."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise stdout_gone(error) from error


def stdout_gone(error: OSError) -> StreamFailed:
    """The sentence for it. Nothing more is written there."""
    drop(sys.stdout)
    return StreamFailed(f"The answer cannot be written to stdout: {_why(error)}.")


def drop(stream: IO[str]) -> None:
    """What it has not taken is dropped, and all that follows: or it fails again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _why(error: OSError) -> str:
    return error.strerror or str(error)
