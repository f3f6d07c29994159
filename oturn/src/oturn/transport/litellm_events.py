"""LiteLLM's chunks as the events that `LiteLLMTransport.acreate` yields. Pure; imports no LiteLLM.

A chunk is a mapping in the shape of the chat-completions stream. Whatever it holds, nothing
here raises: what has another shape is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]


class ChunkReader:
    """Feed it the chunks of one answer in order; `done()` tells what is known at the end.

    Without `tool_stream` the fragments of tool calls are left out, as in 0.1.
    """

    def __init__(self, *, tool_stream: bool) -> None:
        self._tool_stream = tool_stream
        self._model: str | None = None
        self._id: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def feed(self, chunk: Mapping[str, Any]) -> list[Event]:
        self._model = self._model or _text(chunk.get("model"))
        self._id = self._id or _text(chunk.get("id"))
        usage = chunk.get("usage")
        if usage and isinstance(usage, Mapping):
            self._usage = without_none(usage)
        choices = chunk.get("choices")
        events: list[Event] = []
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping):
                events += self._choice(choice)
        return events

    def done(self) -> list[Event]:
        """`assistant_done`, if anything was told that belongs into it."""
        if not (self._usage or self._id or self._model):
            return []
        known = {"usage": self._usage, "id": self._id, "model": self._model}
        return [{"type": "assistant_done", **known}]

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[Event]:
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
            if reasoning:
                yield {"type": "assistant_reasoning_delta", "text": reasoning, "model": self._model}
            content = _text(delta.get("content"))
            if content:
                yield {"type": "assistant_delta", "text": content, "model": self._model}
            calls = delta.get("tool_calls")
            if self._tool_stream and isinstance(calls, list):
                for place, call in enumerate(calls):
                    if isinstance(call, Mapping):
                        yield self._tool_call(place, call)
        if choice.get("finish_reason") == "tool_calls":
            yield {"type": "tool_calls_done"}

    def _tool_call(self, place: int, call: Mapping[str, Any]) -> Event:
        index = call.get("index")
        event: Event = {
            "type": "tool_call_delta",
            "output_index": index if isinstance(index, int) else place,
            "model": self._model,
        }
        function = call.get("function")
        if not isinstance(function, Mapping):
            function = {}
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):  # some providers send the object itself
            arguments = json.dumps(arguments, ensure_ascii=False, default=str)
        told = {"tool_call_id": call.get("id"), "name": function.get("name")}
        told["arguments"] = arguments
        return event | {key: text for key, value in told.items() if (text := _text(value))}


def without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without what is None, at any depth: how token counts are reported."""
    return {
        key: without_none(inner) if isinstance(inner, Mapping) else inner
        for key, inner in value.items()
        if inner is not None
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
