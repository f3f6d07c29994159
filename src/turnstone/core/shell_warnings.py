"""Labels for commands that destroy what cannot be had back: words beside a question. Pure.

No safety is claimed: a command that is not labelled may do the same. What a person is asked is
the command itself.
"""

from __future__ import annotations

import re

from turnstone.core import shell
from turnstone.core.shell import Word
from turnstone.core.shell_programs import SHELLS, base_name

_ROOTS = frozenset(
    "/ ~ /bin /boot /dev /etc /home /lib /lib64 /opt /proc /root /sbin /srv /sys /usr /var".split()
)
_DISK = re.compile(r"/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|disk|mapper/|md)\w*")
_ONTO_DISK = re.compile(r">\s*['\"]?" + _DISK.pattern)
_WIDE = re.compile(r"(?:^|\s)(?:/|~/?|\"?\$\{?HOME\}?\"?/?)\*?(?=$|[\s;&|)])")
_BOMB = re.compile(r"(?<![\w:.])([\w:.]{1,20}) ?\(\)\s*\{\s*\1\s*\|\s*\1")
_RECURSIVE = re.compile(r"-\w*[rR]|--rec")
_BEFORE = frozenset("sudo doas exec nohup env".split())
_ONTO = re.compile(r"(?:of=)?" + _DISK.pattern)
_OFF = frozenset("shutdown reboot halt poweroff".split())
_FETCHERS = frozenset({"curl", "wget"})


def warnings_of(script: str) -> tuple[str, ...]:
    """What stands out, in a few words each; usually nothing."""
    commands = shell.read(script).commands
    found = {label for words in commands for label in _labels(words, script)}
    if _ONTO_DISK.search(script):
        found.add("writes onto a disk")
    if _BOMB.search(script):
        found.add("starts processes without end")
    names = {base_name(word) for words in commands for word in words if word is not None}
    fed = any(len(w) == 1 and w[0] is not None and base_name(w[0]) in SHELLS for w in commands)
    if fed and names & _FETCHERS:
        found.add("runs what it fetches")
    return tuple(sorted(found))


def _labels(words: tuple[Word, ...], script: str) -> set[str]:
    """Of one command. A program is looked for behind wrappers (`sudo rm`) too."""
    found = set[str]()
    for place, word in enumerate(words):
        if word is None:
            continue
        name, rest = base_name(word), words[place + 1 :]
        if name in ("rm", "chmod", "chown") and _is_recursive(rest) and _is_wide(rest, script):
            found.add("removes whole folders" if name == "rm" else "changes whole folders")
        elif name.startswith("mkfs") or name == "wipefs":
            found.add("formats a disk")
        elif name in ("dd", "shred") and any(w and _ONTO.match(w) for w in rest):
            found.add("writes onto a disk")
        elif name in _OFF and (place == 0 or words[0] in _BEFORE):
            found.add("stops the machine")
    return found


def _is_recursive(words: tuple[Word, ...]) -> bool:
    return any(word is not None and _RECURSIVE.match(word) for word in words)


def _is_wide(words: tuple[Word, ...], script: str) -> bool:
    """Whether one of them is the root, a home, or a folder of the system."""
    if any(word and _without_dots(word) in _ROOTS for word in words):
        return True
    return None in words and _WIDE.search(script) is not None


def _without_dots(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)
