"""A line that was typed, as a command of the table. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from turnstone.core.commands.table import BY_NAME, Command
from turnstone.core.errors import InvalidRequest

#: What every command begins with.
SLASH = "/"

_LIST = "/help lists the commands."


@dataclass(frozen=True, slots=True)
class Parsed:
    """`argument`: what stands behind the name, without blanks around it; a choice as the table
    spells it."""

    command: Command
    argument: str = ""


def is_command(line: str) -> bool:
    """Whether a front end takes this line as a command, and not as a message."""
    return line.lstrip().startswith(SLASH)


def parse(line: str) -> Parsed:
    """The command that this line names, whatever its case, with what stands behind it.

    Raises InvalidRequest with a sentence: no command, an argument too many or too few, or one
    that is none of the choices.
    """
    words = line.split(maxsplit=1)
    if not words or not words[0].startswith(SLASH):
        raise InvalidRequest("A command begins with a slash, as /help.", hint=_LIST)
    command = named(words[0])
    argument = words[1].strip() if len(words) > 1 else ""
    if argument and not command.arguments:
        raise InvalidRequest(f"{command.name} takes nothing behind it, and there is {argument!r}.")
    if not argument and command.required:
        raise InvalidRequest(f"{command.name} needs something behind it: {command.usage}")
    if argument and command.choices:
        argument = _choice(command, argument.lower())
    return Parsed(command, argument)


def named(name: str) -> Command:
    """The command of this name, whatever its case, with its slash or without. Raises
    InvalidRequest."""
    full = SLASH + name.lower().removeprefix(SLASH)
    command = BY_NAME.get(full)
    if command is None:
        meant = _nearest(full, BY_NAME)
        raise InvalidRequest(f"There is no command {full}.{_did_you_mean(meant)}", hint=_LIST)
    return command


def _choice(command: Command, given: str) -> str:
    if given in command.choices:
        return command.choices[given]
    known = dict.fromkeys(command.choices.values())
    meant = command.choices.get(_nearest(given, command.choices), "")
    raise InvalidRequest(
        f"{command.name} knows no {given!r}.{_did_you_mean(meant)}",
        hint=f"It takes {', '.join(known)}.",
    )


def _nearest(given: str, known: Iterable[str]) -> str:
    found = get_close_matches(given, list(known), n=1)
    return found[0] if found else ""


def _did_you_mean(meant: str) -> str:
    return f" Did you mean {meant}?" if meant else ""
