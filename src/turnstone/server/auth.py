"""Who is calling, and what they may do: tokens, cookies, one-time login links.

Keeps the digests of tokens, and compares those in constant time. Never writes a token
anywhere; a browser that is signed in holds a random id, and no token. Knows nothing of
endpoints; what a role covers is said by `turnstone.api.endpoints`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from turnstone.api.endpoints import Role
from turnstone.api.token_file import DIGEST_MARK, KnownToken, TokenFile, digest_of
from turnstone.core.errors import ConfigurationError
from turnstone.server.limits import Attempts
from turnstone.server.login_sessions import LIFETIME, Sessions

log = logging.getLogger(__name__)

COOKIE = "turnstone_auth"

#: Seconds for which a login link is good: a working day after the program was started.
LINK_LIFETIME = 86_400.0

#: Failures of one client, and in how many seconds, before it has to wait. A person mistypes
#: a few times; a program that guesses is slowed to nothing.
LOGIN_FAILURES = 10
LOGIN_WINDOW = 60.0

#: What the tokens are called that nobody has named: behind them is whoever runs this node.
LOCAL, CONFIGURED = OWN_NAMES = ("local", "configured")


@dataclass(frozen=True, slots=True)
class Token:
    """A token that this node accepts: itself, or `sha256:` and its digest in hex. `name` is
    what records say of who used it."""

    value: str = field(repr=False)
    role: Role = "full"
    name: str = ""

    @property
    def digest(self) -> str:
        marked = self.value.startswith(DIGEST_MARK)
        return self.value.removeprefix(DIGEST_MARK) if marked else digest_of(self.value)


@dataclass(frozen=True, slots=True)
class Known:
    """A token without itself."""

    digest: str
    role: Role
    name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling. `via` is `open` where tokens are switched off; `token` is the digest of
    theirs, and `session` what their cookie holds, where that is a session."""

    role: Role
    name: str
    via: Literal["bearer", "cookie", "open"]
    token: str = ""
    session: str = field(default="", repr=False)


class Auth:
    """The tokens of one server process: those given, and those of `file` as it is now.

    `clock` is monotonic, in seconds. Raises ConfigurationError for a `file` that is damaged.
    """

    def __init__(
        self,
        tokens: Iterable[Token] = (),
        *,
        enabled: bool = True,
        file: TokenFile | None = None,
        sessions: Sessions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = [Known(token.digest, token.role, token.name) for token in tokens]
        self._file = file
        self._told = ""  # what is wrong with the file, so that it is logged once
        self.enabled = enabled
        self.has_tokens = bool(self._given) or bool(file is not None and file.known())
        self.logins = Attempts(LOGIN_FAILURES, LOGIN_WINDOW, clock)
        self.sessions = sessions or Sessions()
        self._clock = clock
        self._codes: dict[str, tuple[float, Known]] = {}

    def identify(self, headers: Headers) -> Identity | None:
        """Whoever these headers prove to be. A wrong Bearer is not rescued by a cookie."""
        if not self.enabled:
            return Identity("full", "", "open")
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self.token(_as_sent(value.strip()))
            return _identity(found, "bearer") if found else None
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if not cookie:
            return None
        digest = self.sessions.token_of(cookie)
        if digest is not None:
            found = self._of(digest)
            return _identity(found, "cookie", cookie) if found else None
        # Programs of 0.2 put the token itself there.
        found = self.token(unquote(cookie)) or self.token(_as_sent(cookie))
        return _identity(found, "cookie") if found else None

    def still(self, identity: Identity | None) -> bool:
        """Whether somebody who was let in would be let in again."""
        if identity is None or identity.via == "open":
            return True
        if identity.session and self.sessions.token_of(identity.session) is None:
            return False
        now = self._of(identity.token)
        return now is not None and now.role == identity.role

    def token(self, value: str) -> Known | None:
        """The token that this is."""
        return self._of(digest_of(value))

    def sign_in(self, token: Known) -> str:
        """What the cookie of a browser holds that has shown this token."""
        return self.sessions.begin(token.digest)

    def login_code(self) -> str | None:
        """A code that is good for one login, with the first full token; None without one."""
        full = next((token for token in self._given if token.role == "full"), None)
        if full is None:
            return None
        code = secrets.token_urlsafe(32)
        self._codes[code] = (self._clock() + LINK_LIFETIME, full)
        return code

    def redeem(self, code: str) -> Known | None:
        """The token behind a code, which is good for nothing after."""
        until, token = self._codes.pop(code, (0.0, None))
        return token if self._clock() < until else None

    def _of(self, digest: str) -> Known | None:
        matching = [token for token in self._all() if hmac.compare_digest(token.digest, digest)]
        return matching[0] if matching else None

    def _all(self) -> Iterator[Known]:
        yield from self._given
        for entry in self._filed():
            yield Known(entry.digest, entry.role, entry.name)

    def _filed(self) -> list[KnownToken]:
        """None of them while the file cannot be trusted: better nobody than anybody."""
        if self._file is None:
            return []
        try:
            return self._file.known()
        except (ConfigurationError, OSError, UnicodeDecodeError) as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("no token of %s is accepted: %s", self._file.path, error)
            return []


def _identity(token: Known, via: Literal["bearer", "cookie"], session: str = "") -> Identity:
    return Identity(token.role, token.name or token.role, via, token.digest, session)


def _as_sent(header: str) -> str:
    """Headers are decoded byte by byte; tokens are UTF-8, or compare equal to none."""
    return header.encode("latin-1").decode("utf-8", "surrogateescape")


def set_cookie(response: Response, session: str, *, secure: bool) -> None:
    response.set_cookie(
        COOKIE,
        session,
        max_age=LIFETIME,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def clear_cookie(response: Response, *, secure: bool) -> None:
    response.set_cookie(
        COOKIE, "", max_age=0, path="/", secure=secure, httponly=True, samesite="strict"
    )
