"""What has been said in a workstream: as the model is sent it, and as a reader is shown it. Pure.

The two differ once a conversation was compacted: the model is sent less, a reader still sees
all. A tool call is never parted from its results: they enter together, and leave together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from oturn.arguments import sendable_arguments
from turnstone.core import tokens
from turnstone.core.attachments import told
from turnstone.core.events import (
    Compacted,
    ConversationSet,
    HistoryMessage,
    Shown,
    ToolCallRecord,
    ToolFinished,
)

#: What of a message names the images that go with it (`core.images`); no endpoint is sent it.
IMAGES = "images"

_BARE = Shown()


class Conversation:
    """A fold. `messages` and `history` are for reading."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []  # as the model is sent them
        self.history: list[HistoryMessage] = []  # as a reader is shown them
        self.compactions = 0
        self.account = ""  # the model's own, of what it is no longer sent
        self._counted = 0  # messages, from the first on, that the estimate has taken in
        self._estimate = 0.0

    def estimate(self) -> float:
        """Tokens of the messages that the model is sent, uncorrected (`core.tokens`). Each is
        looked at once."""
        self._estimate += tokens.of_messages(self.messages[self._counted :])
        self._counted = len(self.messages)
        return self._estimate

    def say(
        self,
        role: Literal["user", "assistant"],
        text: str,
        calls: Sequence[ToolCallRecord] = (),
        finish: str = "",
        *,
        shown: Shown = _BARE,
        **others: Any,
    ) -> None:
        """A person, or the model, has said this. `finish`: why the model stopped. `others`: what
        else of the history's message is known."""
        message: dict[str, Any] = {"role": role, "content": told(text, shown.attachments)}
        if names := [one.image for one in shown.attachments if one.image]:
            message[IMAGES] = names
        if calls:
            message["tool_calls"] = [_sent(call, finish) for call in calls]
        self.messages.append(message)
        self.history.append(
            HistoryMessage(role=role, content=text, tool_calls=list(calls), shown=shown, **others)
        )

    def note(self, text: str) -> None:
        """The model is told this by the node itself; readers are not shown it."""
        self.messages.append({"role": "user", "content": text})

    def returned(
        self,
        results: Iterable[ToolFinished],
        said: Mapping[str, str] | None = None,
        shown: Mapping[str, Shown] | None = None,
    ) -> None:
        """The results of all calls of one answer, in the order in which the model called; and
        what the person has said of some of these calls, and pages show of them, by their ids."""
        for result in results:
            message: dict[str, Any] = {"role": "tool", "tool_call_id": result.call_id}
            message["content"] = result.output
            if result.images:
                message[IMAGES] = list(result.images)
            self.messages.append(message)
            self.history.append(returned(result, said or {}, shown or {}))

    def show(self, **changed: Any) -> None:
        """Pages show this with the newest message from now on."""
        if self.history:
            shown = msgspec.structs.replace(self.history[-1].shown, **changed)
            self.history[-1] = msgspec.structs.replace(self.history[-1], shown=shown)

    def become(self, event: ConversationSet) -> None:
        """Another conversation takes the place of this one."""
        self.messages[event.kept :] = event.messages
        self.history[event.kept_history :] = event.history
        self.compactions = 0
        self.account = ""
        self._counted, self._estimate = 0, 0.0

    def compact(self, event: Compacted) -> None:
        """The oldest messages are stood for by others, from the next request on."""
        for short in event.shortened:
            self.messages[short.at] = self.messages[short.at] | {"content": short.content}
        self.messages[: event.archived] = event.messages
        if event.archived:
            self.show(compacted=True)
            self.compactions += 1
            self.account = event.summary
        self._counted, self._estimate = 0, 0.0

    def whole(self) -> tuple[list[dict[str, Any]], list[HistoryMessage]]:
        """Both, without calls at the end that have no results yet: fit to go on from."""
        messages, history = list(self.messages), list(self.history)
        while messages and messages[-1].get("tool_calls"):
            messages.pop()
        while history and history[-1].tool_calls:
            history.pop()
        return messages, history


def returned(
    result: ToolFinished, said: Mapping[str, str], shown: Mapping[str, Shown]
) -> HistoryMessage:
    """The result of a call as a reader is shown it. `said`, `shown`: by the ids of calls."""
    return HistoryMessage(
        role="tool",
        content=result.output,
        tool_call_id=result.call_id,
        status=result.status,
        said=said.get(result.call_id, ""),
        correlation_id=result.correlation_id,
        timestamp=result.timestamp,
        shown=shown.get(result.call_id, Shown()),
    )


def _sent(call: ToolCallRecord, finish: str) -> dict[str, Any]:
    arguments = sendable_arguments(call.arguments, finish or None)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
