"""The page of a node: plain words, no script. What is shown there is a text file beside this."""

from __future__ import annotations

import html
from importlib.resources import files
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from turnstone.server.auth import Identity

SIGNED_OUT = (
    "You are not signed in. Open the login link that the program printed when it was started."
)
BAD_CODE = (
    "This login link has been used, or is too old. Start the program again for a new one, "
    "or send your token to /api/auth/login."
)


def page(request: Request, said: str, status: int = 200) -> Response:
    """The page, with one sentence for whoever looks at it."""
    text = Template(_text("page.html")).substitute(
        said=html.escape(said), origin=html.escape(f"http://{request.headers['host']}")
    )
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def greeting(identity: Identity | None) -> str:
    match identity:
        case None:
            return SIGNED_OUT
        case Identity(via="open"):
            return "Tokens are switched off: whoever can reach this port may use the node."
        case _:
            return f"You are signed in, with the role {identity.role}."


def style() -> Response:
    return Response(
        _text("style.css"), media_type="text/css", headers={"Cache-Control": "max-age=3600"}
    )


def _text(name: str) -> str:
    return files("turnstone.server").joinpath(name).read_text(encoding="utf-8")
