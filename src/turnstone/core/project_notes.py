"""The notes that a workspace has for agents: its `AGENTS.md`, as text of a bounded size.

Reads that one file, and follows no link to get at it. Knows nothing of prompts.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: The file's name, where many agents look for it.
NAME = "AGENTS.md"

#: Bytes of it that are read: about ten thousand tokens.
MAX_NOTES = 40_000

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def project_notes(workspace: Path) -> str:
    """What the file says; empty where there is none that can be read. A cut is told in it."""
    try:
        descriptor = os.open(workspace / NAME, _OPEN)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        data = os.read(descriptor, MAX_NOTES + 1) if regular else b""
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    text = data[:MAX_NOTES].decode("utf-8", "replace").strip()
    if len(data) > MAX_NOTES:
        text += f"\n[{NAME} is longer; it was cut here, after {MAX_NOTES:,} bytes. Read it for the rest.]"
    return text
