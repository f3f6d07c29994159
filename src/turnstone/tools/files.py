"""Opens and replaces files so that nobody can swap a link in between check and use.

Every step from the root down opens one name relative to the folder opened before it, and
refuses a link (O_NOFOLLOW). It never opens a path as a whole, and never follows anything:
the paths it is given are resolved. Works on every POSIX system, and needs no new kernel.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The digest of a file that is not there.
ABSENT = "absent"

#: A folder to pass through needs no right to list it, where the system can say so.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: O_NONBLOCK: opening a FIFO must not wait for somebody to write into it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: Bytes of one read while a file is hashed.
_CHUNK = 1024 * 1024

_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


#: Bytes of a file that can be edited: it is held in memory a few times meanwhile.
MAX_EDITED = 64 * 1024 * 1024

#: Seconds to wait for whoever is replacing a file in the same folder, and between two looks.
_PATIENCE, _PAUSE = 10.0, 0.005

#: One of them is held while a file is replaced: which one is said by its folder.
_HELD = tuple(threading.Lock() for _ in range(61))


class NotAFile(OSError):
    """There is something else than a regular file."""


class Changed(Exception):
    """The file is not what it was when the call was prepared."""


def root_for(path: Path, workspace: Path) -> Path:
    """The folder whose descriptor the way to `path` starts from."""
    return workspace if path.is_relative_to(workspace) else Path("/")


def reason(error: OSError) -> str:
    """Why a file cannot be used, to be put after its name."""
    match error.errno:
        case errno.ENOENT:
            return "does not exist"
        case errno.ENOTDIR:
            return "lies below something that is no directory, or is a link out of reach"
        case errno.ELOOP:
            return "is a link that leads nowhere"
        case errno.EACCES | errno.EPERM:
            return "may not be accessed by this user"
        case errno.ENXIO | errno.EOPNOTSUPP:
            return "is a socket or a device"
        case errno.EWOULDBLOCK:
            return "lies in a folder that another process keeps locked"
        case _:
            return f"cannot be used ({error.strerror})" if error.strerror else str(error)


@contextmanager
def reading(root: Path, path: Path) -> Iterator[int]:
    """A descriptor of the regular file `path`, below the folder `root`.

    Raises FileNotFoundError, NotAFile, or another OSError.
    """
    with folder(root, path.parent) as parent, opened(parent, path.name) as descriptor:
        yield descriptor


@contextmanager
def opened(parent: int, name: str) -> Iterator[int]:
    """The same in a folder that is open already, as `folder` gives it. Raises as `reading`."""
    descriptor = _open_file(parent, name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder(root: Path, path: Path, *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder `path`, at or below `root`; with `create`, made if missing."""
    if root not in (path, *path.parents):
        raise NotAFile("is a directory: the workspace itself, or above it")
    current = os.open(root, _PASS)
    try:
        for name in path.relative_to(root).parts:
            following = _step(current, name, create=create)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def digest(root: Path, path: Path) -> str:
    """SHA-256 of the file's content in hexadecimal, or ABSENT. Raises OSError."""
    try:
        with folder(root, path.parent) as parent:
            return _digest(parent, path.name)
    except FileNotFoundError:
        return ABSENT


def content(root: Path, path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """The content of a regular file, and what the system says of it.

    Raises NotAFile if it has more than `most` bytes; or another OSError.
    """
    with reading(root, path) as descriptor:
        found = os.fstat(descriptor)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1) if found.st_size <= most else b""
        if max(found.st_size, len(data)) > most:
            raise NotAFile(f"has {found.st_size:,} bytes, more than {most:,}")
        return data, found


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def replace(root: Path, path: Path, data: bytes, *, expects: str) -> None:
    """Give the file `path` this content, whole or not at all; its mode stays as it was.

    Another name of the same file (a hard link) keeps the old content. Two at once go one after
    the other. Raises Changed if the
    old content is not the one that `expects` is the digest of; OSError if it cannot be done.
    """
    with folder(root, path.parent, create=True) as parent, _alone(parent):
        if _digest(parent, path.name) != expects:
            raise Changed
        old = None if expects == ABSENT else os.lstat(path.name, dir_fd=parent)
        # Always the same name for the same change: what a killed process left of it goes when
        # it is made after all.
        temporary = f".turnstone-{digest_of(data + os.fsencode(path.name))[:16]}.tmp"
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        descriptor = os.open(temporary, _MAKE, 0o600 if old else 0o666, dir_fd=parent)
        try:
            _fill(descriptor, data, old or os.fstat(parent), keep_mode=old is not None)
            os.rename(temporary, path.name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            os.unlink(temporary, dir_fd=parent)
            raise
        _sync_folder(parent)


@contextmanager
def _alone(parent: int) -> Iterator[None]:
    """Nobody else of ours replaces a file in this folder meanwhile: no thread, no process.

    Between processes that holds where the folder may be listed, and its file system has locks.
    """
    found = os.fstat(parent)
    with _HELD[hash((found.st_dev, found.st_ino)) % len(_HELD)]:
        try:
            listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        except PermissionError:
            yield
            return
        try:
            _lock(listed)
            yield
        finally:
            os.close(listed)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        except OSError:  # a file system without locks
            return
        else:
            return


def _open_file(parent: int, name: str) -> int:
    descriptor = os.open(name or ".", _READ, dir_fd=parent)
    try:
        mode = os.fstat(descriptor).st_mode
        for is_kind, words in _KINDS:
            if is_kind(mode):
                raise NotAFile(words)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _step(current: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=current)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(name, dir_fd=current)
    except FileExistsError:
        pass  # somebody else was faster; what it is shows when it is opened
    following = os.open(name, _PASS, dir_fd=current)
    if os.geteuid() == 0:
        # In the workspace of an ordinary user, what root makes is that user's.
        above = os.fstat(current)
        os.chown(name, above.st_uid, above.st_gid, dir_fd=current, follow_symlinks=False)
    return following


def _digest(parent: int, name: str) -> str:
    try:
        descriptor = _open_file(parent, name)
    except FileNotFoundError:
        return ABSENT
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        sum_ = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            sum_.update(chunk)
        return sum_.hexdigest()


def _fill(descriptor: int, data: bytes, model: os.stat_result, *, keep_mode: bool) -> None:
    """Write, give to the owner of `model`, sync, close."""
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        if os.geteuid() == 0:
            os.fchown(descriptor, model.st_uid, model.st_gid)
        if keep_mode:
            os.fchmod(descriptor, stat.S_IMODE(model.st_mode))
        os.fsync(descriptor)


def _sync_folder(parent: int) -> None:
    """Make the new name last; a descriptor to pass through cannot be synced itself."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
