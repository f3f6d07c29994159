"""The message of a script: what was typed, with what was piped in and the files that were named.

Files are read as whoever called, before any tool: to name one is to send it.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from turnstone.cli.plain import one_line, sendable
from turnstone.cli.streams import has_keyboard, read_all
from turnstone.core.errors import InvalidRequest

#: As the name of a file, and as the message: what is piped in.
STDIN = "-"

#: Bytes of one file, and characters of what is piped in: more is no message, but something to work
#: on, which the agent can look into with its tools.
LARGEST = 1_000_000

#: Seconds after which somebody who may not know it is told that stdin is being read.
_QUIET = 3.0

_FENCE = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)


def message_of(prompt: str | None, files: Sequence[str]) -> str:
    """What to send. Without `prompt`, or with `-`, what is piped in is the message.

    Raises InvalidRequest for what cannot be sent, with its name; StreamFailed.
    """
    if files.count(STDIN) > 1 or (prompt in (None, STDIN) and STDIN in files):
        raise InvalidRequest("Stdin is named twice, and can be read once.")
    piped = "" if has_keyboard() and STDIN not in files and prompt != STDIN else _piped()
    parts = [(name, piped if name == STDIN else _text_of(Path(name))) for name in files]
    if prompt is None or prompt == STDIN:
        return joined(piped, parts)
    if piped.strip() and STDIN not in files:
        parts.insert(0, (STDIN, piped))
    return joined(prompt, parts)


def joined(message: str, parts: Sequence[tuple[str, str]]) -> str:
    """The message, and behind it each text between fences, with its name. Pure."""
    shown = [
        f"{'Standard input' if name == STDIN else f'File {one_line(name)}'}:\n\n{fenced(text)}"
        for name, text in parts
    ]
    return "\n\n".join([message, *shown]) if shown else message


def fenced(text: str) -> str:
    """Between fences that are longer than any in it. Pure."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}"


def _piped() -> str:
    """All of stdin; who waits for it in vain is told."""
    notice = threading.Timer(_QUIET, _say_waiting)
    notice.daemon = True
    notice.start()
    try:
        text = sendable(read_all())
    finally:
        notice.cancel()
    if len(text) > LARGEST:
        raise InvalidRequest(
            f"What is piped in has {len(text):,} characters, and a message up to {LARGEST:,}.",
            hint="Write it to a file in the workspace, and name that in the message.",
        )
    return text


def _say_waiting() -> None:
    print("Reading stdin to its end; `< /dev/null` gives it none.", file=sys.stderr, flush=True)


def _text_of(file: Path) -> str:
    try:
        with open(file, "rb") as source:
            data = source.read(LARGEST + 1)
    except OSError as error:
        raise InvalidRequest(f"The file {file} cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST:
        raise InvalidRequest(
            f"The file {file} has more than {LARGEST:,} bytes, too much for a message.",
            hint="Name it in the message, and the agent looks into it with its tools.",
        )
    try:
        if b"\0" not in data:
            return data.decode()
    except UnicodeDecodeError:
        pass  # told below, as for any other file of bytes
    raise InvalidRequest(
        f"The file {file} is no text in UTF-8.",
        hint="Name it in the message, and the agent looks into it with its tools.",
    )
