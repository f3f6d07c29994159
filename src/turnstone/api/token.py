"""The token of this machine: a file that only its owner can read, made at the first start.

Whoever can read it may do everything that the node can. It is never logged, and never sent
anywhere but to the node.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from turnstone.core.errors import ConfigurationError

#: Bytes of chance in a token. No guessing reaches 256 bits.
TOKEN_BYTES = 32

#: More than any token has; a longer file is something else.
_LONGEST = 4096

_NAME = "token"


def token_path(state_dir: Path) -> Path:
    return state_dir / _NAME


def make_token(state_dir: Path) -> str:
    """The token kept in `state_dir`: the one that is there, or a new one.

    Two programs that start at once get the same. Raises ConfigurationError if the file is
    open to others, is damaged, or cannot be written.
    """
    found = find_token(state_dir)
    if found is not None:
        return found
    path = token_path(state_dir)
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_new(path, secrets.token_urlsafe(TOKEN_BYTES))
    except OSError as error:
        raise ConfigurationError(
            f"The token file {path} cannot be made: {error.strerror}.",
            hint="Make its folder writable for you, or set TURNSTONE_AUTH_TOKEN.",
        ) from error
    made = find_token(state_dir)
    if made is None:
        raise ConfigurationError(f"The token file {path} vanished while it was made.")
    return made


def find_token(state_dir: Path) -> str | None:
    """The token kept in `state_dir`; None if none was made yet.

    Raises ConfigurationError for a file that others may read, that is not ours, or is damaged.
    """
    path = token_path(state_dir)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"The token file {path} cannot be read: {error.strerror}.",
            hint="It must be a plain file of yours; remove it, and the next start makes a new one.",
        ) from error
    try:
        check_private(path, os.fstat(descriptor))
        token = os.read(descriptor, _LONGEST).strip()
    finally:
        os.close(descriptor)
    if not token or not token.isascii() or not token.decode("ascii").isprintable():
        raise ConfigurationError(
            f"The token file {path} holds no token.",
            hint="Remove it; the next start of turnstone-server makes a new one.",
        )
    return token.decode("ascii")


def check_private(path: Path, found: os.stat_result) -> None:
    """Raises ConfigurationError unless this is a plain file of ours that nobody else can read."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"The token file {path} is not a plain file.", hint="Remove it.")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"The token file {path} belongs to another user.",
            hint="Remove it, or run as the user who owns it.",
        )
    if found.st_mode & 0o077:
        raise ConfigurationError(
            f"The token file {path} can be read by others (mode {found.st_mode & 0o777:04o}).",
            hint=f"Run: chmod 600 {path} - and remove it instead, if others may have read it.",
        )


def _write_new(path: Path, token: str) -> None:
    """Whole or not at all; a file that came to be meanwhile is left as it is."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
