"""Browsers that are signed in: a random id in their cookie, and here what it stands for.

Keeps digests only, in a file of its owner's, so that a browser stays signed in when the node
is started anew. An id is no token: it is good in a cookie alone, and ends when its token does.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from turnstone.api.token import check_private
from turnstone.api.token_file import write_private
from turnstone.core.errors import ConfigurationError

log = logging.getLogger(__name__)

#: Seconds for which a browser stays signed in (contract, section 2.3: 30 days).
LIFETIME = 2_592_000

#: Browsers that may be signed in at a time; then whoever signed in first is signed out.
MOST = 1000


class Session(msgspec.Struct, frozen=True):
    """`token`: the digest of the token that it was begun with. `until`: Unix seconds."""

    token: str
    until: float


class Sessions:
    """`path` is where they are kept; None: in memory. `clock` gives Unix seconds."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._open: dict[str, Session] = self._load()

    def begin(self, token: str) -> str:
        """The id of a new session for the token with this digest."""
        new = secrets.token_urlsafe(32)
        now = self._clock()
        self._open = {key: one for key, one in self._open.items() if one.until > now}
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        self._open[_key(new)] = Session(token, now + LIFETIME)
        self._save()
        return new

    def token_of(self, given: str) -> str | None:
        """The digest of the token behind a session that is open."""
        found = self._open.get(_key(given))
        return found.token if found is not None and found.until > self._clock() else None

    def end(self, given: str) -> bool:
        ended = self._open.pop(_key(given), None) is not None
        if ended:
            self._save()
        return ended

    def end_all(self, token: str) -> int:
        """End every session of this token; how many there were."""
        left = {key: one for key, one in self._open.items() if one.token != token}
        ended = len(self._open) - len(left)
        if ended:
            self._open = left
            self._save()
        return ended

    def _load(self) -> dict[str, Session]:
        if self._path is None:
            return {}
        try:
            check_private(self._path, self._path.lstat())
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Session])
        except FileNotFoundError:
            return {}
        except (OSError, ConfigurationError, msgspec.DecodeError) as error:
            log.warning("browsers must sign in again, %s cannot be used: %s", self._path, error)
            return {}

    def _save(self) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._path, msgspec.json.encode(self._open).decode())
        except OSError as error:
            log.warning("browsers must sign in again after a restart: %s", error)


def _key(given: str) -> str:
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()
