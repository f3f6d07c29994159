"""What a node's server counts for `/metrics`: its requests, and what the node says of itself."""

from __future__ import annotations

import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnstone.api.endpoints import Endpoint
from turnstone.core.host import Host
from turnstone.core.metrics import OTHER, REQUESTS, Labels, Samples, Spread

#: In the scope of a request: its row in the endpoint table.
ENDPOINT = "turnstone.endpoint"

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"})


class Requests:
    """Counts of one server. A request is counted when it ends; OPTIONS is not.

    How long a stream lived says nothing of how quick the server is, and one that is refused is
    held back on purpose: the time of neither is kept.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._counts: Counter[Labels] = Counter()
        self._took: dict[Labels, Spread] = {}
        self._streams = 0

    def counting(self, app: ASGIApp) -> ASGIApp:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] == "OPTIONS":
                await app(scope, receive, send)
                return
            began, status, streaming = time.monotonic(), 500, False

            async def sending(message: Message) -> None:
                nonlocal status, streaming
                if message["type"] == "http.response.start":
                    status = message["status"]
                    streaming = status == 200 and _is_stream(scope)
                    self._streams += streaming
                await send(message)

            try:
                await app(scope, receive, sending)
            finally:
                self._streams -= streaming
                row: Endpoint | None = scope.get(ENDPOINT)
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                where = (method, row.path if row else OTHER)
                self._counts[*where, str(status)] += 1
                if not _is_stream(scope):
                    took = time.monotonic() - began
                    self._took.setdefault(where, Spread(REQUESTS)).add(took)

        return counted

    async def samples(self) -> Samples:
        health = await self._host.health()
        states = {k: float(v) for k, v in health.workstreams.items() if k != "total"}
        return {
            "turnstone_build_info": {(health.version, health.model): 1},
            "turnstone_uptime_seconds": {(): health.uptime_seconds},
            "turnstone_workstreams_active_total": {(): health.workstreams.get("total", 0)},
            "turnstone_workstreams_by_state": {(state,): n for state, n in states.items()},
            "turnstone_http_requests_total": dict(self._counts),
            "turnstone_http_request_duration_seconds": dict(self._took),
            "turnstone_http_streams": {(): self._streams},
        }


def _is_stream(scope: Scope) -> bool:
    row: Endpoint | None = scope.get(ENDPOINT)
    return row is not None and row.stream
