"""What a workstream's requests have shown of the models that they went to. Pure.

A fold of its journal, so that the next process decides as well as this one: how far our estimates
are off for a model, and how much it takes where nobody has told.
"""

from __future__ import annotations

from turnstone.core import tokens
from turnstone.core.events import (
    Compacted,
    Event,
    RequestCounted,
    SettingsChanged,
    StepFinished,
)


class Learnt:
    """The fold; for reading only. Models go by their names in the settings."""

    def __init__(self) -> None:
        self.window = 0  # tokens that the model takes, where its server has said so by a refusal
        #: Tokens of the shortest request that was refused as too long, where the server has not
        #: told its window since.
        self.refused: dict[str, int] = {}
        self.ratios: dict[str, float] = {}  # of the counts of a model to our estimates

    def apply(self, event: Event) -> None:
        """Take in the next record; only those of requests and compactions, and another model,
        change anything."""
        match event:
            case StepFinished() | RequestCounted() if event.usage is not None and event.estimate:
                known, counted = self.ratios.get(event.asked, 1.0), event.usage.prompt_tokens
                self.ratios[event.asked] = tokens.corrected(known, event.estimate, counted)
            case Compacted():
                self.window = event.window or self.window
                if event.refused:
                    known_least = self.refused.get(event.asked, event.refused)
                    self.refused[event.asked] = min(known_least, event.refused)
                elif event.why == "refused":
                    self.refused.pop(event.asked, None)
            case SettingsChanged() if event.model is not None:
                self.window = 0
