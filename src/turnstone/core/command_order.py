"""One slash command on its way, and what comes of it. Data, and what several commands share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from turnstone.core.engine import Engine
from turnstone.core.host import Host
from turnstone.core.manager import WorkstreamManager
from turnstone.core.store import Store
from turnstone.core.transcript import Transcript
from turnstone.core.workstream import Workstream

#: What a list shows: so many entries, and so many characters of each (contract, section 6.5).
LISTED, SHOWN = 20, 200

#: What sets something to nothing: a command without an argument shows it.
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command has to say, and where the conversation goes on if not here. `told`: what
    other readers are told, where it is not the same."""

    text: str
    ws_id: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands work with."""

    host: Host
    manager: WorkstreamManager
    store: Store
    engine: Engine


@dataclass(frozen=True, slots=True)
class Order:
    """One command, on its way: in this workstream, with this behind its name."""

    desk: Desk
    ws_id: str
    workstream: Workstream
    argument: str
    command_id: str
    by: str

    @property
    def transcript(self) -> Transcript:
        return self.workstream.transcript


Handler: TypeAlias = Callable[[Order], Awaitable[Said]]


def cut(text: str, most: int = SHOWN) -> str:
    """On one line, and no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
