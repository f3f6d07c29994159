"""Handlers for the pages, and for who is signed in."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from turnstone.api import endpoints as api
from turnstone.api.problems import TooManyAttempts
from turnstone.core.errors import NotAuthenticated
from turnstone.server import static as pages
from turnstone.server.auth import Auth, Known, clear_cookie, set_cookie
from turnstone.server.routes import Call, Handler, Node, answer


async def page(_node: Node, call: Call[None]) -> ASGIApp:
    return pages.HOME if call.identity else pages.LOGIN


async def static(_node: Node, call: Call[None]) -> ASGIApp:
    return pages.find(call.request.path_params["path"])


async def login_link(node: Node, call: Call[None]) -> ASGIApp:
    if call.request.method == "HEAD":
        return Response()  # a preview of the link must not use it up
    if call.identity is not None and call.identity.via == "cookie":
        return RedirectResponse("/", 303)
    if "code" not in call.request.query_params:
        return pages.LOGIN
    _check_attempts(node.auth, call.client)
    token = node.auth.redeem(call.request.query_params["code"])
    call.note(via="link", **_signed_in(token))
    if token is None:
        node.auth.logins.failed(call.client)
        call.note(outcome=NotAuthenticated.code)
        return pages.LOGIN.with_status(401)
    response = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    set_cookie(response, node.auth.sign_in(token), secure=call.secure)
    return response


async def login(node: Node, call: Call[api.LoginRequest]) -> Response:
    _check_attempts(node.auth, call.client)
    token = node.auth.token(call.body.token)
    call.note(via="token", **_signed_in(token))
    if token is None:
        node.auth.logins.failed(call.client)
        raise NotAuthenticated(
            "This node does not know that token.",
            hint="Use the login link that the program printed, or the token of its token file.",
        )
    response = answer(api.LoginReply(role=token.role))
    set_cookie(response, node.auth.sign_in(token), secure=call.secure)
    return response


async def logout(node: Node, call: Call[None]) -> Response:
    if call.identity is not None and call.identity.session:
        node.auth.sessions.end(call.identity.session)
    response = answer(api.OkReply())
    clear_cookie(response, secure=call.secure)
    return response


async def logout_everywhere(node: Node, call: Call[None]) -> Response:
    token = call.identity.token if call.identity is not None else ""
    response = answer(api.SignedOutReply(ended=node.auth.sessions.end_all(token)))
    clear_cookie(response, secure=call.secure)
    return response


HANDLERS: Mapping[str, Handler] = {
    "page": page,
    "static": static,
    "login_link": login_link,
    "login": login,
    "logout": logout,
    "logout_everywhere": logout_everywhere,
}


def _signed_in(token: Known | None) -> dict[str, object]:
    return {"by": token.name or token.role, "role": token.role} if token else {}


def _check_attempts(auth: Auth, client: str) -> None:
    if not auth.logins.may(client):
        raise TooManyAttempts(
            "There were too many failed logins from here.", hint="Wait a minute, then try again."
        )
