"""Outputs of commands: the files for whole ones, and the lines about how a command ended."""

from __future__ import annotations

import os
import secrets
from collections.abc import Set
from pathlib import Path

from turnstone.core.outputs import make_room
from turnstone.core.sandbox import CommandResult
from turnstone.core.sensitive import PROJECT_STARTERS, folded_names

_STARTERS = frozenset(PROJECT_STARTERS)


def new_output(folder: Path | None) -> Path | None:
    """A file for one whole output, not made yet. Makes room for it."""
    if folder is None:
        return None
    make_room(folder)
    return folder / f"bash-{secrets.token_hex(4)}.txt"


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


def starters_in(workspace: Path) -> frozenset[str]:
    """What the workspace itself holds from which programs start something later."""
    try:
        names = os.listdir(workspace)
    except OSError:
        return frozenset()
    return frozenset(
        n for n, folded in zip(names, folded_names(names), strict=True) if folded in _STARTERS
    )


def made_starters(workspace: Path, before: Set[str]) -> str:
    """A line about those that a command has made; empty if it has made none."""
    new = sorted(starters_in(workspace) - before)
    if not new:
        return ""
    return (
        f"[new in the workspace: {', '.join(new)}. Programs may start by themselves what stands"
        " in there, outside the sandbox: look at it before you open the folder or use git in it]"
    )
