"""The audit record: who asked this server for which change, and what came of it.

One line of JSON for each request that changes something, written when it is answered. Says by
ids what was meant, and never holds a message, a value to remember, a token or a secret. What
the engine decided about calls stands in its journals; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from turnstone.api.endpoints import Endpoint
from turnstone.core.errors import TurnstoneError
from turnstone.core.logs import request_id
from turnstone.core.masking import Masking
from turnstone.core.metrics import Samples
from turnstone.server.routes import Call, Handler, Node

log = logging.getLogger(__name__)

#: What of a request stands in its line. All else may be text of people, or a secret.
FIELDS = frozenset(
    "ws_id correlation_id request_id command_id timer_id name alias session to at key scope tool"
    " path command confined approved always expired unreviewed auto_approve auto_approve_tools"
    " budget tokens seconds tool_calls money paused every not_before until timezone force busy"
    " workspace target_node".split()
)

#: Of those, what is told where it is false too.
TOLD = frozenset({"approved", "paused"})

#: Characters of one text, and how many of a list: names that others choose may be of any length.
LONGEST = 200
MOST = 50


class Lines(Protocol):
    def append(self, line: bytes) -> None:
        """Raises OSError."""
        ...


class Audit:
    """Where all of one server is recorded. Without `lines`, nowhere."""

    def __init__(self, lines: Lines | None = None, masking: Masking | None = None) -> None:
        self._lines = lines
        self._masking = masking or Masking()
        self._lost = 0
        self._failing = False

    async def recorded(
        self, endpoint: Endpoint, node: Node, call: Call[Any], handler: Handler
    ) -> ASGIApp:
        """What the handler gives; with a line where the endpoint changes something.

        A line that cannot be written does not undo what was done: it is told in the log and
        counted.
        """
        if not endpoint.audit:
            return await handler(node, call)
        outcome = "failed"
        try:
            answer = await handler(node, call)
            refused = isinstance(answer, Response) and answer.status_code >= 400
            outcome = "refused" if refused else "done"
            return answer
        except TurnstoneError as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = "cut_off"
            raise
        finally:
            self._record(endpoint, call, outcome)

    async def samples(self) -> Samples:
        return {"turnstone_audit_lost_total": {(): self._lost}}

    def _record(self, endpoint: Endpoint, call: Call[Any], outcome: str) -> None:
        # Nobody in particular changes nothing, except by signing in, which is noted. So
        # strangers cannot fill the record, and push out what it says.
        if not call.notes and (call.identity is None or endpoint.method == "GET"):
            return
        if self._lines is None:
            return
        try:
            self._lines.append(msgspec.json.encode(self._line(endpoint, call, outcome)))
            self._failing = False
        except OSError as error:
            self._lost += 1
            if not self._failing:  # told once, until it works again
                log.error("the audit record cannot be written, and lacks what is done: %s", error)
            self._failing = True

    def _line(self, endpoint: Endpoint, call: Call[Any], outcome: str) -> Mapping[str, object]:
        who = call.identity
        asked = {
            **call.request.query_params,
            **call.request.path_params,
            **(msgspec.to_builtins(call.body) if call.body is not None else {}),
        }
        said = {key: value for key, value in asked.items() if key in FIELDS}
        said = {key: value for key, value in {**said, **call.notes}.items() if value or key in TOLD}
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "action": endpoint.audit,
            "outcome": outcome,
            "by": who.name if who else "",
            "role": who.role if who else "",
            "via": who.via if who else "",
            "address": call.client,
            "request": self._shown(request_id()),
            **{key: self._shown(value) for key, value in said.items()},
        }

    def _shown(self, value: object) -> object:
        match value:
            case str():
                # Half a character is no JSON, and a secret is hidden before it could be cut.
                text = self._masking.text(value.encode(errors="replace").decode())
                return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
            case list():
                return [self._shown(one) for one in value[:MOST]]
            case dict():
                return {key: self._shown(one) for key, one in value.items() if one}
            case _:
                return value
