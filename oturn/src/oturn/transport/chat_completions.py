"""The chat-completions format, sans I/O: requests out, bytes in, stream items out. Opens nothing.

Feed it what a server sends, cut anywhere; `[DONE]` may be missing, usage may come in any chunk.
Nothing that a server sends can raise. The per-chunk path is kept short: most of its cost is
the one `json.loads`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
from oturn.transport.event_stream import MAX_EVENT_BYTES, EventStreamDecoder
from oturn.transport.think_tags import ThinkTagFilter, ThinkTags

#: An answer that comes as one JSON object is held until its end; a larger one is none.
MAX_ANSWER_BYTES = 64 * 1024 * 1024

_object_at_start = json.JSONDecoder().raw_decode


def request_body(request: ModelRequest, *, stream: bool = True) -> dict[str, Any]:
    """The body of a request. `params` may replace any key but `stream`.

    The keys of an object under `extra_body` among them come to the top too: LiteLLM's form.
    """
    body: dict[str, Any] = {"model": request.model, "messages": list(request.messages)}
    if request.tools:
        body["tools"] = list(request.tools)
    body["stream_options"] = {"include_usage": True}
    body.update(request.params)
    if isinstance(body.get("extra_body"), Mapping):
        body.update(body.pop("extra_body"))
    body["stream"] = stream
    if not stream:
        del body["stream_options"]
    return body


def whole_answer(body: bytes) -> dict[str, Any] | ModelError:
    """The object of an answer that did not stream, or why there is none."""
    if len(body) > MAX_ANSWER_BYTES:
        return _too_large("an answer", MAX_ANSWER_BYTES)
    text = body.decode("utf-8", "replace")
    try:
        answer = _without_halves(json.loads(text))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        return _not_understood(text)
    return _error_in(answer) or answer


class ChatDecoder:
    """Stream items from the bytes of one answer. `ended` is set with the last item.

    `told` is called with the data of each event, for people who look for a fault.
    """

    def __init__(
        self, think_tags: ThinkTags = "auto", told: Callable[[str], None] | None = None
    ) -> None:
        self.ended = False
        self._events = EventStreamDecoder()
        self._body = bytearray()  # of an answer that does not stream
        self._items: list[StreamItem] = []
        self._filter: ThinkTagFilter | None = ThinkTagFilter(think_tags)
        self._told = told
        self._finish: str | None = None
        self._model: str | None = None

    def feed(self, chunk: bytes) -> list[StreamItem]:
        """The items that these bytes complete; nothing any more once the stream has ended."""
        for data in self._events.feed(chunk):
            self._take(data)
        if self._events.overflowed and not self.ended:
            self._failed(_too_large("one event", MAX_EVENT_BYTES))
        return self._taken()

    def feed_body(self, chunk: bytes) -> list[StreamItem]:
        """In place of `feed`, for an answer that is one JSON object: its items come at the end."""
        if not self.ended:
            self._body += chunk
            if len(self._body) > MAX_ANSWER_BYTES:
                self._body.clear()
                self._failed(_too_large("an answer", MAX_ANSWER_BYTES))
        return self._taken()

    def close(self, broken: ModelError | None = None) -> list[StreamItem]:
        """The last items, when the input has ended, or broken off with an error.

        An answer whose finish_reason has come is whole, whatever happens behind it.
        """
        for data in self._events.close():
            self._take(data)
        if self._body and broken is None:
            self._take(self._body.decode("utf-8", "replace"))
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
        if self._told is not None:
            self._told(data)
        try:
            chunk = _parsed(data)
            if "\\u" in data and ("\\ud" in data or "\\uD" in data):
                chunk = _without_halves(chunk)
        except (ValueError, RecursionError):
            chunk = None
        if isinstance(chunk, dict):
            self._chunk(chunk)
        elif data.strip() == "[DONE]":
            self._finished()
        else:
            self._failed(_not_understood(data))

    def _chunk(self, chunk: dict[str, Any]) -> None:
        choices = chunk.get("choices")
        if chunk.get("error") or not choices:
            problem = _error_in(chunk)
            if problem is not None:
                self._failed(problem)
                return
        if self._model is None and isinstance(chunk.get("model"), str):
            self._model = chunk["model"] or None
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        usage = chunk.get("usage")
        if usage is None and self._finish is not None:  # Groq tells it there, in the last chunk
            of_groq = chunk.get("x_groq")
            usage = of_groq.get("usage") if isinstance(of_groq, dict) else None
        if usage:
            self._usage(usage)

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if delta is None:  # only then: Perplexity sends both, and the message is the text so far
            delta = choice.get("message")
        if isinstance(delta, dict):
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if reasoning and isinstance(reasoning, str):
                self._reasoning(reasoning)
            content = delta.get("content") or delta.get("refusal")
            if content:
                if self._filter is None and type(content) is str:
                    self._items.append(TextDelta(content))
                else:
                    self._content(content)
            calls = delta.get("tool_calls")
            if isinstance(calls, list):
                self._items += [_tool_call(call) for call in calls if isinstance(call, dict)]
        finish = choice.get("finish_reason")
        if finish:  # some servers send an empty one with every chunk
            self._finish = finish if isinstance(finish, str) else _name_of(finish)
        usage = choice.get("usage")
        if usage:
            self._usage(usage)

    def _content(self, content: object) -> None:
        """Text, or the list of typed parts that some servers send in its place."""
        if isinstance(content, str):
            self._text(content)
        elif isinstance(content, list):
            for part in content:
                if not isinstance(part, dict):
                    continue
                thought = part.get("thinking")  # Mistral: a text, or parts of their own
                for inner in thought if isinstance(thought, list) else [{"text": thought}]:
                    words = inner.get("text") if isinstance(inner, dict) else None
                    if words and isinstance(words, str):
                        self._reasoning(words)
                text = part.get("text")
                if text and isinstance(text, str):
                    self._text(text)

    def _text(self, text: str) -> None:
        if self._filter is None:
            self._items.append(TextDelta(text))
        else:
            self._items += self._filter.feed(text)
            if self._filter.over:
                self._filter = None

    def _reasoning(self, text: str) -> None:
        # A server that tells reasoning apart leaves none in the text: a tag there is text.
        self._flush()
        self._items.append(ReasoningDelta(text))

    def _flush(self) -> None:
        """Give out what the filter holds back, and do without it from here on."""
        if self._filter is not None:
            self._items += self._filter.close()
            self._filter = None

    def _usage(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._items.append(UsageReport(usage))

    def _finished(self) -> None:
        self._flush()
        self._items.append(Finished(self._finish, self._model))
        self.ended = True

    def _failed(self, error: ModelError) -> None:
        self._flush()
        self._items.append(Failed(error))
        self.ended = True


def _parsed(data: str) -> Any:
    """What `json.loads` gives. It looks for blanks around the object too, which takes as long
    as reading a chunk; here only where there may be some."""
    if data.startswith("{"):
        value, end = _object_at_start(data)
        if end == len(data):
            return value
    return json.loads(data)


def _tool_call(call: Mapping[str, Any]) -> ToolCallDelta:
    index = call.get("index")
    function = call.get("function")
    if not isinstance(function, dict):
        function = {}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = _dumped(arguments)  # some servers send the object itself
    return ToolCallDelta(
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        id=_text(call.get("id")),
        name=_text(function.get("name")),
        arguments=arguments,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name_of(finish: object) -> str:
    return str(finish) if isinstance(finish, int | float) else "unknown"


def _dumped(value: object) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # how deep is too deep differs between reading and writing
        return None


def _without_halves(value: Any) -> Any:
    """The value with U+FFFD for each lone half of a surrogate pair: JSON can say what UTF-8
    cannot, and it would fail wherever the text is stored or shown."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _error_in(chunk: Mapping[str, Any]) -> ModelError | None:
    """The error that a chunk is: under `error`, or the chunk itself (vLLM and Mistral)."""
    problem = chunk.get("error")
    if not problem and chunk.get("object") == "error":
        problem = chunk
    return failures.from_error_object(problem) if problem else None


def _ended_early() -> ModelError:
    text = "The model server ended its answer before it was whole: try again."
    return ModelError("broken", text)


def _too_large(what: str, limit: int) -> ModelError:
    text = (
        f"The model server sent {what} of more than {limit // (1024 * 1024)} MiB, which no model "
        "does: check that the base URL is that of an OpenAI-compatible API."
    )
    return ModelError("broken", text)


def _not_understood(data: str) -> ModelError:
    shown = " ".join(data[:1_000].split())[:80]
    text = (
        f"The model server sent something that is no chat-completions stream ({shown!r}): "
        "check that the base URL is that of an OpenAI-compatible API."
    )
    return ModelError("broken", text)
