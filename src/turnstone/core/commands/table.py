"""The table of slash commands: the only list of them. Data only.

A new one is a row here and a function in `turnstone.core.commanding`, or in the terminal for
one that works there only; `docs/commands.md` is made from it. A test misses each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Command:
    """`arguments`: how it is written behind the name; empty: it takes none. `choices`: what may
    be written, and what each spelling stands for; empty: any text."""

    name: str
    help: str  # one line
    arguments: str = ""
    required: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    where: Literal["everywhere", "terminal"] = "everywhere"

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".strip()

    @property
    def meaning(self) -> str:
        return self.help + (" (in the terminal only)" if self.where == "terminal" else "")


def _one_of(*names: str, **short: str) -> Mapping[str, str]:
    return {name: name for name in names} | short


_ON_OFF = _one_of("on", "off")

COMMANDS: tuple[Command, ...] = (
    Command("/help", "the commands, or what one of them does", "[COMMAND]"),
    # the conversation
    Command("/clear", "forget the conversation; it stays on record"),
    Command("/new", "the same, as a new session"),
    Command("/rewind", "list the messages, or go back to just before one of them", "[MESSAGE]"),
    Command("/fork", "go on from here, or from before a message, in a new workstream", "[MESSAGE]"),
    Command("/cancel", "stop the turn that runs"),
    Command("/compact", "send less of the conversation from now on: a summary of its beginning"),
    # sessions
    Command("/sessions", "the newest sessions, open and closed"),
    Command("/resume", "go on with a session, by its alias, id or beginning", "SESSION", True),
    Command("/name", "show or set the alias of this session; - for none", "[ALIAS]"),
    Command("/delete", "delete another session, by its alias or whole id", "SESSION", True),
    Command("/history", "the newest of what was said, or what was said of something", "[QUERY]"),
    Command(
        "/export",
        "the session as a file that can be imported",
        "[markdown|json]",
        choices=_one_of("markdown", "json", md="markdown"),
    ),
    # how the model is asked
    Command("/persona", "show or set whom the model speaks as; - for nobody", "[NAME]"),
    Command("/instructions", "show or set what the model is told besides; - for nothing", "[TEXT]"),
    Command("/model", "show or set which model answers", "[NAME]"),
    Command(
        "/reason",
        "show or set how much the model reasons; none: as it does by itself",
        "[low|medium|high|none]",
        choices=_one_of("low", "medium", "high", "none", lo="low", med="medium", hi="high"),
    ),
    Command(
        "/raw",
        "show the model's reasoning, or hide it; alone: the other of the two",
        "[on|off]",
        choices=_ON_OFF,
    ),
    Command(
        "/creative",
        "write without tools, or with them again; alone: show which",
        "[on|off]",
        choices=_ON_OFF,
    ),
    Command(
        "/debug",
        "show what is sent to the model and comes back, or no more; alone: the other of the two",
        "[on|off]",
        choices=_ON_OFF,
    ),
    # what it may do
    Command("/policy", "what decides about tool calls here"),
    Command(
        "/budget",
        "show or set what may be used",
        "[none | tokens=N seconds=N tool_calls=N money=N]",
    ),
    Command("/usage", "what was used"),
    Command(
        "/timers",
        "messages that are sent later: list them, pause, resume or cancel one",
        "[pause ID | resume ID | cancel ID]",
    ),
    # the terminal
    Command(
        "/ws",
        "workstreams: list them, begin one, go to one, close or rename one",
        "[list | new [NAME] | N | close [N] | rename NAME]",
        where="terminal",
    ),
    Command(
        "/cluster",
        "the nodes of a cluster and their workstreams, where Redis is configured",
        "[status | nodes | workstreams [STATE] | node ID]",
        where="terminal",
    ),
    Command("/exit", "leave (in the terminal: also Ctrl-D)", aliases=("/quit", "/q")),
)

BY_NAME: Mapping[str, Command] = {
    name: command for command in COMMANDS for name in (command.name, *command.aliases)
}
"""Each command under its name and its aliases."""
