"""Who is calling, and what they may do: tokens, cookies, one-time login links.

Keeps the digests of tokens, and compares those in constant time. Never writes a token
anywhere. Knows nothing of endpoints; what a role covers is said by `turnstone.api.endpoints`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from turnstone.api.endpoints import Role

COOKIE = "turnstone_auth"

#: Seconds for which a browser stays signed in (contract, section 2.3: 30 days).
COOKIE_LIFETIME = 2_592_000

#: Seconds for which a login link is good: a working day after the program was started.
LINK_LIFETIME = 86_400.0

#: Failures of one client, and in how many seconds, before it has to wait. A person mistypes
#: a few times; a program that guesses is slowed to nothing.
LOGIN_FAILURES = 10
LOGIN_WINDOW = 60.0

#: What the tokens are called that nobody has named: behind them is whoever runs this node.
LOCAL, CONFIGURED = OWN_NAMES = ("local", "configured")

#: Clients remembered; beyond, the one that has been quiet for longest is forgotten.
_CLIENTS = 1024


@dataclass(frozen=True, slots=True)
class Token:
    """A token that this node accepts. `name` is what records say of who used it."""

    value: str = field(repr=False)
    role: Role = "full"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling. `via` is `open` where tokens are switched off."""

    role: Role
    name: str
    via: Literal["bearer", "cookie", "open"]


class Auth:
    """The tokens of one server process. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        tokens: Iterable[Token] = (),
        *,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given = list(tokens)
        self.enabled = enabled
        self.has_tokens = bool(given)
        self.logins = Attempts(LOGIN_FAILURES, LOGIN_WINDOW, clock)
        self._known = [(_digest(token.value.encode()), token) for token in given]
        self._clock = clock
        self._codes: dict[str, tuple[float, Token]] = {}

    def identify(self, headers: Headers) -> Identity | None:
        """Whoever these headers prove to be. A wrong Bearer is not rescued by a cookie."""
        if not self.enabled:
            return Identity("full", "", "open")
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = self._match(value.strip().encode("latin-1"))
            return Identity(token.role, token.name or token.role, "bearer") if token else None
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        found = self.token(unquote(cookie)) or self._match(cookie.encode("latin-1"))
        return Identity(found.role, found.name or found.role, "cookie") if found else None

    def token(self, value: str) -> Token | None:
        """The token that this is."""
        return self._match(value.encode("utf-8", "surrogatepass"))

    def login_code(self) -> str | None:
        """A code that is good for one login, with the first full token; None without one."""
        full = next((token for _, token in self._known if token.role == "full"), None)
        if full is None:
            return None
        code = secrets.token_urlsafe(32)
        self._codes[code] = (self._clock() + LINK_LIFETIME, full)
        return code

    def redeem(self, code: str) -> Token | None:
        """The token behind a code, which is good for nothing after."""
        until, token = self._codes.pop(code, (0.0, None))
        return token if self._clock() < until else None

    def _match(self, value: bytes) -> Token | None:
        digest = _digest(value)
        matching = [token for known, token in self._known if hmac.compare_digest(known, digest)]
        return matching[0] if matching else None


class Attempts:
    """Failures of each client within a window of time, and whether it may try again."""

    def __init__(self, limit: int, window: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._failures: dict[str, deque[float]] = {}

    def may(self, client: str) -> bool:
        failures = self._failures.get(client)
        if failures is None:
            return True
        while failures and failures[0] <= self._clock() - self._window:
            failures.popleft()
        return len(failures) < self._limit

    def failed(self, client: str) -> None:
        failures = self._failures.pop(client, deque(maxlen=self._limit))
        failures.append(self._clock())
        self._failures[client] = failures
        if len(self._failures) > _CLIENTS:
            del self._failures[next(iter(self._failures))]


def set_cookie(response: Response, token: Token, *, secure: bool) -> None:
    response.set_cookie(
        COOKIE,
        quote(token.value, safe=""),
        max_age=COOKIE_LIFETIME,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def clear_cookie(response: Response, *, secure: bool) -> None:
    response.set_cookie(
        COOKIE, "", max_age=0, path="/", secure=secure, httponly=True, samesite="strict"
    )


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
