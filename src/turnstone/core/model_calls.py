"""The requests of a workstream to its model: what is sent, and what comes back as it streams.

Decides nothing about a turn, and leaves the records of it to whoever asks.
"""

from __future__ import annotations

from typing import Any

from oturn import signals as s
from oturn.agent_stream_state import MessageAssembler
from oturn.effects import CallModel
from oturn.transport.base import Failed, ModelRequest, ReasoningDelta, TextDelta
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.journal import Journal
from turnstone.core.prompting import Prompting
from turnstone.core.tool import ToolContext


class ModelCalls:
    """One per workstream."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext) -> None:
        self._journal = journal
        self._engine = engine
        self._prompting = Prompting(journal, engine, context)

    async def ask(self, effect: CallModel, correlation_id: str) -> s.StepFinished | s.StepFailed:
        """Make one request of a turn, and tell readers its text while it comes."""
        if effect.resumed:
            self._journal.publish(ev.StreamReset(step=effect.step), correlation_id)
        await self._prompting.make()
        answer = MessageAssembler()
        async for item in self._engine.model.stream(self._request()):
            match item:
                case TextDelta():
                    self._journal.piece(ev.Content(text=item.text), correlation_id)
                case ReasoningDelta():
                    self._journal.piece(ev.Reasoning(text=item.text), correlation_id)
                case Failed():
                    return s.StepFailed(self._engine.masking.text(str(item.error)))
            answer.feed(item)
        if answer.error is not None:
            return s.StepFailed(self._engine.masking.text(str(answer.error)))
        return s.StepFinished(answer.message())

    def _request(self) -> ModelRequest:
        transcript = self._journal.transcript
        return ModelRequest(
            model=self._engine.model_name,
            messages=[{"role": "system", "content": transcript.prompt}, *transcript.messages],
            tools=self._tools(),
            params=self._engine.params,
        )

    def _tools(self) -> list[dict[str, Any]]:
        """In alphabetical order, always: they are part of what a provider caches."""
        transcript = self._journal.transcript
        if transcript.settings.creative:
            return []
        offered = transcript.created.tools or self._engine.tools
        return [self._engine.tools[name].spec.function() for name in sorted(offered)]
