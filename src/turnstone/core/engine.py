"""What all sessions of a node work with. Data only; put together in `turnstone.wiring`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from turnstone.core.clock import Clock, Ids, RandomIds, SystemClock
from turnstone.core.events import Budget
from turnstone.core.limits import Limits
from turnstone.core.masking import Masking
from turnstone.core.models import Models
from turnstone.core.policy_rules import Rules
from turnstone.core.sandbox import Confinement
from turnstone.core.summary import Summary
from turnstone.core.tool import Tool

#: Characters of a token, on average, for turning a window into a limit of output.
_CHARACTERS_PER_TOKEN = 4
#: Characters of a tool result, where the window is unknown.
_OUTPUT = 60_000


class Fence(Protocol):
    """Asked once per turn, before its first side effect: may this node have effects for it?"""

    async def __call__(self, correlation_id: str) -> bool:
        """False: another node has the message now. Raises TurnstoneError: nobody can say."""


async def no_fence(correlation_id: str) -> bool:  # noqa: ARG001 - the form of a Fence
    """The fence of a node that shares its messages with nobody."""
    return True


class CountMemories(Protocol):
    """How many memories a conversation in this workspace can recall."""

    async def __call__(self, workspace: Path) -> int: ...


async def no_memories(workspace: Path) -> int:  # noqa: ARG001 - the form of a CountMemories
    """The count of a node that keeps none."""
    return 0


@dataclass(frozen=True, slots=True)
class Engine:
    models: Models
    tools: Mapping[str, Tool]
    confinement: Confinement
    workspace: Path  # where workstreams work that name no other
    params: Mapping[str, Any] = field(default_factory=dict)  # of every model request
    effort: str = ""  # how much models are asked to reason; empty: as they do by themselves
    auto_compact: float = 0.8  # share of a model's window at which conversations are compacted
    compact_max_tokens: int = 32_768  # of the account that stands for what is archived
    titles: bool = False  # conversations are given one, by a request of their own
    persona: str = ""  # whom the model speaks as, where a workstream says nothing else
    instructions: str = ""  # added to the system prompt of every workstream
    memories: CountMemories = no_memories
    outputs: Path | None = None  # where whole outputs are kept, in a folder per workstream
    auto_approve: bool = False  # for every workstream of the node
    auto_approve_tools: frozenset[str] = frozenset()
    masking: Masking = field(default_factory=Masking)  # of secrets, in what tools return
    rules: Rules = field(default_factory=Rules)  # that no permission overrides, or that are one
    max_steps: int = 100  # model calls of one turn
    agent_max_steps: int = 0  # of a sub-agent's turn; 0: as of any other
    agent_depth: int = 1  # how many sub-agents may stand below each other; 0: there are none
    budget: Budget = field(default_factory=Budget)  # of every new workstream that names none
    limits: Limits = field(default_factory=Limits)  # of one turn, besides its steps
    max_attempts: int = 3  # attempts that a turn gets when its process dies, the first included
    max_workstreams: int = 10_000  # awake at the same time
    idle_timeout: float = 0.0  # seconds after which an idle workstream is put to sleep; 0: never
    retention: float = 0.0  # seconds after which an idle workstream is erased; 0: never
    tool_timeout: float = 30.0  # seconds
    max_output: int = 0  # characters of one tool result that the model is given; 0: see below
    fence: Fence = no_fence
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=RandomIds)

    def output_for(self, workstream: Summary) -> int:
        """Characters of one tool result that the model of a workstream is given: half of its
        context, where nobody set another number."""
        by_window = self.models.window(workstream) * _CHARACTERS_PER_TOKEN // 2
        return self.max_output or by_window or _OUTPUT
