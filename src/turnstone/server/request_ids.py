"""The id of a request: the caller's, if it can be one, else ours; in the answer and in the log."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnstone.core.logs import about

HEADER = "X-Request-ID"

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def with_ids(app: ASGIApp) -> ASGIApp:
    """The same app, its answers with the header, and its lines of the log with the id."""

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(HEADER)
        sane = len(given) == 1 and _SANE.fullmatch(given[0])
        request_id = given[0] if sane else secrets.token_hex(8)
        # For good: what the server around us logs of a request that broke is about it too, and
        # the next request of the connection says it anew.
        about(request_id=request_id)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await app(scope, receive, sending)

    return identified
