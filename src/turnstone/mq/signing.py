"""Signed messages: who holds a shared secret may give orders, and whoever else writes into Redis
may not.

What is signed are the bytes of a message as they are sent, without its last field, `signature`:
so that no two programs need to agree on how JSON is spelled. It hides nothing, and keeps nobody
from removing a message, holding it back, or writing into the queue's own names. Pure but for the
time, which is passed in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from turnstone.core.errors import ConfigurationError
from turnstone.mq.keys import CID_TTL

Role: TypeAlias = Literal["read", "approve", "full"]

#: What each role may send; `full` may send everything. As the roles of tokens are for a node.
_READ = frozenset({"list_workstreams", "health", "list_nodes", "list_timers"})
_MAY = {"read": _READ, "approve": _READ | {"approve", "plan_feedback", "cancel"}}

#: Characters of a secret at least: fewer can be guessed.
SHORTEST = 16

#: Seconds by which the clock of a sender may be ahead.
AHEAD = 600.0

#: Seconds for which a signed message may wait: less than its id is remembered, by what its sender's
#: clock may be ahead, and the clocks of two nodes apart. So a copy of it, kept and sent later, is
#: either known as one or too old.
OLDEST = CID_TTL - AHEAD - 3_000.0

#: The word in a file of secrets that lets what is signed permit calls beforehand.
AUTO_APPROVE = "auto_approve"

_SIGNATURE = re.compile(
    rb',[ \t\r\n]*"signature"[ \t\r\n]*:[ \t\r\n]*"([0-9a-f]{64})"[ \t\r\n]*\}\s*\Z'
)


class Untrusted(ValueError):
    """A message that is not signed, or not by somebody who may send it; its text says why."""


@dataclass(frozen=True)
class Key:
    """A secret, and what may be sent under it."""

    secret: bytes
    role: Role = "full"
    auto_approve: bool = True

    @property
    def key_id(self) -> str:
        """By which a message says which secret it is signed with; it tells nothing of that."""
        return hmac.new(self.secret, b"turnstone key", hashlib.sha256).hexdigest()[:8]

    def signature(self, body: bytes) -> str:
        return hmac.new(self.secret, body, hashlib.sha256).hexdigest()

    def may_send(self, kind: str) -> bool:
        return self.role == "full" or kind in _MAY[self.role]

    def __repr__(self) -> str:
        return f"Key({self.key_id}, {self.role}, auto_approve={self.auto_approve})"


class Keyring:
    """The secrets of one program. The first one signs; what is signed with any is taken. With the
    `prefix` of a queue it signs for that one, and takes nothing that was signed for another."""

    def __init__(self, keys: Iterable[Key], prefix: str = "") -> None:
        self._keys = {key.key_id: key for key in keys}
        self._first = next(iter(self._keys.values()))
        self._prefix = prefix

    def of(self, prefix: str) -> Keyring:
        """The same secrets for one queue."""
        return Keyring(self._keys.values(), prefix)

    @property
    def first(self) -> Key:
        """The one that signs."""
        return self._first

    def signed(self, message: bytes, now: float | None = None) -> bytes:
        """The JSON object with `key_id`, the `prefix` of its queue and, as its last field,
        `signature`. With `now` it says that it was written then."""
        data = json.loads(message)
        data.pop("signature", None)
        data |= {"prefix": self._prefix} if self._prefix else {}
        data |= {"key_id": self._first.key_id} | ({} if now is None else {"timestamp": now})
        body = json.dumps(data, ensure_ascii=False).encode()
        return body[:-1] + f', "signature": "{self._first.signature(body)}"}}'.encode()

    def signer(self, raw: bytes) -> Key:
        """The key that these bytes are signed with. Raises Untrusted."""
        data = _object(raw)
        found = _SIGNATURE.search(raw)
        if "signature" not in data:
            raise Untrusted("The message is not signed, and this node takes signed ones only.")
        if found is None:
            raise Untrusted(
                "The message's signature must be its last field, of 64 lower-case hex digits."
            )
        key = self._keys.get(str(data.get("key_id")))
        if key is None:
            raise Untrusted("The message is signed with a secret that this node does not have.")
        if not hmac.compare_digest(key.signature(raw[: found.start()] + b"}"), found[1].decode()):
            raise Untrusted("The message is not as it was when it was signed, or it never was.")
        # A program of an earlier version does not say for which queue it signs.
        if self._prefix and data.get("prefix", self._prefix) != self._prefix:
            raise Untrusted("The message was signed for the queue of another prefix.")
        return key

    def sender(self, raw: bytes, now: float) -> Key:
        """The key of a message that may be carried out at `now`. Raises Untrusted."""
        key, data = self.signer(raw), _object(raw)
        if not data.get("correlation_id"):
            raise Untrusted(
                "A signed message needs a correlation_id, by which a copy of it is known."
            )
        written = data.get("timestamp")
        if isinstance(written, bool) or not isinstance(written, int | float):
            raise Untrusted("A signed message needs a timestamp, in Unix seconds.")
        if written < now - OLDEST:
            raise Untrusted(
                f"The message was signed more than {OLDEST / 3_600:.0f} hours ago: it may be a copy"
                " of one that is not remembered any more. Sign it anew."
            )
        if written > now + AHEAD:
            raise Untrusted("The message was signed in the future: look at the sender's clock.")
        kind = str(data.get("type"))
        if not key.may_send(kind):
            raise Untrusted(
                f"The secret that the message is signed with may not send messages of type {kind}:"
                f" its role is {key.role}."
            )
        return key


def keyring(secret: str, lines: str = "", where: str = "signing_file") -> Keyring | None:
    """The secrets of a setting and of a file, the setting's first; None where there is none.

    `lines`: a secret on each, behind it perhaps its role (`full` where there is none) and, for
    secrets of the role `full`, `auto_approve`; a secret by itself has all rights. Empty lines and
    those that begin with `#` say nothing. Raises ConfigurationError, which names no secret.
    """
    keys = [_key([secret.strip()], "signing_secret")] if secret.strip() else []
    for number, line in enumerate(lines.splitlines(), start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            keys.append(_key(words, f"{where}, line {number}"))
    return Keyring(keys) if keys else None


def keyring_in(secret: str, path: str) -> Keyring | None:
    """The same, with the file read. Raises ConfigurationError for one that cannot be."""
    if not path:
        return keyring(secret)
    file = Path(path).expanduser()
    try:
        lines, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"The signing_file {file} cannot be read: {why}.") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"Others on this machine can read {file}, which holds secrets.",
            hint=f"Make it yours alone: chmod 600 {file}",
        )
    found = keyring(secret, lines, str(file))
    if found is None:
        raise ConfigurationError(f"The signing_file {file} has no secret in it.")
    return found


def _key(words: list[str], where: str) -> Key:
    secret, role, *more = [*words, "full"] if len(words) == 1 else words
    if len(secret.encode()) < SHORTEST:
        raise ConfigurationError(
            f"{where}: the secret has fewer than {SHORTEST} characters, and could be guessed.",
            hint="Make one with: openssl rand -hex 32",
        )
    if role not in get_args(Role) or more not in ([], [AUTO_APPROVE]):
        raise ConfigurationError(
            f"{where}: behind the secret come its role (read, approve or full) and, perhaps,"
            f" {AUTO_APPROVE}.",
        )
    if more and role != "full":
        raise ConfigurationError(f"{where}: {AUTO_APPROVE} is for secrets of the role full.")
    permits = len(words) == 1 or bool(more)
    return Key(secret.encode(), cast("Role", role), permits)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Untrusted("The message is no JSON object.")
    return data
