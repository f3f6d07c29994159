"""The notes that a workspace has for agents: its `AGENTS.md`, as text of a bounded size.

Reads that one file, and follows no link to get at it. Knows nothing of prompts.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: The file's name, where many agents look for it.
NAME = "AGENTS.md"

#: Bytes of it that are read, at most: about ten thousand tokens.
MAX_NOTES = 40_000

#: Bytes of it for each token of a model's window: about a seventh of the window.
_OF_WINDOW = 0.6

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def project_notes(workspace: Path, window: int = 0) -> str:
    """What the file says; empty where there is none that can be read. A cut is told in it.

    `window`: tokens of the model's context, of which it gets its share; 0: unknown.
    """
    most = min(MAX_NOTES, int(window * _OF_WINDOW)) if window else MAX_NOTES
    try:
        descriptor = os.open(workspace / NAME, _OPEN)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        data = os.read(descriptor, most + 1) if regular else b""
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    text = data[:most].decode("utf-8", "replace").strip()
    if len(data) > most:
        text += (
            f"\n[{NAME} is longer; it was cut here, after {most:,} bytes. Read it for the rest.]"
        )
    return text
