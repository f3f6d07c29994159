"""What the scripted server can answer, as data. Nothing here opens a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Characters per content chunk: small enough that any answer arrives in several pieces.
DEFAULT_CHUNK = 8


@dataclass(frozen=True)
class Call:
    """One tool call of a reply; `arguments` is the text as sent. No id: the server makes one."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Reply:
    """One answer. `die_after` and `gate` count chunks of the stream, from 0."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    chunk: int = DEFAULT_CHUNK
    finish: str | None = None
    usage: Mapping[str, Any] | None = None
    status: int = 200
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: tuple[bytes, ...] | None = None
    die_after: int | None = None
    gate: threading.Event | None = None
    gate_before: int = 1

    def deltas(self, prefix: str) -> list[dict[str, Any]]:
        """The `delta` of every chunk, in order; ids of calls without one start with `prefix`."""
        found: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        found += [{"reasoning_content": part} for part in _parts(self.reasoning, self.chunk)]
        found += [{"content": part} for part in _parts(self.text, self.chunk)]
        for index, made in enumerate(self.calls):
            function = {"name": made.name, "arguments": ""}
            call_id = made.id or f"{prefix}_{index}"
            head = {"index": index, "id": call_id, "type": "function", "function": function}
            found.append({"tool_calls": [head]})
            found += [
                {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
                for part in _parts(made.arguments, self.chunk)
            ]
        return found

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


def text(
    content: str,
    *,
    chunk: int = DEFAULT_CHUNK,
    reasoning: str = "",
    finish: str | None = None,
    usage: Mapping[str, Any] | None = None,
) -> Reply:
    """An answer in words, in pieces of `chunk` characters."""
    return Reply(text=content, reasoning=reasoning, chunk=chunk, finish=finish, usage=usage)


def call(name: str, /, **arguments: Any) -> Call:
    """A tool call with these arguments."""
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def raw_call(name: str, arguments: str, *, call_id: str | None = None) -> Call:
    """A tool call whose argument text is exactly this, valid or not."""
    return Call(name, arguments, call_id)


def calls(
    *made: Call,
    text: str = "",
    chunk: int = DEFAULT_CHUNK,
    usage: Mapping[str, Any] | None = None,
) -> Reply:
    """An answer that calls tools, after some words if `text` is given."""
    return Reply(text=text, calls=made, chunk=chunk, usage=usage)


def error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """A refusal with an HTTP status and an error object."""
    return Reply(status=status, message=message, headers=headers or {})


def raw(*payloads: bytes | str | Mapping[str, Any]) -> Reply:
    """A stream of exactly these payloads: objects become `data:` events, bytes go out as they are.

    A string becomes one `data:` event as well (`"[DONE]"`). No [DONE] is added.
    """
    return Reply(raw=tuple(p if isinstance(p, bytes) else event(p) for p in payloads))


def die_after(reply: Reply, n_chunks: int) -> Reply:
    """The same reply, whose connection is cut after `n_chunks` chunks."""
    return replace(reply, die_after=n_chunks)


def hold(reply: Reply, gate: threading.Event, before: int = 1) -> Reply:
    """The same reply, which waits for `gate` before it sends chunk number `before` (from 0);
    a refusal, before it sends anything."""
    return replace(reply, gate=gate, gate_before=before)


def event(payload: str | Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {data}\n\n".encode()


def _parts(whole: str, size: int) -> list[str]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]
