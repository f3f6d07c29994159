"""What must be done now: the orders a turn reducer gives to its driver.

Data only. `resumed` says that the order was given once before, in a process that is gone:
a model call is simply made again, an approval is asked again under its old id, and what to
do about a tool that had been started is the host's to know (it may have had effects).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from oturn.signals import ToolCall


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for its next message. Answered with StepFinished or StepFailed."""

    step: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class DecideCalls:
    """Find out which of these calls may run. Answered with CallsDecided.

    `request_id` is set when a person had been asked already and has not answered.
    """

    calls: tuple[ToolCall, ...]
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run one call that was allowed. Answered with ToolFinished."""

    call: ToolCall
    resumed: bool = False


Effect: TypeAlias = CallModel | DecideCalls | RunTool
