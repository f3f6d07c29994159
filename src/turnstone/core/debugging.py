"""What is sent to the model and what comes back, as lines of information for people who debug.

Only where a person has switched it on. Secrets are masked, and long lines cut; a message that
was shown with a request before is not shown again. Changes nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem
from turnstone.core import events as ev
from turnstone.core.journal import Journal
from turnstone.core.masking import Masking

#: Characters of one line.
LONGEST = 20_000


class Debugging:
    """One per workstream."""

    def __init__(self, journal: Journal, masking: Masking) -> None:
        self._journal = journal
        self._masking = masking
        self._shown: list[Any] = []  # the messages of the request before
        self._items: list[Any] = []

    @property
    def on(self) -> bool:
        return bool(self._journal.transcript.settings.debug)

    def asked(self, request: ModelRequest, correlation_id: str) -> None:
        """This is sent."""
        self._items = []
        if not self.on:
            self._shown = []
            return
        messages = list(request.messages)
        same = 0
        while same < min(len(messages), len(self._shown)) and messages[same] == self._shown[same]:
            same += 1
        self._shown = messages
        body = {
            "model": request.model,
            **request.params,
            "tools": [tool["function"]["name"] for tool in request.tools],
            "messages": [f"… {same} as before …"] * bool(same) + messages[same:],
        }
        self._tell("request", body, correlation_id)

    def came(self, item: StreamItem, correlation_id: str) -> None:
        """This came back; all of it is told when it has ended."""
        if not self.on:
            return
        found = {"error": str(item.error)} if isinstance(item, Failed) else dataclasses.asdict(item)
        self._items.append({type(item).__name__: found})
        if isinstance(item, Finished | Failed):
            self._tell("answer", self._items, correlation_id)
            self._items = []

    def _tell(self, what: str, body: Any, correlation_id: str) -> None:
        text = self._masking.text(msgspec.json.encode(body, enc_hook=str).decode())
        cut = f"… ({len(text) - LONGEST} more characters)" if len(text) > LONGEST else ""
        message = f"{what}: {text[:LONGEST]}{cut}"
        self._journal.publish(ev.Info(message=message), correlation_id)
