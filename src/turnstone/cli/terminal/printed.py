"""What is printed once and stays: the items that `view` makes of events, and `paint` draws.
Data only; texts are as they came, and are made safe where they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnstone.cli.terminal.blocks import Block
from turnstone.core import events as ev


@dataclass(frozen=True, slots=True)
class Said:
    """A person's message. `sender`: who else sent it; empty: the person here. `steered`: the model
    read it in the middle of a turn. `files`: what those that came with it are called."""

    text: str
    sender: str = ""
    steered: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of the model's answer."""

    block: Block


@dataclass(frozen=True, slots=True)
class Thought:
    """The model's reasoning before what follows, whole."""

    text: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """A tool call that has ended. `seconds` is None where nobody knows."""

    name: str
    header: str
    status: ev.ToolStatus
    output: str = ""
    preview: str = ""  # of a change, its diff
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence of the program, or of the node."""

    text: str
    kind: Literal["note", "warn", "bad", "strong"] = "note"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command had to say, in lines. `verbatim`: a file, say, which is not wrapped."""

    text: str
    bad: bool = False
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended, and what it took."""

    outcome: ev.Outcome
    reason: str = ""
    seconds: float = 0.0
    tokens: int = 0
    context: float = 0.0  # percent of the window that its last request filled; 0: not known


@dataclass(frozen=True, slots=True)
class Divider:
    """From here on another conversation, or workstream, is shown: its name."""

    name: str


Printed: TypeAlias = Said | Answer | Thought | Card | Note | Reply | Ending | Divider
