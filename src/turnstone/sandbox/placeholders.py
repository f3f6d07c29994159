"""Files and folders that are there while a command runs, so that it cannot make them.

What starts by itself (`~/.bash_profile`) must not be made by a command, and what is not there
cannot be mounted over. So it is made beforehand, with a content that does nothing, and removed
afterwards. Never touches what somebody else has made.

Each user of a placeholder holds a shared lock on it, in whichever process; the last one, who
gets it alone, removes it. One that a killed process has left is known by its content, a
folder by its mode, and goes with the next command.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_NOTE = "# Held by turnstone while a command runs, so that the command cannot write here.\n"

#: What a login shell would read if this file were not there is read all the same.
_CHAIN = 'for f in {files}; do if [ -r "$HOME/$f" ]; then . "$HOME/$f"; break; fi; done; unset f\n'

_CONTENT = {
    ".bash_login": _NOTE + _CHAIN.format(files=".profile"),
    ".bash_profile": _NOTE + _CHAIN.format(files=".bash_login .profile"),
    "commondir": ".\n",  # the repository's own folder, to git; it takes no remarks
}

#: Modes. The sticky bit, which means nothing in a folder of one person, marks it as ours.
_FILE, _FOLDER = 0o444, 0o1700

#: How often a placeholder is taken again that another command was about to remove.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Held:
    files: list[Path]
    folders: list[Path]


def is_free(path: Path) -> bool:
    """Whether there is nothing, or only a placeholder."""
    try:
        found = path.lstat().st_mode
        if stat.S_ISDIR(found):
            return stat.S_IMODE(found) == _FOLDER
        return stat.S_ISREG(found) and path.read_bytes() == content(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def content(path: Path) -> bytes:
    """What is in the placeholder for this file."""
    return _CONTENT.get(path.name, _NOTE).encode()


@contextmanager
def held(files: Sequence[Path], folders: Sequence[Path]) -> Iterator[Held]:
    """Make those that are not there; which could be made. All gone afterwards.

    What cannot be made (the disk is read-only, the folder is somebody else's) is left out:
    the command cannot make it either.
    """
    with ExitStack() as stack:
        yield Held(
            [path for path in files if stack.enter_context(_held(path, folder=False))],
            [path for path in folders if stack.enter_context(_held(path, folder=True))],
        )


@contextmanager
def _held(path: Path, *, folder: bool) -> Iterator[bool]:
    with ExitStack() as stack:
        for above in reversed(path.parents):
            if is_free(above):
                stack.enter_context(_held(above, folder=True))
        descriptor = _take(path, folder=folder)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                _leave(path, descriptor, folder=folder)


def _take(path: Path, *, folder: bool) -> int | None:
    """A descriptor with a shared lock on the placeholder, made if it is not there."""
    for _ in range(_TRIES):
        try:
            if path.parent.resolve() != path.parent:
                return None  # by way of a link: not where it seems to be
            _make(path, folder=folder)
            kind = os.O_DIRECTORY if folder else os.O_NONBLOCK
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is(path, descriptor):
                return descriptor
        os.close(descriptor)
    return None


def _make(path: Path, *, folder: bool) -> None:
    """Whole at once, by another name: nobody must find one that is not marked yet."""
    if os.path.lexists(path):
        return
    temporary = path.with_name(f".turnstone-{secrets.token_hex(8)}.tmp")
    if folder:
        temporary.mkdir()
    else:
        temporary.write_bytes(content(path))
    try:
        if os.geteuid() == 0:
            above = path.parent.stat()
            os.chown(temporary, above.st_uid, above.st_gid)
        temporary.chmod(_FOLDER if folder else _FILE)
        if folder:
            temporary.rename(path)  # over nothing, or an empty folder
        else:
            with suppress(FileExistsError):
                os.link(temporary, path)
    finally:
        if folder:
            with suppress(FileNotFoundError):
                temporary.rmdir()
        else:
            temporary.unlink()


def _leave(path: Path, descriptor: int, *, folder: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(path, descriptor) and is_free(path):
            path.rmdir() if folder else path.unlink()
    except OSError:
        pass  # another command holds it, or there is something in it by now
    finally:
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
