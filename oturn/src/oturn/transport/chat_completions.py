"""The chat-completions stream format, sans I/O: bytes in, stream items out. Opens nothing.

Feed it what a server sends, cut anywhere: lines may end in CRLF, LF or CR, comments and other
fields are passed over, characters may be split between two reads, `[DONE]` may be missing.
Nothing that a server sends can raise. The per-chunk path is kept short: most of its cost is
the one `json.loads`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from oturn.errors import ModelError
from oturn.transport import failures
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)

_BOM = b"\xef\xbb\xbf"
_NEWLINE = 0x0A


def request_body(request: ModelRequest) -> dict[str, Any]:
    """The body of a streaming request. `params` may replace any key but `stream`."""
    body: dict[str, Any] = {"model": request.model, "messages": list(request.messages)}
    if request.tools:
        body["tools"] = list(request.tools)
    body["stream_options"] = {"include_usage": True}
    body.update(request.params)
    body["stream"] = True
    return body


class EventStreamDecoder:
    """Server-sent events, only as far as needed here: the `data` of each event, in order."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of a line whose end has not come
        self._data: list[bytes] = []  # data lines of an event whose end has not come
        self._after_cr = False  # a newline that comes next belongs to a line end already seen

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that these bytes complete."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _NEWLINE:
                chunk = chunk[1:]
        lines = chunk.splitlines()
        if not lines:
            return []
        self._after_cr = chunk.endswith(b"\r")
        cut = not chunk.endswith((b"\n", b"\r"))
        if cut and len(lines) == 1:
            self._line.append(lines[0])
            return []
        if self._line:
            lines[0] = b"".join(self._line) + lines[0]
        self._line = [lines.pop()] if cut else []
        return self._events(lines)

    def close(self) -> list[str]:
        """The data of an event that the end of the input cut off behind its last character."""
        lines = [b"".join(self._line), b""]
        self._line = []
        return self._events(lines)

    def _events(self, lines: Sequence[bytes]) -> list[str]:
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data:
                    events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                    self._data = []
            elif line.startswith(_BOM + b"data:"):
                self._data.append(line[len(_BOM) + 5 :].removeprefix(b" "))
        return events


class ChatDecoder:
    """Stream items from the bytes of one answer. `ended` is set with the last item."""

    def __init__(self) -> None:
        self.ended = False
        self._events = EventStreamDecoder()
        self._items: list[StreamItem] = []
        self._finish: str | None = None
        self._model: str | None = None

    def feed(self, chunk: bytes) -> list[StreamItem]:
        """The items that these bytes complete; nothing any more once the stream has ended."""
        for data in self._events.feed(chunk):
            self._take(data)
        return self._taken()

    def feed_whole(self, body: str) -> list[StreamItem]:
        """The items of an answer that came as one JSON object instead of a stream."""
        self._take(body)
        return self._taken()

    def close(self, broken: ModelError | None = None) -> list[StreamItem]:
        """The last items, when the input has ended, or broken off with an error.

        An answer whose finish_reason has come is whole, whatever happens behind it.
        """
        for data in self._events.close():
            self._take(data)
        if not self.ended:
            if self._finish is not None:
                self._finished()
            else:
                self._failed(broken or _ended_early())
        return self._taken()

    def _taken(self) -> list[StreamItem]:
        items, self._items = self._items, []
        return items

    def _take(self, data: str) -> None:
        if self.ended:
            return
        if data.strip() == "[DONE]":
            self._finished()
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            self._failed(_not_understood(data))
            return
        if isinstance(chunk, dict):
            self._chunk(chunk)
        else:
            self._failed(_not_understood(data))

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if chunk.get("error"):
            self._failed(failures.from_error_object(chunk["error"]))
            return
        if self._model is None and isinstance(chunk.get("model"), str):
            self._model = chunk["model"] or None
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        self._usage(chunk.get("usage"))

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if reasoning and isinstance(reasoning, str):
                self._items.append(ReasoningDelta(reasoning))
            content = delta.get("content")
            if content:
                self._content(content)
            calls = delta.get("tool_calls")
            if isinstance(calls, list):
                self._items += [_tool_call(call) for call in calls if isinstance(call, dict)]
        finish = choice.get("finish_reason")
        if finish is not None:
            self._finish = str(finish)
        self._usage(choice.get("usage"))

    def _content(self, content: object) -> None:
        """Text, or the list of typed parts that some servers send in its place."""
        if isinstance(content, str):
            self._items.append(TextDelta(content))
        elif isinstance(content, list):
            for part in content:
                text = part.get("text") if isinstance(part, dict) else None
                if text and isinstance(text, str):
                    self._items.append(TextDelta(text))

    def _usage(self, usage: object) -> None:
        if usage and isinstance(usage, dict):
            self._items.append(UsageReport(usage))

    def _finished(self) -> None:
        self._items.append(Finished(self._finish, self._model))
        self.ended = True

    def _failed(self, error: ModelError) -> None:
        self._items.append(Failed(error))
        self.ended = True


def _tool_call(call: Mapping[str, Any]) -> ToolCallDelta:
    index = call.get("index")
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # some servers send the object itself
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCallDelta(
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        id=_text(call.get("id")),
        name=_text(function.get("name")),
        arguments=_text(arguments),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _ended_early() -> ModelError:
    text = "The model server ended its answer before it was whole: try again."
    return ModelError("broken", text)


def _not_understood(data: str) -> ModelError:
    shown = " ".join(data.split())[:80]
    text = (
        f"The model server sent something that is no chat-completions stream ({shown!r}): "
        "check that the base URL is that of an OpenAI-compatible API."
    )
    return ModelError("broken", text)
