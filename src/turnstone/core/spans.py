"""What happens in the workstreams of a node as spans, made from the records as they are written.

A turn is `invoke_agent`; its requests to the model are `chat`, its tool calls `execute_tool`; a
sub-agent's turn hangs below the call that it works for. Names and attributes are those of the
OpenTelemetry conventions for generative AI. Texts are told only where the settings say so, and
masked then. Knows no exporter; keeps what is open in memory, and nothing on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from turnstone.core import events as ev
from turnstone.core.host import WorkstreamInfo
from turnstone.core.masking import Masking

#: Characters of one text that a span tells.
MAX_TEXT = 20_000

#: Turns, requests and calls that are open at once; the oldest are let go of.
MAX_OPEN = 10_000

Value: TypeAlias = str | int | float | bool | Sequence[str]
Attributes: TypeAlias = Mapping[str, Value]
SpanKind: TypeAlias = Literal["internal", "client"]


class OpenSpan(Protocol):
    def end(self, at: float, attributes: Attributes, error: str) -> None:
        """It ended at this time, in Unix seconds; `error`: what it failed with, or empty."""


class Tracer(Protocol):
    def begin(
        self, name: str, kind: SpanKind, at: float, attributes: Attributes, parent: Any
    ) -> OpenSpan:
        """`parent`: what this method has given back for another span, or None."""


class TurnSpans:
    """Give `saw` every record that is written. `contents`: whether texts are told."""

    def __init__(self, tracer: Tracer, masking: Masking, *, contents: bool = False) -> None:
        self._tracer = tracer
        self._masking = masking
        self._contents = contents
        self._messages: dict[tuple[str, ...], ev.MessageAccepted] = {}  # without a turn yet
        self._open: dict[tuple[str, ...], OpenSpan] = {}
        self._calls: dict[str, list[str]] = {}  # by workstream: its calls without a result
        self._above: dict[str, tuple[str, str]] = {}  # by sub-agent: workstream and call above
        self._last: dict[str, ev.StepFinished] = {}  # by workstream: the model's last answer

    def saw(self, event: ev.Event, info: WorkstreamInfo) -> None:
        ws = info.id
        match event:
            case ev.WsCreated() if event.parent:
                self._above[ws] = (event.parent, event.parent_call)
            case ev.MessageAccepted() if self._contents:
                self._messages[ws, event.correlation_id] = event
            case ev.StepStarted():
                self._begin_turn(event, info)
                self._begin_chat(event, info)
            case ev.StepFinished():
                self._last[ws] = event
                self._end(("chat", ws), event, self._answer(event))
            case ev.StepFailed():
                self._end(("chat", ws), event, {}, self._reason(event.error))
            case ev.ToolStarted():
                self._begin_turn(event, info)
                self._begin_call(event, ws)
            case ev.ToolFinished():
                wrong = "" if event.status == "ok" else str(event.status)
                self._end(("tool", ws, event.call_id), event, self._result(event), wrong)
            case ev.TurnLeft():
                self._close(
                    ws, event, {"turnstone.turn.outcome": "left"}, "left for the next start"
                )
            case ev.TurnEnded() if event.ends_turn:
                failed = self._reason(event.reason) if event.outcome == "failed" else ""
                self._close(ws, event, self._ending(event), failed)
            case ev.TurnEnded():
                self._messages.pop((ws, event.correlation_id), None)
            case ev.WsClosed():
                self._above.pop(ws, None)

    def end_all(self, at: float) -> None:
        """The process stops: what is open is told as far as it came."""
        for span in reversed(self._open.values()):
            span.end(at, {}, "")
        self._open.clear()

    def _begin_turn(self, event: ev.Event, info: WorkstreamInfo) -> None:
        key = ("turn", info.id)
        if key in self._open:
            return
        name = info.agent or "turnstone"
        told: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "turnstone",
            "gen_ai.agent.name": name,
            "gen_ai.agent.id": info.id,
            "gen_ai.conversation.id": info.session_id or info.id,
            "turnstone.correlation_id": event.correlation_id,
        }
        message = self._messages.pop((info.id, event.correlation_id), None)
        if message is not None:
            told["gen_ai.input.messages"] = self._said("user", message.message)
        above = self._above.get(info.id)
        parent = self._open.get(("tool", *above)) if above else None
        self._begin(key, f"invoke_agent {name}", "internal", event, told, parent)

    def _begin_chat(self, event: ev.StepStarted, info: WorkstreamInfo) -> None:
        told: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": event.model,
            "gen_ai.conversation.id": info.session_id or info.id,
            "gen_ai.request.stream": True,
        }
        turn = self._open.get(("turn", info.id))
        self._begin(("chat", info.id), f"chat {event.model}".strip(), "client", event, told, turn)

    def _begin_call(self, event: ev.ToolStarted, ws: str) -> None:
        told: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.call.id": event.call_id,
            "gen_ai.tool.type": "function",
        }
        step = self._last.get(ws)
        calls = {call.id: call.arguments for call in step.tool_calls} if step else {}
        if self._contents and event.call_id in calls:
            told["gen_ai.tool.call.arguments"] = self._text(calls[event.call_id])
        self._calls.setdefault(ws, []).append(event.call_id)
        turn = self._open.get(("turn", ws))
        key = ("tool", ws, event.call_id)
        self._begin(key, f"execute_tool {event.name}", "internal", event, told, turn)

    def _answer(self, event: ev.StepFinished) -> Attributes:
        told: dict[str, Value] = {"gen_ai.response.model": event.model}
        if event.finish:
            told["gen_ai.response.finish_reasons"] = [event.finish]
        if event.usage is not None:
            told["gen_ai.usage.input_tokens"] = event.usage.prompt_tokens
            told["gen_ai.usage.output_tokens"] = event.usage.completion_tokens
        if self._contents:
            told["gen_ai.output.messages"] = self._said("assistant", event.text)
        return told

    def _result(self, event: ev.ToolFinished) -> Attributes:
        told: dict[str, Value] = {"turnstone.tool.status": event.status}
        if self._contents:
            told["gen_ai.tool.call.result"] = self._text(event.output)
        return told

    def _ending(self, event: ev.TurnEnded) -> Attributes:
        told: dict[str, Value] = {
            "turnstone.turn.outcome": event.outcome,
            "turnstone.turn.steps": event.steps,
            "turnstone.turn.seconds": event.seconds,
        }
        if event.usage is not None:
            told["gen_ai.usage.input_tokens"] = event.usage.prompt_tokens
            told["gen_ai.usage.output_tokens"] = event.usage.completion_tokens
        if self._contents:
            told["gen_ai.output.messages"] = self._said("assistant", event.text)
        return told

    def _close(self, ws: str, event: ev.Event, told: Attributes, error: str) -> None:
        """The turn is over, and with it what is still open in it."""
        self._end(("chat", ws), event, {}, "stopped")
        for call_id in self._calls.pop(ws, []):
            self._end(("tool", ws, call_id), event, {}, "stopped")
        self._last.pop(ws, None)
        self._messages.pop((ws, event.correlation_id), None)
        self._end(("turn", ws), event, told, error)

    def _begin(
        self,
        key: tuple[str, ...],
        name: str,
        kind: SpanKind,
        event: ev.Event,
        told: Attributes,
        parent: OpenSpan | None,
    ) -> None:
        self._end(key, event, {}, "begun again")
        while len(self._open) >= MAX_OPEN:
            self._open.pop(next(iter(self._open))).end(event.timestamp, {}, "too many are open")
        self._open[key] = self._tracer.begin(name, kind, event.timestamp, told, parent)

    def _end(
        self, key: tuple[str, ...], event: ev.Event, told: Attributes, error: str = ""
    ) -> None:
        span = self._open.pop(key, None)
        if span is not None:
            span.end(event.timestamp, told, error)

    def _said(self, role: str, text: str) -> str:
        message = {"role": role, "parts": [{"type": "text", "content": self._text(text)}]}
        return msgspec.json.encode([message]).decode()

    def _reason(self, text: str) -> str:
        """An error of a provider may repeat what it was sent."""
        return self._text(text) if self._contents and text else "failed"

    def _text(self, text: str) -> str:
        return self._masking.text(text)[:MAX_TEXT]
