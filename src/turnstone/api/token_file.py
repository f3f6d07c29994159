"""Tokens for other people and programs: a file of digests beside the store, and no token in it.

One line a token: `sha256:<hex>`, its role, its name, and when it was made (Unix seconds). Only
the file's owner can read it; who reads it all the same has no token. Never prints a token.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import msgspec

from turnstone.api.endpoints import Role
from turnstone.api.token import TOKEN_BYTES, check_private
from turnstone.core.errors import ConfigurationError

DIGEST_MARK = "sha256:"

#: What records call whoever runs the node; nobody else may be called so.
_TAKEN = ("local", "configured")

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_LINE = re.compile(r"sha256:([0-9a-f]{64}) (read|approve|full) (\S+) ([0-9]+)")


class KnownToken(msgspec.Struct, frozen=True, kw_only=True):
    """`digest`: SHA-256 of the token, in hex."""

    digest: str
    role: Role
    name: str
    created: int


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class TokenFile:
    """The file `tokens` in `state_dir`. It may be missing: then there are no such tokens."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "tokens"
        self._seen: tuple[int, int, int] | None = None
        self._known: list[KnownToken] = []

    def known(self) -> list[KnownToken]:
        """What the file says now; it is read again when it was changed.

        Raises ConfigurationError for a file that others may read, or with a line that is none.
        """
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            self._seen, self._known = None, []
            return self._known
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._seen:
            check_private(self.path, found)
            self._known = [self._parsed(*line) for line in enumerate(self._lines(), 1)]
            self._seen = stamp
        return self._known

    def add(self, name: str, role: Role) -> str:
        """A new token, which is nowhere kept. Raises ConfigurationError for a name that is
        taken, or is none."""
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ConfigurationError(
                f"{name!r} is no name for a token.",
                hint="Use up to 64 letters, digits, and . _ @ -; `local` and `configured` are taken.",
            )
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._locked():
            known = self.known()
            if any(other.name == name for other in known):
                raise ConfigurationError(
                    f"There is a token {name} already.",
                    hint=f"Choose another name, or revoke it: turnstone token revoke {name}",
                )
            made = KnownToken(
                digest=digest_of(token), role=role, name=name, created=int(time.time())
            )
            self._write([*known, made])
        return token

    def revoke(self, name: str) -> None:
        """Raises ConfigurationError if there is no such token."""
        with self._locked():
            known = self.known()
            left = [token for token in known if token.name != name]
            if len(left) == len(known):
                raise ConfigurationError(
                    f"There is no token {name!r}.", hint="turnstone token list shows all."
                )
            self._write(left)

    def _lines(self) -> list[str]:
        return [line for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip()]

    def _parsed(self, number: int, line: str) -> KnownToken:
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ConfigurationError(
                f"Line {number} of {self.path} is no token.",
                hint="Each is: sha256:HEX ROLE NAME TIME. Remove the line, or make the token anew.",
            )
        return KnownToken(
            digest=found[1], role=cast("Role", found[2]), name=found[3], created=int(found[4])
        )

    def _write(self, known: list[KnownToken]) -> None:
        text = "".join(f"{DIGEST_MARK}{t.digest} {t.role} {t.name} {t.created}\n" for t in known)
        write_private(self.path, text)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two commands at once take turns."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self.path.with_name("tokens.lock")
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """The file with this text, whole or as it was, for its owner alone. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
