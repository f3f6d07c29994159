"""The Lua scripts as they are sent to Redis: each file of `scripts/`, with what it needs before it.

It never runs one; `RedisWork` does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Scripts that add to Redis, and so must be refused where it is full; see `prelude.lua`.
_ALONE = frozenset({"own", "disown", "emit", "respond", "timers", "swaptimer", "replay"})

#: Other files that a script needs before it, behind the prelude.
_NEEDS = {"reap": ("strays",), "claim": ("labels",), "waits": ("labels",)}


@dataclass(frozen=True, slots=True)
class Script:
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of this name, read once. Raises FileNotFoundError for one that is not there."""
    folder = files("turnstone.mq").joinpath("scripts")
    source = folder.joinpath(f"{name}.lua").read_text(encoding="utf-8")
    if name not in _ALONE:
        for part in reversed(("prelude", *_NEEDS.get(name, ()))):
            source = folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") + source
    # SHA-1 is how Redis names scripts, and protects nothing.
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
