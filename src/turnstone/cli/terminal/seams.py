"""What the parts of the terminal front end agree on: questions that are answered by key, and
the input. Types only; nothing here draws, waits or reads a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from prompt_toolkit.completion import Completer
from prompt_toolkit.history import History

from turnstone.core import events as ev
from turnstone.core.host import Answer, Attachment, PlanReply

Fragment: TypeAlias = tuple[str, str]
"""The name of a style (`paint.STYLES`; empty: as text is), and text without a line end. What
comes from outside has gone through `cli.plain` before it stands in one."""

Line: TypeAlias = Sequence[Fragment]

Asked: TypeAlias = ev.ApprovalAsked | ev.PlanAsked


@dataclass(frozen=True, slots=True)
class Key:
    """One key, or one paste.

    `name`: `enter`, `escape`, `tab`, `s-tab`, `backspace`, `delete`, `left`, `right`, `up`,
    `down`, `home`, `end`, `pageup`, `pagedown`, `c-a` … `c-z` (never `c-c`, `c-d`, `c-z`, `c-l`,
    which are the app's), `a-enter`; `text` for a character, which stands in `text`; `paste`
    for a paste, all of it in `text`.
    """

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """The person has answered: these go to the node, in this order."""

    replies: tuple[Answer | PlanReply, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """A text is to be changed in the person's editor; `Dialog.edited` is told what it is then."""

    text: str
    suffix: str = ".txt"


class Dialog(Protocol):
    """A question, or several, as a value: a key makes another one of it. Pure.

    The app shows one at a time, above the input, and gives it the keys while it has the focus
    (not in the first moments, nor while somebody is typing a message: `lines` is told).
    """

    @property
    def requests(self) -> tuple[str, ...]:
        """The request ids that it answers: it is gone when all of them were settled elsewhere."""

    def lines(self, width: int, height: int, *, focus: bool) -> Sequence[Line]:
        """What is shown: as many lines as it likes; the app shows the last `height` of them. So
        what is long (a diff, a command) is to be cut, or scrolled, to the height here. Without
        `focus` keys go elsewhere, and it should not look as if they came here."""

    def cursor(self, width: int, height: int) -> tuple[int, int] | None:
        """Row and column in `lines` of a text that is being typed in it; None without one."""

    def on_key(self, key: Key) -> Dialog | Settled | Edit:
        """Itself for a key that means nothing."""

    def edited(self, text: str | None) -> Dialog | Settled:
        """After an `Edit`; None: the editor was left without a change, or failed."""

    def without(self, request_id: str) -> Dialog | None:
        """This one was settled elsewhere; None if nothing is left to be asked."""

    def with_more(self, asked: Asked) -> Dialog:
        """Another question came while this one is open; itself if it takes no more (the app
        shows a dialog of its own for it, afterwards)."""


MakeDialog: TypeAlias = Callable[[Asked], Dialog]


@dataclass(frozen=True, slots=True)
class Composed:
    """What is sent for what was typed."""

    text: str
    files: tuple[Attachment, ...] = ()


class Compose(Protocol):
    """What surrounds the input: history, completion, what is pasted, and `!commands`."""

    completer: Completer | None
    history: History | None

    def pasted(self, text: str) -> str:
        """What stands in the input for this paste: itself, or a short mark for it."""

    def composed(self, typed: str) -> Composed:
        """What is sent for what was typed: marks have their texts again, `@path` what it means.
        Raises InvalidRequest for what cannot be sent."""

    async def shell(self, command: str, show: Callable[[str], None]) -> str:
        """`!command`: run it for the person, give `show` what it prints as it comes; returns
        the message for the model, empty for none. Cancelled by Ctrl-C."""
