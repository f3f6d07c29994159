"""A report of an error that nobody expected: written beside the store, without secrets.

What a person typed is not in it, but for the names of commands and flags.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from turnstone import __version__
from turnstone.cli.plain import plain

if TYPE_CHECKING:
    from turnstone.core.config import Settings

#: The folder of the reports, beside the store.
FOLDER = "crashes"

#: Reports that are kept; older ones make room.
KEPT = 20

#: The settings that were read last. Of the whole process, because whoever is told of a crash knows
#: no more of the program than that it is over.
_known: list[Settings] = []


def know(settings: Settings) -> None:
    """These are the settings: their folder is where reports go, their secrets are masked."""
    _known[:] = [settings]


def report(error: BaseException) -> str:
    """Write the report; the sentence that says where it is. Raises nothing."""
    name = type(error).__name__
    try:
        text = masked(described(error))
    except Exception as second:  # whatever is broken: what cannot be masked is not shown either
        return f"error: Turnstone broke ({name}), and no report of it could be made ({type(second).__name__})."
    try:
        path = _write(_folder(), text)
    except OSError as problem:
        return f"{plain(text)}error: Turnstone broke ({name}); no report could be kept: {problem}."
    return (
        f"error: Turnstone broke where it should not ({name}).\n"
        f"  A report without secrets is in {path}; please send it along when you tell of this."
    )


def described(error: BaseException) -> str:
    """The error, where it came from, and on what machine: text with whatever it may hold."""
    lines = [
        f"turnstone {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        f"command: {_command(sys.argv)}",
        "",
        "".join(traceback.format_exception(error)).rstrip(),
    ]
    return "\n".join(lines) + "\n"


def masked(text: str) -> str:
    """Without the secrets of the settings and the environment, and what looks like one."""
    from turnstone.core.masking import Masking, secrets_of

    secrets = [secret for settings in _known for secret in settings.secrets()]
    return Masking([*secrets, *secrets_of(os.environ)]).text(text)


def _command(words: list[str]) -> str:
    """The program, its command, and its flags without what was given to them."""
    program = Path(words[0]).name if words else "?"
    command = [word for word in words[1:2] if word.isalpha()]
    flags = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    return " ".join([program, *command, *flags])


def _folder() -> Path:
    if _known:
        return _known[0].store.path.parent / FOLDER
    data = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(data) / "turnstone" / FOLDER


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    for old in sorted(folder.glob("*.txt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path
