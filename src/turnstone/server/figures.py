"""What a node's server counts for `/metrics`: its requests, and what the node says of itself."""

from __future__ import annotations

import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnstone.core.host import Host
from turnstone.core.metrics import OTHER, REQUESTS, Labels, Samples, Spread

#: In the scope of a request: the path of its row in the endpoint table.
ENDPOINT = "turnstone.endpoint"

_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"})


class Requests:
    """Counts of one server. A request is counted when it ends; OPTIONS is not."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._counts: Counter[Labels] = Counter()
        self._took: dict[Labels, Spread] = {}

    def counting(self, app: ASGIApp) -> ASGIApp:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] == "OPTIONS":
                await app(scope, receive, send)
                return
            began, status = time.monotonic(), 500

            async def sending(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, sending)
            finally:
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                where = (method, str(scope.get(ENDPOINT, OTHER)))
                self._counts[*where, str(status)] += 1
                self._took.setdefault(where, Spread(REQUESTS)).add(time.monotonic() - began)

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
        }
