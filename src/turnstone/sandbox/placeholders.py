"""Files and folders that are there while a command runs, so that it cannot make them.

What starts by itself (`~/.bash_profile`) must not be made by a command, and what is not there
cannot be mounted over. So it is made beforehand, with a content that does nothing, and removed
afterwards. Never touches what somebody else has made, and never follows a link: other commands
may be writing in the same folders meanwhile.

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

#: A folder to pass through needs no right to list it.
_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: O_NONBLOCK: opening a FIFO must not wait for somebody to write into it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Held:
    files: list[Path]
    folders: list[Path]


def is_free(path: Path) -> bool:
    """Whether there is nothing, or only a placeholder. Reads no more than a placeholder has."""
    try:
        with _parent(path) as parent:
            found = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return stat.S_IMODE(found.st_mode) == _FOLDER
            if not stat.S_ISREG(found.st_mode) or found.st_size != len(content(path)):
                return False
            with _opened(path.name, parent) as descriptor:
                return _is_ours(descriptor, path)
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
        try:
            parent = stack.enter_context(_parent(path))
        except OSError:  # gone, or by way of a link: not where it seems to be
            yield False
            return
        descriptor = _take(path, parent, folder=folder)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                _leave(path, parent, descriptor, folder=folder)


@contextmanager
def _parent(path: Path) -> Iterator[int]:
    """A descriptor of the folder that `path` is in, by a way without links. Raises OSError."""
    current = os.open("/", _PASS)
    try:
        for name in path.parent.parts[1:]:
            following = os.open(name, _PASS, dir_fd=current)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


@contextmanager
def _opened(name: str, parent: int, kind: int = 0) -> Iterator[int]:
    descriptor = os.open(name, _READ | kind, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(path: Path, parent: int, *, folder: bool) -> int | None:
    """A descriptor with a shared lock on the placeholder, made if it is not there."""
    for _ in range(_TRIES):
        try:
            if not _is_there(path.name, parent):
                _make_folder(path.name, parent) if folder else _make_file(path, parent)
            kind = os.O_DIRECTORY if folder else 0
            descriptor = os.open(path.name, _READ | kind, dir_fd=parent)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _is(path.name, parent, descriptor):
                return descriptor
        os.close(descriptor)
    return None


def _make_file(path: Path, parent: int) -> None:
    """Whole at once, by another name: nobody must find one that is not marked yet.

    What gets the name is the file that the descriptor stands for, whatever has been put in the
    place of the other name meanwhile.
    """
    temporary = _other_name()
    descriptor = os.open(temporary, _MAKE, 0o600, dir_fd=parent)
    try:
        os.write(descriptor, content(path))
        _give(descriptor, parent, _FILE)
        with suppress(FileExistsError):
            os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=parent)
    finally:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        os.close(descriptor)


def _make_folder(name: str, parent: int) -> None:
    """A folder has no second name: that it is ours is seen by its owner, mode and emptiness.

    Raises OSError if something else is in its place by now.
    """
    temporary = _other_name()
    os.mkdir(temporary, 0o700, dir_fd=parent)
    try:
        with _opened(temporary, parent, os.O_DIRECTORY) as descriptor:
            found = os.fstat(descriptor)
            new = found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o777 == 0o700
            if not new or os.listdir(descriptor):
                raise NotADirectoryError
            _give(descriptor, parent, _FOLDER)
            # Over nothing, or an empty folder.
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        with suppress(OSError):
            os.rmdir(temporary, dir_fd=parent)


def _other_name() -> str:
    return f".turnstone-{secrets.token_hex(8)}.tmp"


def _give(descriptor: int, parent: int, mode: int) -> None:
    """To whom the folder belongs, where we are root. The mode last: an owner may change it."""
    if os.geteuid() == 0:
        above = os.fstat(parent)
        os.fchown(descriptor, above.st_uid, above.st_gid)
    os.fchmod(descriptor, mode)


def _leave(path: Path, parent: int, descriptor: int, *, folder: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(path.name, parent, descriptor) and _is_ours(descriptor, path):
            if folder:
                os.rmdir(path.name, dir_fd=parent)
            else:
                os.unlink(path.name, dir_fd=parent)
    except OSError:
        pass  # another command holds it, or there is something in it by now
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Whether the file or folder that is open is a placeholder for `path`."""
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        return stat.S_IMODE(found.st_mode) == _FOLDER
    expected = content(path)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == len(expected)
        and os.pread(descriptor, len(expected) + 1, 0) == expected
    )


def _is_there(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is(name: str, parent: int, descriptor: int) -> bool:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
