"""What the per-response reducer of oturn 0.1 works on: state, signals, transitions. Data only.

The reducer is in `oturn.stream_signals`; programs import all of it from
`oturn.agent_stream_state`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

SignalType: TypeAlias = Literal[
    "assistant_delta",
    "assistant_reasoning_delta",
    "assistant_done",
    "tool_call_delta",
    "tool_calls_done",
]


class ReasoningDetail(TypedDict, total=False):
    """A part of a model's reasoning; other keys than `text` pass through."""

    text: str


class ReasoningExtra(TypedDict, total=False):
    reasoning_details: list[ReasoningDetail]


class UsageData(TypedDict, total=False):
    """Tokens as the provider counted them; other keys pass through."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int


class ToolFunctionPayload(TypedDict):
    name: str
    arguments: str


class ToolRecord(TypedDict):
    """A whole call; `arguments` is the text that the model sent."""

    index: int
    id: str
    function: ToolFunctionPayload


class AssistantDeltaPayload(TypedDict):
    text: str
    model: str | None


class AssistantReasoningDeltaPayload(TypedDict):
    text: str
    model: str | None
    extra: ReasoningExtra | None


class AssistantDonePayload(TypedDict):
    usage: UsageData | None
    model: str | None


class ToolCallDeltaPayload(TypedDict):
    """A fragment of a call, as the provider sent it."""

    model: str | None
    output_index: int | None
    tool_call_id: str | None
    name: str | None
    arguments: str | None


class EmptyPayload(TypedDict):
    pass


class AssistantDeltaTransitionPayload(TypedDict):
    """`model`: the newest that is known."""

    text: str
    model: str | None


class AssistantDoneTransitionPayload(TypedDict, total=False):
    usage: UsageData


class ToolCallTransitionPayload(TypedDict):
    """The call as far as it has come."""

    index: int
    id: str
    name: str
    arguments: str


class EmptyTransitionPayload(TypedDict):
    pass


@dataclass
class StreamSignal:
    """A fragment of the answer."""

    type: Literal["assistant_delta"]
    payload: AssistantDeltaPayload


@dataclass
class AssistantReasoningDeltaSignal:
    type: Literal["assistant_reasoning_delta"]
    payload: AssistantReasoningDeltaPayload


@dataclass
class AssistantDoneSignal:
    type: Literal["assistant_done"]
    payload: AssistantDonePayload


@dataclass
class ToolCallDeltaSignal:
    type: Literal["tool_call_delta"]
    payload: ToolCallDeltaPayload


@dataclass
class ToolCallsDoneSignal:
    type: Literal["tool_calls_done"]
    payload: EmptyPayload


StreamSignalUnion: TypeAlias = (
    StreamSignal
    | AssistantReasoningDeltaSignal
    | AssistantDoneSignal
    | ToolCallDeltaSignal
    | ToolCallsDoneSignal
)


@dataclass
class AssistantDeltaTransition:
    kind: Literal["assistant_delta"]
    payload: AssistantDeltaTransitionPayload


@dataclass
class AssistantReasoningDeltaTransition:
    kind: Literal["assistant_reasoning_delta"]
    payload: AssistantDeltaTransitionPayload


@dataclass
class AssistantDoneTransition:
    kind: Literal["assistant_done"]
    payload: AssistantDoneTransitionPayload


@dataclass
class ToolCallDeltaTransition:
    kind: Literal["tool_call_delta"]
    payload: ToolCallTransitionPayload


@dataclass
class ToolCallDeltaDroppedTransition:
    kind: Literal["tool_call_delta_dropped"]
    payload: EmptyTransitionPayload


@dataclass
class ToolCallsDoneTransition:
    kind: Literal["tool_calls_done"]
    payload: EmptyTransitionPayload


@dataclass
class NoopTransition:
    kind: Literal["noop"]
    payload: EmptyTransitionPayload


StreamTransitionUnion: TypeAlias = (
    AssistantDeltaTransition
    | AssistantReasoningDeltaTransition
    | AssistantDoneTransition
    | ToolCallDeltaTransition
    | ToolCallDeltaDroppedTransition
    | ToolCallsDoneTransition
    | NoopTransition
)
StreamTransition: TypeAlias = StreamTransitionUnion


@dataclass
class ToolCallAccumulator:
    """One call while its fragments come."""

    index: int
    id: str
    name: str = ""
    arguments: str = ""


@dataclass
class TurnStreamState:
    """One answer while it comes."""

    final: str = ""
    reasoning: str = ""
    reasoning_details: list[dict[str, Any]] = field(default_factory=list)
    tool_phase: bool = False
    usage_data: dict[str, Any] | None = None
    model_name: str | None = None
    tool_calls_by_idx: dict[int, ToolCallAccumulator] = field(default_factory=dict)
    tool_calls_by_id: dict[str, ToolCallAccumulator] = field(default_factory=dict)
    next_tool_idx: int = 0
