"""The requests of a workstream to its model: what is sent, and what comes back as it streams.

What a request may cost is set aside before it is made. Decides nothing about a turn, and leaves
the records of it to whoever asks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oturn import signals as s
from oturn.effects import CallModel
from oturn.errors import ModelError
from oturn.transport.base import ModelRequest, ReasoningDelta, TextDelta
from turnstone.core import effort, tokens
from turnstone.core import events as ev
from turnstone.core.agent_rules import described, offered
from turnstone.core.compacting import Compacting, Measure
from turnstone.core.debugging import Debugging
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownModel
from turnstone.core.images import with_images
from turnstone.core.journal import Journal
from turnstone.core.models import Model
from turnstone.core.paid import Paid
from turnstone.core.prompting import Prompting
from turnstone.core.tool import ToolContext

#: Tokens of an answer that are worth asking for, when a budget allows no more.
LEAST_ANSWER = 256

#: How often a request that is refused as too long is made shorter.
_SHORTER = 5

#: By how much an estimate may be too low, where prompt and answer have to share the window.
_SLACK = 1.1


class ModelCalls:
    """One per workstream."""

    def __init__(self, journal: Journal, engine: Engine, context: ToolContext, paid: Paid) -> None:
        self._journal = journal
        self._engine = engine
        self._paid = paid
        self._debugging = Debugging(journal, engine.masking)
        self._prompting = Prompting(journal, engine, context)
        self._model = engine.models.default  # that is asked, or was last
        self.prompt = 0.0  # tokens of what was asked last, estimated and uncorrected
        self.taken = 0  # of it and its answer, where a longer answer was refused; otherwise 0
        self._held = 0  # tokens of the answer that was asked for last; 0: any number
        self._room = 0  # of the one that is asked for next, once longer ones were refused
        self.compacting = Compacting(journal, engine, self._prompting, paid, self._measure)

    @property
    def asked(self) -> Model:
        """The model that is asked, or was last."""
        return self._model

    async def ask(self, effect: CallModel, correlation_id: str) -> s.StepFinished | s.StepFailed:
        """Make one request of a turn, and tell readers its text while it comes.

        Raises OverBudget: nothing was asked.
        """
        if effect.resumed:
            self._journal.publish(ev.StreamReset(step=effect.step), correlation_id)
        await self._prompting.make(correlation_id)
        try:
            self._model = self._engine.models.of(self._journal.transcript.summary)
        except UnknownModel as error:
            return s.StepFailed(str(error))
        await self.compacting.before_request(correlation_id)
        self._room, self.taken = 0, 0
        answer = await self._once(correlation_id)
        compacted = 0
        while isinstance(answer, ModelError) and answer.kind == "too_long":
            told = answer.context_window
            if self._halve(told, above=self._measure().tokens):
                pass
            elif compacted < _SHORTER and await self.compacting.after_refusal(told, correlation_id):
                compacted += 1
            elif not self._halve(told):
                break
            if self._journal.live.streamed():
                self._journal.publish(ev.StreamReset(step=effect.step), correlation_id)
            answer = await self._once(correlation_id)
        if isinstance(answer, ModelError):
            return self._failed(answer)
        if self._room:
            self.taken = round(self._measure().tokens) + self._held
        return answer

    def _halve(self, stated: int | None, above: float = 0.0) -> bool:
        """Ask for half as long an answer the next time; False where that would be too short, or
        not longer than `above`, or the server has told its window, to which answers are held."""
        if stated or self._held <= max(LEAST_ANSWER, above):
            return False
        self._room = max(LEAST_ANSWER, self._held // 2)
        return True

    async def _once(self, correlation_id: str) -> s.StepFinished | ModelError:
        """One request, paid for, and what comes of it."""
        request, measure = self._request(), self._measure()
        self.prompt = measure.uncorrected
        most = self._most(request, measure)
        held = await self._paid.affordable(self._model, self.prompt, most, LEAST_ANSWER)
        self._held = held
        params = {**request.params, **({"max_tokens": held} if held else {})}
        request = replace(request, params=params)
        self._debugging.asked(request, correlation_id)
        outputs, takes = self._engine.outputs, self._model.vision
        request = replace(
            request, messages=await with_images(request.messages, outputs, takes=takes)
        )
        asking = self._paid.asked(
            self._model, request, "chat", prompt=self.prompt, most=held, tell=self._paid.tell
        )
        async with asking as answer:
            async for item in answer:
                self._debugging.came(item, correlation_id)
                match item:
                    case TextDelta():
                        piece = ev.Content(text=item.text, correlation_id=correlation_id)
                        self._journal.live.piece(piece)
                    case ReasoningDelta() if self._shows_reasoning:
                        thought = ev.Reasoning(text=item.text, correlation_id=correlation_id)
                        self._journal.live.piece(thought)
            if answer.error is not None:
                return answer.error
            answer.recorded = True
            return s.StepFinished(answer.message)

    def _most(self, request: ModelRequest, measure: Measure) -> int:
        """Tokens that the answer may have, held to the window, or to what was taken where more
        was refused; 0: as the server likes."""
        most = int(request.params.get("max_tokens") or 0)
        if not most:
            return 0
        if self._room:
            return min(most, self._room)
        if measure.window:
            most = min(most, max(LEAST_ANSWER, measure.window - round(_SLACK * measure.tokens)))
        taken = self._journal.transcript.learnt.taken.get(self._model.key, 0)
        return min(most, max(LEAST_ANSWER, taken - round(measure.tokens))) if taken else most

    def _measure(self) -> Measure:
        """What is known of the next request, and of the model that it goes to."""
        transcript = self._journal.transcript
        key = self._engine.models.key(transcript.summary)
        return Measure(
            window=self._prompting.window,
            answer=int(self._engine.params.get("max_tokens") or 0),
            prompt=tokens.of_text(transcript.prompt),
            tools=tokens.of_tools(self._tools()),
            messages=transcript.conversation.estimate(),
            ratio=self._paid.ratio(key),
            recall="recall" in offered(transcript, self._engine.tools),
        )

    def _failed(self, error: object) -> s.StepFailed:
        return s.StepFailed(self._engine.masking.text(str(error)))

    def _request(self) -> ModelRequest:
        transcript, tools = self._journal.transcript, self._tools()
        params = {**self._engine.params, **effort.params(self._effort)}
        if tools and not offered(transcript, self._engine.tools):
            params["tool_choice"] = "none"
        return ModelRequest(
            model=self._model.id,
            messages=[{"role": "system", "content": transcript.prompt}, *transcript.messages],
            tools=tools,
            params=self._model.fitted(params),
        )

    @property
    def _effort(self) -> str:
        return effort.chosen(self._journal.transcript.settings, self._engine.effort)

    @property
    def _shows_reasoning(self) -> bool:
        return self._journal.transcript.settings.show_reasoning is not False

    def _tools(self) -> list[dict[str, Any]]:
        """In alphabetical order, always: they are part of what a provider caches."""
        transcript = self._journal.transcript
        tools = self._engine.tools
        return [tools[name].spec.function() for name in described(transcript, tools)]
