"""The requests of a workstream to its model: what is sent, and what comes back as it streams.

What a request may cost is set aside before it is made. Decides nothing about a turn, and leaves
the records of it to whoever asks.
"""

from __future__ import annotations

from typing import Any

from oturn import signals as s
from oturn.agent_stream_state import MessageAssembler
from oturn.effects import CallModel
from oturn.transport.base import Failed, ModelRequest, ReasoningDelta, TextDelta
from turnstone.core import events as ev
from turnstone.core import tokens
from turnstone.core.budget import Cost
from turnstone.core.engine import Engine
from turnstone.core.journal import Journal
from turnstone.core.prompting import Prompting
from turnstone.core.purse import Purse, Reservation
from turnstone.core.tool import ToolContext
from turnstone.core.turns import usage_of

#: Tokens of an answer that are worth asking for, when a budget allows no more.
LEAST_ANSWER = 256


class ModelCalls:
    """One per workstream."""

    def __init__(
        self, journal: Journal, engine: Engine, context: ToolContext, purse: Purse
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._purse = purse
        self._prompting = Prompting(journal, engine, context)
        self._ratio = 1.0  # of the provider's counts to our estimates

    async def ask(self, effect: CallModel, correlation_id: str) -> s.StepFinished | s.StepFailed:
        """Make one request of a turn, and tell readers its text while it comes.

        Raises OverBudget: nothing was asked.
        """
        if effect.resumed:
            self._journal.publish(ev.StreamReset(step=effect.step), correlation_id)
        await self._prompting.make(correlation_id)
        request, estimate = self._request(), self._estimate()
        params, reservation = await self._paid(request, estimate)
        answer = MessageAssembler()
        spent = Cost()
        try:
            async for item in self._engine.model.stream(_with(request, params)):
                match item:
                    case TextDelta():
                        self._journal.piece(ev.Content(text=item.text), correlation_id)
                    case ReasoningDelta():
                        self._journal.piece(ev.Reasoning(text=item.text), correlation_id)
                    case Failed():
                        return self._failed(item.error)
                answer.feed(item)
                spent = self._cost(estimate, 0)
            if answer.error is not None:
                return self._failed(answer.error)
            message = answer.message()
            spent = self._counted(estimate, message)
            return s.StepFinished(message)
        finally:
            await reservation.settle(spent)

    def _failed(self, error: object) -> s.StepFailed:
        return s.StepFailed(self._engine.masking.text(str(error)))

    async def _paid(
        self, request: ModelRequest, estimate: float
    ) -> tuple[dict[str, Any], Reservation]:
        """The request's parameters, its answer held to what can be paid for; and that set aside."""
        params = dict(request.params)
        most = int(params.get("max_tokens") or 0)
        left = await self._purse.left()
        if left.tokens is not None:
            most = min(most or left.tokens, max(LEAST_ANSWER, left.tokens - round(estimate)))
            params["max_tokens"] = most
        return params, await self._purse.reserve(self._cost(estimate, most))

    def _cost(self, prompt: float, completion: float) -> Cost:
        money = self._engine.price.of(prompt, completion)
        return Cost(tokens=round(prompt + completion), money=money)

    def _counted(self, estimate: float, message: s.AssistantMessage) -> Cost:
        """What an answer has cost: as the provider counts, or as it is estimated."""
        usage = usage_of(message.usage)
        if usage is None:
            texts = [message.text, message.reasoning, *(c.arguments for c in message.tool_calls)]
            return self._cost(estimate, self._ratio * sum(map(tokens.of_text, texts)))
        self._ratio = tokens.corrected(self._ratio, estimate / self._ratio, usage.prompt_tokens)
        return self._cost(usage.prompt_tokens, usage.total_tokens - usage.prompt_tokens)

    def _estimate(self) -> float:
        """Tokens of the request as it would be sent now."""
        transcript = self._journal.transcript
        of_all = (
            tokens.of_text(transcript.prompt)
            + tokens.of_tools(self._tools())
            + transcript.conversation.estimate()
        )
        return self._ratio * of_all

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


def _with(request: ModelRequest, params: dict[str, Any]) -> ModelRequest:
    return ModelRequest(
        model=request.model, messages=request.messages, tools=request.tools, params=params
    )
