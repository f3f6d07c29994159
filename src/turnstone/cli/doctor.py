"""`turnstone doctor`: what this machine can do for `turnstone up`, and what is in the way.

Looks with the same eyes as a node at its start (the same settings, the same attempts at the
sandbox, the same questions to model and Redis), and repairs nothing. Makes no store that is
a file; a PostgreSQL is opened as a node opens it.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from turnstone import __version__
from turnstone.core.config import Settings
from turnstone.core.endpoint import Endpoint
from turnstone.core.errors import ConfigurationError, TurnstoneError
from turnstone.core.model_setup import in_words
from turnstone.core.node import lock_process
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.store import sqlite_version
from turnstone.sandbox import find_sandbox
from turnstone.wiring import find_model, open_store, store_name, store_url

State: TypeAlias = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. A `problem` keeps a node from starting, or from its work."""

    subject: str
    state: State
    text: str
    details: tuple[str, ...] = ()
    hint: str = ""


#: How to get from one level to the next.
_MORE = {
    Level.L0: (
        "Install bubblewrap, and let ordinary users make namespaces (in a container: a looser "
        "seccomp profile); or use Linux 6.2 or later, whose Landlock gives level L2. Until then"
        " every command is asked."
    ),
    Level.L2: "Install bubblewrap, and let ordinary users make namespaces, for level L3.",
    Level.L3: "",
}

#: Free bytes at the store: fewer are told, and with fewer than the second no turn may end.
_ROOM, _TOO_LITTLE = 1_000_000_000, 50_000_000

#: Program: what goes without it, what to install, and how bad that is.
_PROGRAMS: dict[str, tuple[State, str, str]] = {
    "bash": ("problem", "no command can be run", "bash"),
    "rg": ("warning", "`search` is slower", "ripgrep"),
    "git": ("warning", "commands cannot use version control", "git"),
    "man": ("warning", "the tool `man` has no pages to show", "man-db"),
}


async def examine(load: Callable[[], Settings]) -> list[Finding]:
    """Everything, in the order in which a node would need it. `load` reads the settings."""
    try:
        settings = load()
    except ConfigurationError as error:
        wrong = Finding(subject="settings", state="problem", text=error.message, hint=error.hint)
        return [wrong, _versions(), await _sandbox(), *_programs()]
    found = [_settings(settings), _versions(), await _sandbox(settings), *_programs()]
    found += [_workspace(settings), _disk(settings)]
    for subject, look in (("store", _store), ("model", _model), ("redis", _redis)):
        found += await _told(subject, look, settings)
    return found


async def _told(
    subject: str, look: Callable[[Settings], Awaitable[Finding | None]], settings: Settings
) -> list[Finding]:
    """What was found, an error among it."""
    try:
        finding = await look(settings)
    except TurnstoneError as error:
        finding = Finding(subject=subject, state="problem", text=error.message, hint=error.hint)
    return [finding] if finding else []


def _settings(settings: Settings) -> Finding:
    text = f"read from {settings.file}" if settings.file else "no file; the defaults hold"
    state: State = "warning" if settings.warnings else "ok"
    return Finding(subject="settings", state=state, text=text, details=settings.warnings)


def _versions() -> Finding:
    """Of what a node is made of; what is too old would not have been installed."""
    parts = [
        f"turnstone {__version__}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite_version}",
        platform.platform(terse=True),
    ]
    return Finding(subject="versions", state="ok", text=", ".join(parts))


async def _sandbox(settings: Settings | None = None) -> Finding:
    confinement = (await find_sandbox()).confinement
    return judged(confinement, required=bool(settings and settings.sandbox.required))


def judged(confinement: Confinement, *, required: bool) -> Finding:
    """What a level means. `required`: the settings refuse to start without one."""
    state: State = "ok"
    if confinement.level is Level.L0:
        state = "problem" if required else "warning"
    elif confinement.notes:
        state = "warning"
    return Finding(
        subject="sandbox",
        state=state,
        text=confinement.summary,
        details=confinement.notes,
        hint=_MORE[confinement.level],
    )


def _programs() -> Iterator[Finding]:
    for program, (state, without, package) in _PROGRAMS.items():
        if found := shutil.which(program):
            yield Finding(subject=program, state="ok", text=found)
        else:
            install = f"Install it (Debian, Ubuntu: apt install {package})."
            text = f"not installed: {without}"
            yield Finding(subject=program, state=state, text=text, hint=install)


def _workspace(settings: Settings) -> Finding:
    workspace = settings.tools.workspace.resolve()
    if not workspace.is_dir():
        text, hint = f"{workspace} is not a directory", "Name another with --workspace."
        return Finding(subject="workspace", state="problem", text=text, hint=hint)
    if not os.access(workspace, os.W_OK | os.X_OK):
        text = f"{workspace} cannot be written to"
        return Finding(subject="workspace", state="warning", text=text)
    return Finding(subject="workspace", state="ok", text=str(workspace))


def _disk(settings: Settings) -> Finding:
    """Where the store is: it grows with every turn, and a full disk stops the node."""
    folder = _nearest(settings.store.path.absolute().parent)
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:,.1f} GB free at {folder}"
    if free >= _ROOM:
        return Finding(subject="disk", state="ok", text=text)
    hint = (
        "Make room, put the store elsewhere with --store, or keep less: [session] retention_days."
    )
    state: State = "problem" if free < _TOO_LITTLE else "warning"
    return Finding(subject="disk", state=state, text=text, hint=hint)


async def _store(settings: Settings) -> Finding:
    if store_url(settings):
        lock = lock_process(settings.store.path)
        try:
            await (await open_store(settings, lock)).aclose()
        finally:
            lock.release()
        return Finding(subject="store", state="ok", text=f"{store_name(settings)} answers")
    path = settings.store.path.absolute()
    if path.exists() and not path.is_file():
        wrong = f"{path} is not a file"
    elif path.exists() and not os.access(path, os.W_OK):
        wrong = f"{path} cannot be written to"
    elif not _takes_files(_nearest(path.parent)):
        wrong = f"{path.parent} cannot be written to, and its journal lies beside the store"
    else:
        text = f"{path} can be written to" if path.exists() else f"{path} can be made"
        return Finding(subject="store", state="ok", text=text)
    hint = "Give this user the right to, or name another with --store."
    return Finding(subject="store", state="problem", text=wrong, hint=hint)


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made there: tried, since rights alone do not tell, as in /proc."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


async def _model(settings: Settings) -> Finding:
    endpoint = await find_model(settings, or_practice=True)
    await endpoint.transport.aclose()
    if endpoint.practice and settings.model.name != "practice":
        hint = "Name one with --base-url or [api] base_url."
        text = "none was named, and none was found on this machine; `up` starts with practice"
        return Finding(subject="model", state="warning", text=text, hint=hint)
    declared = settings.model.context_window if settings.given("model.context_window") else 0
    told = in_words(endpoint, declared, "--context-window")
    state: State = "warning" if _window_is_unknown(endpoint, declared) else "ok"
    return Finding(subject="model", state=state, text=told)


def _window_is_unknown(endpoint: Endpoint, declared: int) -> bool:
    return not (endpoint.practice or endpoint.away or declared) and endpoint.window is None


async def _redis(settings: Settings) -> Finding | None:
    """Where it is used: by the server itself, or by a bridge that these settings are for too."""
    if not (settings.server.queue or settings.given("redis.host")):
        return None
    from turnstone.mq.check import look
    from turnstone.mq.keys import Keys
    from turnstone.mq.worker_start import redis_address

    address = redis_address(settings)
    await look(address, Keys(settings.redis.prefix))
    return Finding(subject="redis", state="ok", text=f"{address} answers, and can keep a queue")


def is_well(found: list[Finding]) -> bool:
    return all(finding.state != "problem" for finding in found)


def as_text(found: list[Finding]) -> str:
    """A line each, and under it what belongs to it."""
    lines: list[str] = []
    for finding in found:
        lines.append(f"{finding.state:<8} {finding.subject:<10} {finding.text}")
        more = [*finding.details, *([finding.hint] if finding.hint else [])]
        lines += [f"{'':<19} {line}" for line in more]
    return "\n".join(lines)


def as_json(found: list[Finding]) -> str:
    return msgspec.json.encode({"ok": is_well(found), "findings": found}).decode()
