"""Who a command runs as, and the environment it gets. Nothing else of ours is inherited.

The environment is built from an allow-list, so a variable that nobody thought of (a key of
a provider, a token) stays out by itself.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

#: Variables that a command may see of ours. Where programs are, which language and time zone
#: to speak in; none of these carries a secret.
INHERITED = ("PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ")

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to run as. `dropped`: it is not the one that this process runs as."""

    uid: int
    gid: int
    name: str
    home: Path
    dropped: bool = False

    @property
    def root(self) -> bool:
        return self.uid == 0


def identity_for(workspace: Path) -> Identity:
    """Ourselves; but for a process of root, the owner of the workspace.

    Raises OSError if there is no such workspace.
    """
    uid = os.geteuid()
    if uid != 0:
        return _identity(uid, os.getegid())
    owner = os.stat(workspace)
    if owner.st_uid == 0:
        return _identity(0, os.getegid())
    return _identity(owner.st_uid, owner.st_gid, dropped=True)


def environment_for(identity: Identity) -> dict[str, str]:
    """The whole environment of a command, and of whatever starts it."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        "PATH": _DEFAULT_PATH,
        "LANG": "C.UTF-8",
        **inherited,
        "HOME": str(identity.home),
        "USER": identity.name,
        "LOGNAME": identity.name,
        "SHELL": "/bin/bash",
        "TERM": "dumb",
        # Programs that would wait for a person must not: there is nobody at stdin.
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _identity(uid: int, gid: int, *, dropped: bool = False) -> Identity:
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, Path(entry.pw_dir)
    except KeyError:  # a user id without an account, as in containers
        name, home = str(uid), Path("/")
    if not dropped and os.environ.get("HOME"):
        home = Path(os.environ["HOME"])
    return Identity(uid, gid, name, home, dropped)
