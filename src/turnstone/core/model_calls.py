"""The requests of a workstream to its model: what is sent, and what comes back as it streams.

What a request may cost is set aside before it is made. Decides nothing about a turn, and leaves
the records of it to whoever asks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from oturn import signals as s
from oturn.agent_stream_state import MessageAssembler
from oturn.effects import CallModel
from oturn.errors import ModelError
from oturn.transport.base import (
    Failed,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
from turnstone.core import effort, tokens
from turnstone.core import events as ev
from turnstone.core.agent_rules import described, offered
from turnstone.core.budget import Cost, answer_within
from turnstone.core.compacting import Compacting, Measure
from turnstone.core.debugging import Debugging
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownModel
from turnstone.core.images import with_images
from turnstone.core.journal import Journal
from turnstone.core.model_gate import Sent
from turnstone.core.models import Model
from turnstone.core.prompting import Prompting
from turnstone.core.purse import Purse, Reservation
from turnstone.core.tool import ToolContext
from turnstone.core.turns import usage_of

#: Tokens of an answer that are worth asking for, when a budget allows no more.
LEAST_ANSWER = 256

#: How often a request that is refused as too long is made shorter.
_SHORTER = 5

#: By how much an estimate may be too low, where prompt and answer have to share the window.
_SLACK = 1.1


class ModelCalls:
    """One per workstream."""

    def __init__(
        self, journal: Journal, engine: Engine, context: ToolContext, purse: Purse
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._purse = purse
        self._debugging = Debugging(journal, engine.masking)
        self._prompting = Prompting(journal, engine, context)
        self._model = engine.models.default  # that is asked, or was last
        self._ratio = 1.0  # of the provider's counts to our estimates
        self.compacting = Compacting(journal, engine, self._prompting, purse, self._measure)

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
        answer = await self._once(correlation_id)
        for _ in range(_SHORTER):
            if not (isinstance(answer, ModelError) and answer.kind == "too_long"):
                break
            if not await self.compacting.after_refusal(answer.context_window, correlation_id):
                break
            if self._journal.live.streamed():
                self._journal.publish(ev.StreamReset(step=effect.step), correlation_id)
            answer = await self._once(correlation_id)
        return self._failed(answer) if isinstance(answer, ModelError) else answer

    async def _once(self, correlation_id: str) -> s.StepFinished | ModelError:
        """One request, paid for, and what comes of it."""
        request, estimate = self._request(), self._measure().tokens
        params, reservation = await self._paid(request, estimate)
        self._debugging.asked(_with(request, params), correlation_id)
        answer = MessageAssembler()
        said = 0.0  # what came of an answer that breaks off, and is to be paid for
        spent = Cost()

        def sent(under_way: bool) -> None:
            nonlocal spent
            spent = self._cost(estimate, 0) if under_way else Cost()

        messages = await with_images(
            request.messages, self._engine.outputs, takes=self._model.vision
        )
        asking = self._stream(_with(request, params, messages), correlation_id, sent)
        try:
            async with aclosing(asking) as items:
                async for item in items:
                    self._debugging.came(item, correlation_id)
                    match item:
                        case TextDelta():
                            self._journal.piece(ev.Content(text=item.text), correlation_id)
                        case ReasoningDelta() if self._shows_reasoning:
                            self._journal.piece(ev.Reasoning(text=item.text), correlation_id)
                        case Failed():
                            spent = spent if said else Cost()
                            return item.error
                    answer.feed(item)
                    said += self._ratio * _of_item(item)
                    spent = self._cost(estimate, said)
            if answer.error is not None:
                return answer.error
            message = answer.message()
            spent = self._counted(estimate, message)
            return s.StepFinished(message)
        finally:
            await reservation.settle(spent)

    def _stream(
        self, request: ModelRequest, correlation_id: str, sent: Sent
    ) -> AsyncGenerator[StreamItem]:
        """The answer; readers are told what the request waits for."""

        def tell(waits: str) -> None:
            self._journal.publish(ev.Info(message=waits), correlation_id)

        return self._model.stream(request, self._journal.holder, tell, sent)

    def _measure(self) -> Measure:
        """What is known of the next request, and of the model that it goes to."""
        transcript = self._journal.transcript
        own, told = self._engine.models.window(transcript.summary), transcript.window
        return Measure(
            window=min(own or told, told or own),
            answer=int(self._engine.params.get("max_tokens") or 0),
            prompt=tokens.of_text(transcript.prompt),
            tools=tokens.of_tools(self._tools()),
            messages=transcript.conversation.estimate(),
            ratio=self._ratio,
            recall="recall" in offered(transcript, self._engine.tools),
        )

    def _failed(self, error: object) -> s.StepFailed:
        return s.StepFailed(self._engine.masking.text(str(error)))

    async def _paid(
        self, request: ModelRequest, estimate: float
    ) -> tuple[dict[str, Any], Reservation]:
        """The request's parameters, its answer held to the window and to what can be paid for;
        and that set aside."""
        params = dict(request.params)
        most, window = int(params.get("max_tokens") or 0), self._measure().window
        if most and window:
            most = min(most, max(LEAST_ANSWER, window - round(_SLACK * estimate)))
            params["max_tokens"] = most
        held, reservation = await self._set_aside(estimate, most)
        return {**params, "max_tokens": held} if held else params, reservation

    async def _set_aside(self, estimate: float, most: int) -> tuple[int, Reservation]:
        """What a request may cost, and the tokens of its answer that this is for (0: any number).

        Requests of others in the tree are waited for where they take up the room: an answer is
        held to what is left only when nothing is in flight.
        """
        await self._purse.room(self._cost(estimate, most or LEAST_ANSWER))
        left, price = await self._purse.left(), self._model.price
        held = answer_within(left, estimate, most, LEAST_ANSWER, price)
        return held, await self._purse.reserve(self._cost(estimate, held))

    def _cost(self, prompt: float, completion: float) -> Cost:
        money = self._model.price.of(prompt, completion)
        return Cost(tokens=round(prompt + completion), money=money)

    def _counted(self, estimate: float, message: s.AssistantMessage) -> Cost:
        """What an answer has cost: as the provider counts, or as it is estimated."""
        usage = usage_of(message.usage)
        if usage is None:
            texts = [message.text, message.reasoning, *(c.arguments for c in message.tool_calls)]
            return self._cost(estimate, self._ratio * sum(map(tokens.of_text, texts)))
        self._ratio = tokens.corrected(self._ratio, estimate / self._ratio, usage.prompt_tokens)
        return self._cost(usage.prompt_tokens, usage.total_tokens - usage.prompt_tokens)

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


def _of_item(item: StreamItem) -> float:
    """Tokens of a piece of an answer, estimated."""
    match item:
        case TextDelta() | ReasoningDelta():
            return tokens.of_text(item.text)
        case ToolCallDelta():
            return tokens.of_text(item.arguments or "")
    return 0.0


def _with(
    request: ModelRequest,
    params: dict[str, Any],
    messages: Sequence[Mapping[str, Any]] | None = None,
) -> ModelRequest:
    return ModelRequest(
        model=request.model,
        messages=request.messages if messages is None else messages,
        tools=request.tools,
        params=params,
    )
