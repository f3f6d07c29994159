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
    StepStarted,
)


class Learnt:
    """The fold; for reading only. Models go by their keys (`core.models`): the one that a name
    of the settings stands for may be another one tomorrow."""

    def __init__(self) -> None:
        self.asked = ""  # the model that was asked last, as people are shown it
        #: Tokens that a model takes, where its server has said so by a refusal.
        self.windows: dict[str, int] = {}
        #: Tokens of the shortest request that was refused as too long, where the server has not
        #: told its window since.
        self.refused: dict[str, int] = {}
        #: Tokens of a request with its answer that was taken, where a longer answer was refused.
        self.taken: dict[str, int] = {}
        self.ratios: dict[str, float] = {}  # of the counts of a model to our estimates

    def apply(self, event: Event) -> None:
        """Take in the next record; only those of requests and compactions, and another model,
        change anything. Records that name no model's key teach nothing of any."""
        match event:
            case StepStarted():
                self.asked = event.model or self.asked
            case SettingsChanged() if event.model is not None:
                self.asked = ""  # a person has changed it, and knows
            case StepFinished() | RequestCounted() if event.model_key:
                self._count(event)
            case Compacted() if event.model_key:
                if event.window:
                    self.windows[event.model_key] = event.window
                if event.refused:
                    known_least = self.refused.get(event.model_key, event.refused)
                    self.refused[event.model_key] = min(known_least, event.refused)
                elif event.why == "refused":
                    self.refused.pop(event.model_key, None)

    def _count(self, event: StepFinished | RequestCounted) -> None:
        key = event.model_key
        if event.usage is not None and event.estimate:
            known, counted = self.ratios.get(key, 1.0), event.usage.prompt_tokens
            self.ratios[key] = tokens.corrected(known, event.estimate, counted)
        if isinstance(event, StepFinished) and event.taken:
            self.taken[key] = event.taken
