"""Outputs of commands: the files for whole ones, and the lines about how a command ended."""

from __future__ import annotations

import secrets
from pathlib import Path

from turnstone.core.sandbox import CommandResult

#: Bytes of all kept outputs of one workstream, before another is added: the oldest go first.
MAX_TOTAL = 150_000_000


def new_output(folder: Path | None) -> Path | None:
    """A file for one whole output, not made yet. Makes room for it."""
    if folder is None:
        return None
    _make_room(folder)
    return folder / f"bash-{secrets.token_hex(4)}.txt"


def _make_room(folder: Path) -> None:
    try:
        files = sorted(((p.stat(), p) for p in folder.iterdir()), key=lambda f: f[0].st_mtime)
    except OSError:
        return  # there is none yet
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in files:
        if total <= MAX_TOTAL:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size


def whole_output(path: Path, result: CommandResult) -> str:
    """Where what was cut out can be read."""
    if not result.kept:
        return "[the whole output could not be kept]"
    if result.kept_whole:
        return f"[the whole output, {result.kept:,} bytes, is in {path}]"
    return f"[the first {result.kept:,} bytes of the output are in {path}; the rest is lost]"


def told_of(result: CommandResult, timeout: float) -> str:
    """How it ended, where that needs to be told."""
    if result.timed_out:
        return f"[stopped after {timeout:g} s, the time limit, with all it had started]"
    if result.exit_code is not None and result.exit_code < 0:
        return f"[ended by signal {-result.exit_code}]"
    return f"[exit code {result.exit_code}]" if result.exit_code else ""
