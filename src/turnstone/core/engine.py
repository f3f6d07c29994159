"""What all sessions of a node work with. Data only; put together in `turnstone.wiring`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oturn.transport.base import ModelTransport
from turnstone.core.clock import Clock, Ids, RandomIds, SystemClock
from turnstone.core.limits import Limits
from turnstone.core.policy_rules import Rules
from turnstone.core.sandbox import Confinement
from turnstone.core.tool import Tool


class Fence(Protocol):
    """Asked once per turn, before its first side effect: may this node have effects for it?"""

    async def __call__(self, correlation_id: str) -> bool:
        """False: another node has the message now. Raises TurnstoneError: nobody can say."""


async def no_fence(correlation_id: str) -> bool:  # noqa: ARG001 - the form of a Fence
    """The fence of a node that shares its messages with nobody."""
    return True


@dataclass(frozen=True, slots=True)
class Engine:
    model: ModelTransport
    model_name: str
    tools: Mapping[str, Tool]
    confinement: Confinement
    workspace: Path  # where workstreams work that name no other
    params: Mapping[str, Any] = field(default_factory=dict)  # of every model request
    context_window: int = 0  # tokens; 0: unknown
    instructions: str = ""  # added to the system prompt of every workstream
    outputs: Path | None = None  # where whole outputs are kept, in a folder per workstream
    auto_approve: bool = False  # for every workstream of the node
    auto_approve_tools: frozenset[str] = frozenset()
    rules: Rules = field(default_factory=Rules)  # that no permission overrides, or that are one
    max_steps: int = 100  # model calls of one turn
    limits: Limits = field(default_factory=Limits)  # of one turn, besides its steps
    max_attempts: int = 3  # attempts that a turn gets when its process dies, the first included
    max_workstreams: int = 10_000  # awake at the same time
    idle_timeout: float = 0.0  # seconds after which an idle workstream is put to sleep; 0: never
    retention: float = 0.0  # seconds after which an idle workstream is erased; 0: never
    tool_timeout: float = 30.0  # seconds
    max_output: int = 60_000  # characters of one tool result that the model is given
    fence: Fence = no_fence
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)
