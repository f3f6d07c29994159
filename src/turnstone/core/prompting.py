"""The system prompt of a workstream: made anew where its conversation begins, or what it is
made of was changed; otherwise as it was recorded."""

from __future__ import annotations

import asyncio

from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.journal import Journal
from turnstone.core.project_notes import project_notes
from turnstone.core.prompts import Facts, system_prompt
from turnstone.core.tool import ToolContext


class Prompting:
    """One per workstream."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext) -> None:
        self._journal = journal
        self._engine = engine
        self._context = context

    async def make(self, correlation_id: str) -> None:
        """Record the prompt that the next request of this turn begins with, where none holds."""
        if not self._journal.transcript.prompt:
            made = ev.PromptSet(text=await self.fresh(), correlation_id=correlation_id)
            await self._journal.append(made)

    @property
    def window(self) -> int:
        """Tokens of the context of the workstream's model, as the settings or its server have
        told it; 0: unknown."""
        transcript, models = self._journal.transcript, self._engine.models
        own = models.window(transcript.summary)
        told = transcript.learnt.windows.get(models.key(transcript.summary), 0)
        return min(own or told, told or own)

    async def fresh(self, window: int = 0) -> str:
        """The prompt as it would be made now. `window`: the model's, where that is news."""
        changed = self._journal.transcript.settings
        workspace = self._context.workspace
        notes = await asyncio.to_thread(project_notes, workspace, window or self.window)
        text = system_prompt(
            Facts(
                workspace=workspace,
                now=self._engine.clock.now(),
                persona=_chosen(changed.persona, self._engine.persona),
                instructions=_chosen(changed.instructions, self._engine.instructions),
                project=notes,
                memories=await self._engine.memories(workspace),
                creative=bool(changed.creative),
                agent=self._journal.transcript.created.agent,
            )
        )
        return self._engine.masking.text(text)


def _chosen(changed: str | None, default: str) -> str:
    return default if changed is None else changed
