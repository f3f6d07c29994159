"""An arena for attacks: a workspace, and around it what must stay out of reach."""

from __future__ import annotations

import contextlib
import os
import pty
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support import needs
from support.arena import Arena
from turnstone.core.sandbox import Level, Sandbox
from turnstone.sandbox import Unconfined, find_sandbox


@pytest.fixture
def arena(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    nonce = secrets.token_hex(12)
    workspace, sibling = tmp_path / "ws", tmp_path / "ws-evil"
    hidden = tmp_path / "state"
    for folder in (workspace, sibling, hidden):
        folder.mkdir()
    (tmp_path / "outside").write_text("precious")
    (hidden / "token").write_text(nonce)
    home_secret = Path.home() / ".ssh" / "id_rsa"
    home_secret.parent.mkdir(exist_ok=True)
    home_secret.write_text(nonce)
    beside = Path(__file__).with_name(f".written-{nonce}")
    runtime_socket = tmp_path / "run" / "bus"
    runtime_socket.parent.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_socket.parent))
    victim = subprocess.Popen(["sleep", "1000"], env={"SECRET": nonce, "PATH": os.environ["PATH"]})
    callers: list[str] = []
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_listening(socket.AF_INET, ("127.0.0.1", 0), callers))
        stack.enter_context(_listening(socket.AF_UNIX, str(runtime_socket), callers))
        stack.enter_context(_listening(socket.AF_UNIX, "\0" + nonce, callers))
        stack.enter_context(_listening(socket.AF_UNIX, str(workspace / "service"), callers))
        udp_port = stack.enter_context(_hearing(callers))
        terminal = stack.enter_context(_terminal())
        yield Arena(
            nonce,
            workspace,
            sibling,
            tmp_path / "outside",
            beside,
            home_secret,
            hidden,
            runtime_socket,
            nonce,
            port,
            udp_port,
            terminal,
            victim,
            callers,
        )
    victim.kill()
    victim.wait()
    beside.unlink(missing_ok=True)
    shutil.rmtree(home_secret.parent)


@contextlib.contextmanager
def _listening(family: int, address: object, callers: list[str]) -> Iterator[int]:
    server = socket.socket(family)
    server.bind(address)  # type: ignore[arg-type]
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            callers.append(str(address))
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1] if family == socket.AF_INET else 0
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@contextlib.contextmanager
def _hearing(callers: list[str]) -> Iterator[int]:
    """A port for datagrams; what comes is counted as a call when the block is left, at latest."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while server.recv(100) != b"end":
                callers.append("udp")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.sendto(b"end", server.getsockname())
        thread.join()


@contextlib.contextmanager
def _terminal() -> Iterator[Path]:
    ours, theirs = pty.openpty()
    try:
        yield Path(os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture
async def confined(arena: Arena) -> AsyncIterator[Sandbox]:
    """The sandbox of this machine; without one of level L3 the test ends."""
    needs.require("bwrap")
    sandbox = await find_sandbox(hidden=[arena.hidden])
    if sandbox.confinement.level < Level.L3:
        needs.give_up("; ".join(sandbox.confinement.notes))
    yield sandbox


@pytest.fixture
async def landlocked(arena: Arena) -> AsyncIterator[Sandbox]:
    """The sandbox of level L2; without one the test ends."""
    sandbox = await find_sandbox(hidden=[arena.hidden], levels=[Level.L2])
    if sandbox.confinement.level < Level.L2:
        needs.give_up("; ".join(sandbox.confinement.notes))
    yield sandbox


@pytest.fixture
async def landlocked_alone() -> Sandbox:
    """The same with nothing hidden, for a workspace in which the arena lies."""
    sandbox = await find_sandbox(levels=[Level.L2])
    if sandbox.confinement.level < Level.L2:
        needs.give_up("; ".join(sandbox.confinement.notes))
    return sandbox


@pytest.fixture
def unconfined() -> Sandbox:
    return Unconfined()
