"""The ASGI app around a Host: who may, what is read, and errors in one shape.

The order in which a request is judged: the name it was made to, path and method, the page it
was made by, its token, the role of that, its body. Knows nothing of how the node works.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from turnstone.api.endpoints import ENDPOINTS, Endpoint, covers
from turnstone.api.problems import (
    BadRequest,
    ForeignHost,
    InternalError,
    TooManyRequests,
    UnknownPath,
    WrongMethod,
)
from turnstone.core.config import Settings
from turnstone.core.errors import NodeUnavailable, NotAuthenticated, NotPermitted, TurnstoneError
from turnstone.core.host import Host
from turnstone.core.logs import about_also
from turnstone.core.metrics import Metrics
from turnstone.server import (
    routes,
    routes_budget,
    routes_conversation,
    routes_docs,
    routes_entry,
    routes_events,
    routes_sessions,
    routes_settings,
    routes_timers,
)
from turnstone.server.audit import Audit
from turnstone.server.auth import Auth, Identity
from turnstone.server.compression import packing
from turnstone.server.connection import MAX_HEAD, head_too_long
from turnstone.server.figures import ENDPOINT, Requests
from turnstone.server.guard import AllowedHosts, check_origin, secured
from turnstone.server.idempotency import Answers, read_key, with_key
from turnstone.server.limits import Attempts, Rates
from turnstone.server.proxies import Proxies
from turnstone.server.request_ids import with_ids
from turnstone.server.requests import MAX_BODY, read_body, unread
from turnstone.server.routes import Call, Handler, Node, refusal
from turnstone.server.sse import KEEPALIVE

#: Seconds before a stream is refused to a client that was refused one a moment ago. Readers
#: of 0.2 come back at once, some 700 times a second (contract, section 0.2).
REFUSAL_DELAY = 2.0

#: What answers each row of the endpoint table.
HANDLERS = {
    **routes.HANDLERS,
    **routes_budget.HANDLERS,
    **routes_timers.HANDLERS,
    **routes_conversation.HANDLERS,
    **routes_docs.HANDLERS,
    **routes_entry.HANDLERS,
    **routes_events.HANDLERS,
    **routes_sessions.HANDLERS,
    **routes_settings.HANDLERS,
}

#: Seconds that count as a moment ago: more than the delay, so that who goes on stays slow.
_REFUSAL_WINDOW = 10.0


class NodeApp:
    """An ASGI app. Serve it with `turnstone.server.run.serve`: streams write to its connections.

    `allowed_hosts` are names under which it is reached besides loopback and the address it
    listens on. `refusal_delay` and `keepalive` are in seconds. `metrics` gets the figures of
    this server; `public` names rows of the endpoint table that need no token here.
    `settings` are those that the program was started with, to be shown. `rate_limit`: requests
    of one token in a minute, 0 for any number; `anonymous_rate_limit`: of one address, where
    there is no token that the node knows. `trusted_proxies`: addresses and networks.
    `audit`: where changes are recorded.
    """

    def __init__(
        self,
        host: Host,
        auth: Auth,
        *,
        allowed_hosts: Iterable[str] = (),
        refusal_delay: float = REFUSAL_DELAY,
        keepalive: float = KEEPALIVE,
        metrics: Metrics | None = None,
        public: Collection[str] = (),
        settings: Settings | None = None,
        trusted_proxies: Iterable[str] = (),
        rate_limit: int = 0,
        anonymous_rate_limit: int = 0,
        audit: Audit | None = None,
    ) -> None:
        self.auth = auth
        self.hosts = AllowedHosts(allowed_hosts)
        self._node = Node(host, auth, keepalive, metrics=metrics or Metrics(), settings=settings)
        self._refusals = _Refusals(refusal_delay, self._node.closing)
        self._proxies = Proxies(trusted_proxies)
        self._rates = Rates(rate_limit)
        self._strangers = Rates(anonymous_rate_limit)
        self._answers = Answers()
        self._audit = audit or Audit()
        self._node.metrics.add(self._audit.samples)
        self._requests = Requests(host)
        self._node.metrics.add(self._requests.samples)
        self._public = frozenset(public)
        self._app = with_ids(secured(self._requests.counting(packing(self._routed()))))

    def login_link(self, base_url: str) -> str:
        """A link that signs one browser in, once. Without tokens: just the page."""
        code = self.auth.login_code() if self.auth.enabled else None
        return f"{base_url}/login?code={code}" if code else f"{base_url}/"

    def drain(self) -> None:
        """End every stream; their readers come back to whoever serves next. What is asked from
        now on is refused, and what is being answered is answered."""
        self._node.closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(self._proxies.seen_through(scope), receive, send)

    def _routed(self) -> ASGIApp:
        routes = [
            Route(
                endpoint.path.replace("{path}", "{path:path}"),
                self._answering(endpoint, HANDLERS[endpoint.name]),
                methods=[endpoint.method],
                name=endpoint.name,
            )
            for endpoint in ENDPOINTS
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: _http_error,
                TurnstoneError: _told,
                ClientDisconnect: _left,
                Exception: _broken,
            },
        )
        app.router.redirect_slashes = False

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            target: ASGIApp = app
            try:
                _check_head(scope)
                self.hosts.check(Headers(scope=scope))
                if self._node.closing.is_set():
                    raise NodeUnavailable(
                        "The node is stopping.", hint="Try again when it has been started anew."
                    )
            except (BadRequest, ForeignHost, NodeUnavailable) as error:
                target = refusal(error)
            await target(scope, receive, send)

        return checked

    def _answering(
        self, endpoint: Endpoint, handler: Handler
    ) -> Callable[[Request], Awaitable[ASGIApp]]:
        async def answering(request: Request) -> ASGIApp:
            request.scope[ENDPOINT] = endpoint
            if endpoint.role != "public" or endpoint.method != "GET":
                check_origin(request.headers)
            identity = self.auth.identify(request.headers)
            try:
                if endpoint.name not in self._public:
                    _permit(endpoint, identity)
            except NotAuthenticated:
                if endpoint.stream:
                    await self._refusals.pace(request)
                self._count(request, None)
                raise
            self._count(request, identity)
            key = read_key(request.headers.get("idempotency-key")) if endpoint.idempotency else ""
            body = None
            if endpoint.request is not None:
                limit = endpoint.max_body or MAX_BODY
                body = await read_body(request, endpoint.request, identity, limit)
            if key and body is not None and endpoint.idempotency != "kept":
                body = with_key(body, endpoint.idempotency, key)
            call = Call(request, identity, body)
            about_also(**call.names)
            if key and body is not None and endpoint.idempotency == "kept":
                return await self._answers.once(
                    (identity.token if identity else "", endpoint.name, key),
                    body,
                    lambda: self._audit.recorded(endpoint, self._node, call, handler),
                )
            return await self._audit.recorded(endpoint, self._node, call, handler)

        return answering

    def _count(self, request: Request, identity: Identity | None) -> None:
        """Raises TooManyRequests."""
        if identity is None:
            who, setting = "This address, without a token,", "anonymous_rate_limit"
            wait = self._strangers.wait(request.client.host if request.client else "")
        else:
            who, setting = "This token", "rate_limit"
            wait = self._rates.wait(identity.token) if identity.token else 0
        if wait:
            raise TooManyRequests(
                f"{who} has made too many requests in a short time.",
                hint=f"Try again in {wait} s; [server] {setting} is how many a minute may have.",
                retry_after=wait,
            )


class _Refusals:
    """Slows down clients that ask for streams again and again without a token."""

    def __init__(self, delay: float, closing: asyncio.Event) -> None:
        self._delay = delay
        self._closing = closing
        self._recent = Attempts(1, _REFUSAL_WINDOW, time.monotonic)

    async def pace(self, request: Request) -> None:
        client = request.client.host if request.client else ""
        if self._recent.may(client):
            self._recent.failed(client)
            return
        self._recent.failed(client)
        try:
            async with asyncio.timeout(self._delay):
                await self._closing.wait()
        except TimeoutError:
            return


def _permit(endpoint: Endpoint, identity: Identity | None) -> None:
    """Raises NotAuthenticated, NotPermitted."""
    if endpoint.role == "public":
        return
    if identity is None:
        raise NotAuthenticated(
            "This needs a token that the node knows.",
            hint="Send it as Authorization: Bearer TOKEN, or open the login link.",
        )
    if not covers(identity.role, endpoint.role):
        raise NotPermitted(
            f"A token of role {identity.role} does not cover this; it needs {endpoint.role}.",
            hint="Use a token of that role.",
        )


def _check_head(scope: Scope) -> None:
    """A head that arrives in one piece is parsed before it is measured. Raises BadRequest."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    if size + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEAD:
        raise head_too_long()


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, TurnstoneError)
    if note := unread(request):
        error.message = f"{error.message} {note}"
    response = refusal(error)
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router says of a path or a method that is not in the table."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return refusal(
            UnknownPath(
                f"There is nothing at {request.url.path}.",
                hint="docs/api-reference.md lists what there is.",
            )
        )
    allow = dict(error.headers or {})
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    response = refusal(
        WrongMethod(
            f"{request.url.path} does not take {request.method}.",
            hint=f"Use {allow.get('Allow', 'another method')}.",
        )
    )
    response.headers.update(allow)
    return response


async def _left(_request: Request, _error: Exception) -> Response:
    """The sender hung up before its body was whole: nobody reads this, and nothing was done."""
    return Response(status_code=400)


async def _broken(_request: Request, _error: Exception) -> Response:
    """A fault of ours. The server logs it; the caller is told no more than that there is one."""
    return refusal(
        InternalError("Turnstone itself failed here.", hint="The log of the node says more.")
    )
