"""What was typed before, for the next time: one file per person, which nobody else can read.

A line that begins with a space is not kept, nor is one with something that looks like a secret.
A file that cannot be used makes no noise: then only what this run has seen is recalled.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from prompt_toolkit.history import History

from turnstone.cli.terminal.pastes import kept
from turnstone.core.masking import Masking

#: Entries that are kept. The file is cut back to them when it has grown to twice as many.
ENTRIES = 1_000
#: Characters of one entry: who sends more finds it in the session.
LONGEST = 10_000

_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PASSWORD = re.compile(
    r"(?i)\b(?:password|passwd|passphrase|token|secret|api[-_ ]?key)\s*[:=]\s*\S"
)


def place(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where the file is; None where no home directory is known."""
    state = Path(environment.get("XDG_STATE_HOME") or ".")
    if not state.is_absolute():
        home = environment.get("HOME")
        if not home:
            return None
        state = Path(home) / ".local" / "state"
    return state / "turnstone" / "history"


class Recalled(History):
    """The newest first, as prompt_toolkit wants them. `path` None: of this run only."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._masking = Masking()

    def append_string(self, string: str) -> None:
        """Nothing at all of what begins with a space: nobody is to find it again, here either."""
        if string.strip() and not string.startswith(" "):
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        try:
            return self._read()
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        string = kept(string)
        if self._path is None or len(string) > LONGEST or self._tells(string):
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _opened(self._path, os.O_WRONLY | os.O_APPEND) as file:
                os.write(file, msgspec.json.encode(string) + b"\n")
        except OSError:
            return

    def _tells(self, text: str) -> bool:
        return self._masking.text(text) != text or _PASSWORD.search(text) is not None

    def _read(self) -> list[str]:
        if self._path is None or not self._path.exists():
            return []
        with _opened(self._path, os.O_RDWR) as file:
            lines = _content(file).splitlines()
            if len(lines) > 2 * ENTRIES:
                lines = lines[-ENTRIES:]
                os.ftruncate(file, 0)
                os.pwrite(file, b"".join(line + b"\n" for line in lines), 0)
        entries = [text for line in lines[-ENTRIES:] if (text := _decoded(line))]
        return list(dict.fromkeys(reversed(entries)))


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The file, open and locked while the block runs; only its owner may read it."""
    file = os.open(path, flags | _FLAGS, 0o600)
    try:
        os.fchmod(file, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _content(file: int) -> bytes:
    return b"".join(_pieces(file))


def _pieces(file: int) -> Iterator[bytes]:
    while piece := os.read(file, 1 << 16):
        yield piece


def _decoded(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=str)
    except msgspec.DecodeError:
        return ""
