"""What came of a message: as a program gets it, and as the queue keeps it for late callers.

Data only; nothing here waits or asks anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

import msgspec

from turnstone.core.errors import TurnstoneError

#: Characters of each tool's output that are kept with a stored result. Readers who follow the
#: events get all of it; who comes later gets enough to see what happened.
OUTPUT_KEPT = 10_000

#: What stands between the texts of two steps in an answer: a blank line.
STEP_BREAK = "\n\n"

#: Endings of a turn that leave its message without an answer, in words: these are errors to
#: whoever sent it.
UNANSWERED = {"failed": "failed", "cancelled": "was cancelled"}

#: Endings of a message that no turn has run for.
_NEVER_RUN = frozenset({"refused", "dead"})


@dataclass
class TurnResult:
    """The answer to one message (contract, section 3.8).

    `errors` says what went wrong: the turn failed, or the message could not be delivered.
    `timed_out`: the caller stopped waiting; the turn itself may still be running, and the text
    may be cut.
    `outcome` is the ending's own word (`done`, `failed`, `cancelled`, `dead`, …).
    """

    correlation_id: str = ""
    ws_id: str = ""
    content_parts: list[str] = field(default_factory=list)
    reasoning_parts: list[str] = field(default_factory=list)
    tool_results: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    timed_out: bool = False
    outcome: str = ""

    @property
    def content(self) -> str:
        """The text of the answer, over all steps of the turn, with a blank line between them."""
        return "".join(self.content_parts)

    @property
    def reasoning(self) -> str:
        return "".join(self.reasoning_parts)

    @property
    def ok(self) -> bool:
        return not self.timed_out and not self.errors

    def checked(self) -> Self:
        """The result itself, if it is `ok`. Raises TurnTimedOut, MessageRefused (nothing has
        run) and TurnFailed, each a TurnUnanswered with this result."""
        if self.ok:
            return self
        why = " ".join(self.errors) or f"The turn {UNANSWERED.get(self.outcome, self.outcome)}."
        if self.timed_out:
            raise TurnTimedOut(
                "The time was over before the turn was.", self, hint=" ".join(self.errors)
            )
        raise (MessageRefused if self.outcome in _NEVER_RUN else TurnFailed)(why, self)


class TurnUnanswered(TurnstoneError):
    """A message has no answer; `result` has what is known of it."""

    code: ClassVar[str] = "turn_unanswered"
    status: ClassVar[int] = 502

    def __init__(self, message: str, result: TurnResult, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class TurnTimedOut(TurnUnanswered):
    """The caller's time was over first; the turn may still end (`result`)."""

    code: ClassVar[str] = "turn_timed_out"
    status: ClassVar[int] = 504


class TurnFailed(TurnUnanswered):
    """The turn has ended without an answer: it failed, or somebody stopped it."""

    code: ClassVar[str] = "turn_failed"


class MessageRefused(TurnUnanswered):
    """No node has taken the message: it was refused, or is a dead letter."""

    code: ClassVar[str] = "message_refused"
    status: ClassVar[int] = 409


class StoredResult(msgspec.Struct, kw_only=True):
    """The JSON that is kept under a correlation id. `content` and `reasoning` have one text for
    each step that said something. For a dead letter: `outcome` is `dead`, and `error` says why."""

    correlation_id: str = ""
    ws_id: str = ""
    outcome: str = "done"
    content: list[str] = []
    reasoning: list[str] = []
    tool_results: list[tuple[str, str]] = []
    errors: list[str] = []
    error: str = ""

    def encode(self) -> bytes:
        return _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> StoredResult:
        """Raises msgspec.DecodeError for what is none."""
        return _decoder.decode(data)

    def turn_result(self) -> TurnResult:
        return TurnResult(
            correlation_id=self.correlation_id,
            ws_id=self.ws_id,
            content_parts=_parts(self.content),
            reasoning_parts=list(self.reasoning),
            tool_results=list(self.tool_results),
            errors=[*self.errors, *([self.error] if self.error else [])],
            outcome=self.outcome,
        )


def _parts(steps: Iterable[str]) -> list[str]:
    """Parts that joined are the text of all steps."""
    parts: list[str] = []
    for text in filter(None, steps):
        parts += [STEP_BREAK, text] if parts else [text]
    return parts


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredResult)
