"""What a workstream has used, by the model that was asked: a fold of its journal. Pure.

Counts every request that was made: those whose answers are in the conversation, and those beside
it (titles, accounts of what is archived, what a tool looks for in a text).
"""

from __future__ import annotations

from turnstone.core.events import Event, RequestCounted, StepFinished, Usage
from turnstone.core.host import Used


class UsedByModel:
    """The fold. `models`: by the model's id, as its endpoint gives it; for reading only."""

    def __init__(self) -> None:
        self.models: dict[str, Used] = {}

    def apply(self, event: Event) -> None:
        """Take in the next record; only those of requests change anything."""
        if isinstance(event, StepFinished | RequestCounted):
            usage = event.usage or Usage()
            used = Used(
                requests=1,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.total_tokens,
                money=event.money,
            )
            self.models[event.model] = self.models.get(event.model, Used()) + used


def together(parts: list[dict[str, Used]]) -> dict[str, Used]:
    """Several of them, summed by model."""
    summed: dict[str, Used] = {}
    for part in parts:
        for model, used in part.items():
            summed[model] = summed.get(model, Used()) + used
    return summed
