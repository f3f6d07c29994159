"""Who this process is, and the proof that it lives: a lock on a file, gone with the process.

Servers keep their id across restarts, next to their store; every other process makes one up.
Two processes never hold one id at the same time.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from turnstone.core.errors import StoreError

#: The file that keeps a server's id, and (with `.lock`) its lock.
_SERVER = "server"

#: How often it is tried to take a lock that is held, and at which distance in seconds.
_LOOKS, _LOOK = 20, 0.02


class NodeLock:
    """This process's hold on a node id. Keep it as long as the process writes to the store."""

    def __init__(self, node_id: str, store: Path, descriptor: int, *, serves: bool) -> None:
        self.node_id = node_id
        self.serves = serves  # the server of its store, and not just a process on it
        self.former: tuple[str, ...] = ()  # ids it had before, whose workstreams it has still
        # For a store that other machines use too: whether a process on any of them lives.
        self.elsewhere: Callable[[str], Awaitable[bool]] | None = None
        # The id of that store, and whether a process of a node holds its lock there just now.
        self.store_id = ""
        self.holds: Callable[[str], Awaitable[bool]] | None = None
        self._store = store
        self._descriptor = descriptor

    async def lives(self, node_id: str) -> bool:
        """Whether another process on the same store lives. Raises StoreError."""
        if self.elsewhere is not None and await self.elsewhere(node_id):
            return True
        return lives(self._store, node_id)

    def adopted(self) -> None:
        """The workstreams of the former ids are this one's now. Raises StoreError."""
        folder = _folder(self._store)
        with _explained(folder):
            _keep(folder / _SERVER, self.node_id)
        self.former = ()

    def release(self) -> None:
        """Let go. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock_server(store: Path, wanted: str = "") -> NodeLock:
    """Be the server of this store, under the id it has always had (or `wanted`).

    Raises StoreError if another process is: the message says which.
    """
    folder = _folder(store)
    keeper = folder / _SERVER
    with _explained(folder):
        node_id = wanted or next(iter(_read(keeper)), "") or _made_up()
        lock = _lock(folder, _SERVER, node_id, store)
        known = _read(keeper)
        # Kept until they are `adopted`: it may be another process that comes to do that.
        lock.former = tuple(one for one in known if one != node_id)
        if known[:1] != [node_id]:
            _keep(keeper, node_id, *lock.former)
        return lock


def lock_process(store: Path) -> NodeLock:
    """Be a process of one's own on this store: a terminal, a tool."""
    folder = _folder(store)
    node_id = _made_up()
    with _explained(folder):
        return _lock(folder, node_id, node_id, store)


def lives(store: Path, node_id: str) -> bool:
    """Whether the process that has this node id lives. Raises StoreError."""
    folder = _folder(store)
    with _explained(folder):
        name = _SERVER if [node_id] == _read(folder / _SERVER)[:1] else node_id
        try:
            descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who ask at the same time do not take each other for it.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _lock(folder: Path, name: str, node_id: str, store: Path) -> NodeLock:
    path = folder / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _flock(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise StoreError(
            f"The store {store} is served by another turnstone process already"
            f"{f' (process {holder})' if holder else ''}.",
            hint="Use that one, stop it, or name another store with --store.",
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return NodeLock(node_id, store, descriptor, serves=name == _SERVER)


def _flock(descriptor: int) -> None:
    """Raises BlockingIOError where another process holds it, and not just for a moment more:
    one that was killed while it started a command does so through the child that has not yet
    become that command.
    """
    for _ in range(_LOOKS):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOOK)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _folder(store: Path) -> Path:
    if not store.name:
        raise StoreError(f"The store {store} is a folder.", hint="Name a file with --store.")
    folder = store.with_name(f"{store.name}.nodes")
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The folder {folder} beside the store cannot be written: {error.strerror}.",
            hint="Make room or change its permissions, or name another place with --store.",
        ) from error


def _read(keeper: Path) -> list[str]:
    """The server's id, and those it had before."""
    try:
        return [one for one in keeper.read_text(encoding="utf-8").splitlines() if one]
    except FileNotFoundError:
        return []


def _keep(keeper: Path, *ids: str) -> None:
    """Whole or not at all: a server that has forgotten its id has lost its workstreams."""
    draft = keeper.with_name(f"{keeper.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write("\n".join(ids))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(keeper)


def _made_up() -> str:
    """`<hostname>_<4 hex>`, the form of the wire (contract, section 0.1)."""
    host = socket.gethostname()
    return (
        f"{host}_{secrets.token_hex(2)}" if host and host != "localhost" else secrets.token_hex(6)
    )
