"""The OpenAI-compatible transport with 0.1's `acreate`, for a program's own requests.

Nothing of a turn goes through `acreate`; it adds no protocol of its own.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from oturn.agent_stream_state import MessageAssembler
from oturn.errors import ModelServerError
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from oturn.transport.closing import closing
from oturn.transport.litellm_events import Event
from oturn.transport.openai import OpenAITransport


class OpenAIClient(OpenAITransport):
    """An `OpenAITransport` that knows one model. `params` go into the body of each `acreate`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        model: str,
        params: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(base_url, api_key, **settings)
        self.model = model
        self._params = dict(params or {})

    async def acreate(
        self,
        api_messages: Sequence[Mapping[str, Any]],
        *,
        stream: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: Any = None,
        tool_stream: bool = False,
        debug: bool = False,
        sse_debug: bool = False,
        **extra: Any,
    ) -> Any:
        """With `stream`, an async iterator of 0.1's normalised events; otherwise the server's one
        JSON object. Raises ModelServerError, with `stream` while it is read. `debug` and
        `sse_debug` print what is asked and what comes to stderr.
        """
        params = {**extra, **self._params}
        if tools and tool_choice is not None:
            params.setdefault("tool_choice", tool_choice)
        request = ModelRequest(self.model, list(api_messages), list(tools or ()), params)
        if debug:
            self._print("request", request)
        if stream:
            return self._events(request, tool_stream=tool_stream, sse_debug=sse_debug)
        return await self.complete(request)

    async def _events(
        self, request: ModelRequest, *, tool_stream: bool, sse_debug: bool
    ) -> AsyncGenerator[Event]:
        usage: Mapping[str, Any] | None = None
        places = MessageAssembler()
        async with closing(self.stream(request)) as items:
            async for item in items:
                if sse_debug:
                    self._print("item", item)
                match item:
                    case TextDelta(text):
                        yield {"type": "assistant_delta", "text": text, "model": self.model}
                    case ReasoningDelta(text):
                        kind = "assistant_reasoning_delta"
                        yield {"type": kind, "text": text, "model": self.model}
                    case ToolCallDelta():
                        place = places.feed(item)
                        if tool_stream:
                            yield self._fragment(item, place)
                    case UsageReport():
                        usage = item.usage
                    case Finished():
                        if item.reason == "tool_calls":
                            yield {"type": "tool_calls_done"}
                    case Failed(error):
                        raise ModelServerError(error)
        known = None if usage is None else dict(usage)
        yield {"type": "assistant_done", "usage": known, "id": None, "model": self.model}

    def _fragment(self, delta: ToolCallDelta, place: int | None) -> Event:
        index = place if delta.index is None else delta.index
        told = {"tool_call_id": delta.id, "name": delta.name, "arguments": delta.arguments}
        event: Event = {"type": "tool_call_delta", "output_index": index, "model": self.model}
        return event | {key: value for key, value in told.items() if value}

    def _print(self, what: str, value: object) -> None:
        print(f"oturn {what}: {value}", file=sys.stderr, flush=True)  # noqa: T201 what debugging is for
