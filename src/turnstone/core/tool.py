"""What a tool is, to the engine: prepared, then decided about, then run. Protocols and data only.

A tool never asks and never decides. `prepare` may look (read a file for a diff, resolve a
path) and must not touch; what it returns is exactly what a person is shown, what the policy
judges, what the journal keeps, and all that `run` may act on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from turnstone.core.ask import Ask
from turnstone.core.events import EffectClass, ToolStatus
from turnstone.core.memory import MemoryStore
from turnstone.core.read_marks import ReadMarks
from turnstone.core.sub_agents import SubAgents

Access: TypeAlias = Literal["read", "write"]

#: The tools that run without a question where no rule says otherwise; all others are asked.
SEED_UNASKED = frozenset("read_file search man remember recall forget".split())

#: The tools that programs of 0.2 know, and may permit beforehand, whether this version has them.
SEED_TOOLS = frozenset(
    (
        "bash read_file write_file edit_file search math man web_fetch web_search "
        "remember recall forget task plan"
    ).split()
)

EmitOutput: TypeAlias = Callable[[str], None]
"""Told of output while a tool runs: text, already decoded, in pieces of any size."""


@dataclass(frozen=True, slots=True)
class PathUse:
    """A path that a call will touch, resolved: the one shown, checked and opened."""

    path: Path
    access: Access
    inside: bool  # within the workspace, and not sensitive
    sensitive: bool = False  # may hold secrets, or something starts by itself from it
    tree: bool = False  # with everything in it
    starts: bool = False  # sensitive because something starts by itself from it, once written


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The schema of a tool, as its JSON file says it. `effect` is never lowered elsewhere."""

    name: str
    description: str
    parameters: dict[str, Any]
    effect: EffectClass = "effect"
    auto_approve: bool = False  # runs unasked where no rule says otherwise
    primary_key: str = ""  # the argument that sums a call up
    agent: bool = False  # offered to read-only sub-agents
    task_agent: bool = False  # offered to working sub-agents
    agent_auto_approve: bool = False  # runs unasked in a sub-agent, whose start was asked
    untrusted: bool = False  # its results come from outside

    def function(self) -> dict[str, Any]:
        """The tool in the shape of the chat-completions API."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """One call, ready to be judged and run: everything it will use, and what to show for it."""

    tool: str
    arguments: Mapping[str, Any]
    effect: EffectClass
    header: str  # one line for a person: `bash: ls -la`
    preview: str = ""  # the exact command, or a unified diff
    paths: tuple[PathUse, ...] = ()
    commands: tuple[str, ...] = ()
    network: bool = False
    expects: str = ""  # what the world must still look like at run time (a file's hash)
    label: str = ""  # what a person is asked about, where the tool's name does not say it
    hosts: tuple[str, ...] = ()  # where the call connects to, where that is known beforehand
    directory: Path | None = None  # where its commands start; None: in the workspace
    #: What its commands may change that starts by itself later: it cannot be kept from them.
    exposes: str = ""
    tends: bool = False  # only looks after what its workstream has running in the background
    background: bool = False  # its commands go on after the call, for hours; in `arguments` too
    hash: str = field(init=False, default="")

    def __post_init__(self) -> None:
        exact = [
            self.tool,
            dict(self.arguments),
            [(str(p.path), p.access) for p in self.paths],
            list(self.commands),
            self.network,
            self.expects,
            list(self.hosts),
            str(self.directory or ""),
        ]
        canonical = msgspec.json.encode(exact, order="sorted")
        object.__setattr__(self, "hash", hashlib.sha256(canonical).hexdigest())


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a run ended; `output` is what the model reads.

    `tainted`: what a sub-agent has read from outside on the way to it. `own`: the tool has read
    nothing from outside, and `output` is in its own words, whatever its `ToolSpec.untrusted`.
    """

    status: ToolStatus
    output: str
    tainted: tuple[str, ...] = ()
    own: bool = False
    directory: str = ""  # where commands start from the next step on; empty: where they did
    images: tuple[str, ...] = ()  # that the model is shown with it, as `core.images` names them


@dataclass(frozen=True, slots=True)
class Glance:
    """How something stands that runs in the background. `ended` says how; empty: it runs."""

    handle: str
    what: str
    text: str = ""  # its output since the last look
    ended: str = ""


class Background(Protocol):
    """What a workstream has running beside its turns. All of it ends with the workstream's
    closing, and with the process."""

    def start(self, what: str, run: Callable[[EmitOutput], Awaitable[str]]) -> str:
        """Run it; `run` returns how it ended. Returns a handle. Raises ToolRefused: too many."""

    async def wait(self, handle: str, seconds: float) -> None:
        """Until it has ended, or so long."""

    def read(self, handle: str) -> Glance:
        """Raises ToolRefused for a handle that there is not (any more)."""

    async def stop(self, handle: str) -> None:
        """Raises ToolRefused, as `read`. When this returns, nothing of it runs."""

    def list(self) -> Sequence[Glance]:
        """All there are, without their output."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Where a call happens: the workstream, and which call it is. Tools keep nothing of their
    own between calls. `agents` is there for the tools of effect class `agent`."""

    ws_id: str
    workspace: Path  # resolved, absolute
    timeout: float  # seconds that one call may take
    max_output: int  # characters of output that the model is given; the middle is cut out
    call_id: str = ""
    correlation_id: str = ""  # of the message whose turn it is
    agents: SubAgents | None = None
    memory: MemoryStore | None = None
    reads: ReadMarks = field(default_factory=ReadMarks)
    #: Of a call that was decided about by a process that is gone: its `Prepared.expects`. Such
    #: a call is not looked at anew, since it may have happened.
    decided: str = ""
    directory: Path | None = None  # where commands start; None: in the workspace
    outputs: Path | None = None  # a folder of ours for what a result has no room for
    background: Background | None = None
    ask: Ask | None = None  # has a model answer a question from a text
    images: bool = False  # whether the model takes images


class Tool(Protocol):
    spec: ToolSpec

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        """Look, resolve, preview. Raises ToolRefused with a sentence for the model."""

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        """Do what was prepared, and nothing else; check again what can have changed since.

        A failure of the work itself is a ToolResult with status `error`. When cancelled, stop
        everything that was started, then let the cancellation pass.
        """

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        """After a crash, for idempotent tools: has this call taken effect? None: cannot tell."""
