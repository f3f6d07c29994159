"""The per-response reducer of oturn 0.1: dict events in, signals, transitions. Pure.

It never raises for what a provider sends. `Oturn` does not go through here (it assembles with
`oturn.agent_stream_state.MessageAssembler`); programs that read a provider's stream by
themselves do. The state is changed in place, and each signal gives one transition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from oturn.stream_types import (
    AssistantDeltaTransition,
    AssistantDoneSignal,
    AssistantDoneTransition,
    AssistantReasoningDeltaSignal,
    AssistantReasoningDeltaTransition,
    NoopTransition,
    StreamSignal,
    StreamSignalUnion,
    StreamTransitionUnion,
    ToolCallAccumulator,
    ToolCallDeltaDroppedTransition,
    ToolCallDeltaSignal,
    ToolCallDeltaTransition,
    ToolCallsDoneSignal,
    ToolCallsDoneTransition,
    ToolRecord,
    TurnStreamState,
)

_Payload: TypeAlias = Mapping[str, Any]


def ingest_stream_event(ev: object) -> list[StreamSignalUnion]:
    """The one signal that a semantic event stands for; none for what is no such event."""
    if not isinstance(ev, dict):
        return []
    kind = ev.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    return [] if read is None else [read(ev)]


def reduce_stream_signal(
    state: TurnStreamState, signal: StreamSignalUnion
) -> StreamTransitionUnion:
    """Take one signal into the state; what came of it. An unknown signal changes nothing."""
    kind: object = getattr(signal, "type", None)
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    return NoopTransition("noop", {}) if rule is None else rule(state, signal.payload)


def build_tool_records(state: TurnStreamState) -> list[ToolRecord]:
    """The calls so far, sorted by the index under which each is kept."""
    return [_record(call.index, call) for _, call in sorted(state.tool_calls_by_idx.items())]


def build_assembled_debug(state: TurnStreamState) -> list[ToolRecord]:
    """The same, with the index under which each is kept in the place of its own."""
    return [_record(index, call) for index, call in sorted(state.tool_calls_by_idx.items())]


def _record(index: int, call: ToolCallAccumulator) -> ToolRecord:
    return {
        "index": index,
        "id": call.id,
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _read_delta(ev: _Payload) -> StreamSignal:
    text = _text(ev.get("text"))
    return StreamSignal("assistant_delta", {"text": text, "model": ev.get("model")})


def _read_reasoning(ev: _Payload) -> AssistantReasoningDeltaSignal:
    return AssistantReasoningDeltaSignal(
        "assistant_reasoning_delta",
        {
            "text": _text(ev.get("text")),
            "model": ev.get("model"),
            "extra": _object_or_none(ev.get("extra")),
        },
    )


def _read_done(ev: _Payload) -> AssistantDoneSignal:
    return AssistantDoneSignal(
        "assistant_done", {"usage": ev.get("usage"), "model": ev.get("model")}
    )


def _read_tool_call(ev: _Payload) -> ToolCallDeltaSignal:
    return ToolCallDeltaSignal(
        "tool_call_delta",
        {
            "model": ev.get("model"),
            "output_index": ev.get("output_index"),
            "tool_call_id": ev.get("tool_call_id"),
            "name": ev.get("name"),
            "arguments": ev.get("arguments"),
        },
    )


def _read_tool_calls_done(_: _Payload) -> ToolCallsDoneSignal:
    return ToolCallsDoneSignal("tool_calls_done", {})


def _delta(state: TurnStreamState, payload: _Payload) -> AssistantDeltaTransition:
    text = _text(payload.get("text"))
    state.final += text
    _note_model(state, payload)
    return AssistantDeltaTransition("assistant_delta", {"text": text, "model": state.model_name})


def _reasoning(state: TurnStreamState, payload: _Payload) -> AssistantReasoningDeltaTransition:
    text = _text(payload.get("text"))
    state.reasoning += text
    _note_details(state, payload.get("extra"))
    _note_model(state, payload)
    return AssistantReasoningDeltaTransition(
        "assistant_reasoning_delta", {"text": text, "model": state.model_name}
    )


def _done(state: TurnStreamState, payload: _Payload) -> AssistantDoneTransition:
    _note_model(state, payload)
    usage = payload.get("usage")
    if usage is None:
        return AssistantDoneTransition("assistant_done", {})
    state.usage_data = usage
    return AssistantDoneTransition("assistant_done", {"usage": usage})


def _tool_call(
    state: TurnStreamState, payload: _Payload
) -> ToolCallDeltaTransition | ToolCallDeltaDroppedTransition:
    state.tool_phase = True
    _note_model(state, payload)
    call = _call_of(state, payload.get("output_index"), _text(payload.get("tool_call_id")))
    if call is None:
        return ToolCallDeltaDroppedTransition("tool_call_delta_dropped", {})
    call.name = _text(payload.get("name")) or call.name
    call.arguments += _text(payload.get("arguments"))
    return ToolCallDeltaTransition(
        "tool_call_delta",
        {"index": call.index, "id": call.id, "name": call.name, "arguments": call.arguments},
    )


def _tool_calls_done(state: TurnStreamState, _: _Payload) -> ToolCallsDoneTransition:
    state.tool_phase = True
    return ToolCallsDoneTransition("tool_calls_done", {})


_READERS: Mapping[str, Callable[[_Payload], StreamSignalUnion]] = {
    "assistant_delta": _read_delta,
    "assistant_reasoning_delta": _read_reasoning,
    "assistant_done": _read_done,
    "tool_call_delta": _read_tool_call,
    "tool_calls_done": _read_tool_calls_done,
}
_RULES: Mapping[str, Callable[[TurnStreamState, _Payload], StreamTransitionUnion]] = {
    "assistant_delta": _delta,
    "assistant_reasoning_delta": _reasoning,
    "assistant_done": _done,
    "tool_call_delta": _tool_call,
    "tool_calls_done": _tool_calls_done,
}


def _call_of(state: TurnStreamState, index: object, call_id: str) -> ToolCallAccumulator | None:
    """The call that a fragment belongs to, made when it is the first; None without any key."""
    if isinstance(index, int):
        call = state.tool_calls_by_idx.get(index) or _new_call(state, index, call_id)
    elif call_id:
        call = state.tool_calls_by_id.get(call_id) or _new_call(state, state.next_tool_idx, call_id)
    else:
        return None
    if call_id:
        call.id = call.id or call_id
        state.tool_calls_by_id[call_id] = call
    return call


def _new_call(state: TurnStreamState, index: int, call_id: str) -> ToolCallAccumulator:
    call = ToolCallAccumulator(index, call_id)
    state.tool_calls_by_idx[index] = call
    state.next_tool_idx = max(state.next_tool_idx, index + 1)
    return call


def _note_model(state: TurnStreamState, payload: _Payload) -> None:
    model = payload.get("model")
    if model is not None:
        state.model_name = model


def _note_details(state: TurnStreamState, extra: object) -> None:
    """Of the first detail of each fragment: the whole at first, and then more of its text."""
    details = extra.get("reasoning_details") if isinstance(extra, dict) else None
    if not isinstance(details, list) or not details or not isinstance(details[0], dict):
        return
    if not state.reasoning_details:
        state.reasoning_details.append(dict(details[0]))
        return
    kept = state.reasoning_details[0]
    kept["text"] = _text(kept.get("text")) + _text(details[0].get("text"))


def _object_or_none(value: object) -> Any:
    return value if isinstance(value, dict) else None


def _text(value: object) -> str:
    """Some servers send null for a fragment that is empty."""
    return "" if value is None else str(value)
