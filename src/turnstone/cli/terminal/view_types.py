"""What a view is made of. Data only; `view` makes it, `live` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from turnstone.cli.terminal.blocks import Blocks
from turnstone.cli.terminal.seams import Asked
from turnstone.core import events as ev

NOTHING = Blocks()
NO_STATUS = ev.Status()


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that no turn has taken yet."""

    correlation_id: str
    text: str
    sender: str = ""
    steer: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """A tool call in progress: the end of what it has printed. `agent`: what its sub-agent does."""

    call_id: str
    name: str
    header: str
    preview: str
    started: float  # Unix seconds
    output: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """`own`: ids of messages, answers and commands of the person here, which are not told again."""

    ws_id: str = ""
    name: str = ""
    model: str = ""
    turn: str = ""  # the correlation id of the turn in progress; empty: there is none
    since: float = 0.0  # Unix seconds: when what goes on began
    stopping: bool = False
    failed: bool = False  # the last turn has
    closed: bool = False
    streamed: str = ""  # of the answer in progress, all
    blocks: Blocks = NOTHING  # of that, what is not printed yet
    reasoning: str = ""  # that has come, and is not printed yet
    thinking_since: float = 0.0
    broken: bool = False  # the answer broke off, and why is not told yet
    tools: tuple[Running, ...] = ()
    items: Mapping[str, ev.ToolItem] = field(default_factory=lambda: MappingProxyType({}))
    questions: tuple[Asked, ...] = ()
    queued: tuple[Queued, ...] = ()
    status: ev.Status = NO_STATUS
    own: frozenset[str] = frozenset()

    @property
    def state(self) -> ev.State:
        """As the README has it, of what is shown here."""
        if self.questions:
            return "attention"
        if self.tools:
            return "running"
        if self.turn:
            return "thinking"
        return "error" if self.failed else "idle"
