"""The contract between a turn and whatever answers for the model. Holds no I/O.

A transport's stream never throws: whatever goes wrong with the provider is its last item.
Every stream ends with exactly one `Finished` or `Failed`; nothing follows it. Cancellation
alone passes through, and closes what was opened. The contract suite in
`tests/test_transport_contract.py` runs over every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from oturn.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request: messages and tools in the shape of the chat-completions API.

    `params` are further top-level keys of the request body (temperature, max_tokens, …).
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class TextDelta:
    """A fragment of the answer."""

    text: str


@dataclass(slots=True)
class ReasoningDelta:
    """A fragment of the reasoning."""

    text: str


@dataclass(slots=True)
class ToolCallDelta:
    """A fragment of one tool call. Any field may be missing: servers differ in what they repeat."""

    index: int | None = None
    id: str | None = None
    name: str | None = None
    arguments: str | None = None


@dataclass(slots=True)
class UsageReport:
    """Token counts as the provider sent them (`prompt_tokens`, `completion_tokens`, …)."""

    usage: Mapping[str, Any]


@dataclass(slots=True)
class Finished:
    """The answer is whole. `reason` is the provider's finish_reason, None if it sent none."""

    reason: str | None = None
    model: str | None = None


@dataclass(slots=True)
class Failed:
    """There is no whole answer, and this is why."""

    error: ModelError


StreamItem: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | UsageReport | Finished | Failed


class ModelTransport(Protocol):
    """Something that answers model requests."""

    def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        """The answer, piece by piece, under the contract at the head of this module."""

    async def aclose(self) -> None:
        """Let go of connections. Idempotent; a transport is of no use afterwards."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a server offers. `context_window` in tokens, None if the server does not say."""

    id: str
    context_window: int | None = None
