"""Requests of a workstream to models: what one may cost is set aside before it is made, and what
it has cost is settled and counted after.

The one way from a workstream to a model. Decides nothing about what is asked, nor what becomes
of the answer; where something cannot be paid for, nothing is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from oturn.agent_stream_state import MessageAssembler
from oturn.errors import ModelError
from oturn.signals import AssistantMessage
from oturn.transport.base import Failed, ModelRequest, StreamItem
from turnstone.core import events as ev
from turnstone.core import tokens
from turnstone.core.budget import Cost, answer_within
from turnstone.core.journal import Journal
from turnstone.core.model_gate import Tell
from turnstone.core.models import Model, ModelRole
from turnstone.core.purse import Purse
from turnstone.core.turns import usage_of


class NotAnswered(Exception):
    """The model gave no whole answer; `error` says why."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error


def unheard(waits: str) -> None:
    """For requests that nobody waits for."""


class Answer:
    """The answer to one request: iterate over it once. `recorded`: set by whoever records what it
    has used with the answer itself."""

    def __init__(self, model: Model, prompt: float, ratio: float) -> None:
        self.recorded = False
        self.prompt = prompt  # tokens, uncorrected
        self._model = model
        self._ratio = ratio
        self._items: AsyncGenerator[StreamItem] | None = None
        self._assembler = MessageAssembler()
        self._message: AssistantMessage | None = None
        self._under_way = False

    async def __aiter__(self) -> AsyncIterator[StreamItem]:
        assert self._items is not None
        async for item in self._items:
            self._assembler.feed(item)
            if type(item) is Failed:
                self._under_way = bool(self._said())  # what is refused costs nothing
            yield item

    def open(self, items: AsyncGenerator[StreamItem]) -> None:
        """Where its pieces come from."""
        self._items = items

    def sent(self, under_way: bool) -> None:
        """It is sent; or it failed, and waits to be sent again."""
        self._under_way = under_way

    @property
    def error(self) -> ModelError | None:
        """Why there is no whole answer."""
        return self._assembler.error

    @property
    def message(self) -> AssistantMessage:
        """The answer, as far as it has come."""
        if self._message is None or not self._assembler.ended:
            self._message = self._assembler.message()
        return self._message

    @property
    def made(self) -> bool:
        """It was asked for, and is to be paid."""
        return self._under_way

    @property
    def counted(self) -> ev.Usage | None:
        """As the provider counts; None where it does not, or the answer broke off."""
        whole = self._assembler.ended and self.error is None
        return usage_of(self.message.usage) if whole else None

    @property
    def usage(self) -> ev.Usage:
        """The same, estimated where nobody has counted."""
        if (counted := self.counted) is not None:
            return counted
        prompt, completion = round(self._ratio * self.prompt), round(self._said())
        return ev.Usage(prompt, completion, prompt + completion)

    def _said(self) -> float:
        """Tokens of the answer as far as it has come, estimated. Not piece by piece: that costs
        more than reading them, and is too high."""
        message = self.message
        texts = [message.text, message.reasoning, *(c.arguments for c in message.tool_calls)]
        return self._ratio * sum(map(tokens.of_text, texts))

    def cost(self) -> Cost:
        """What it has cost by now."""
        if not self.made:
            return Cost()
        used = self.usage
        return _cost(self._model, used.prompt_tokens, used.total_tokens - used.prompt_tokens)

    def record(self, role: ModelRole) -> ev.RequestCounted:
        """What is kept of it where its answer is in no other record."""
        return ev.RequestCounted(
            role=role,
            model=self.message.model or self._model.id,
            usage=self.usage,
            money=round(self.cost().money, 9),
            asked=self._model.name,
            model_key=self._model.key,
            estimate=round(self.prompt) if self.counted is not None else 0,
        )


class Paid:
    """One per workstream."""

    def __init__(self, journal: Journal, purse: Purse) -> None:
        self._journal = journal
        self._purse = purse

    def ratio(self, key: str) -> float:
        """Of the counts of the model of this key to our estimates; 1 where nothing is known."""
        return self._journal.transcript.learnt.ratios.get(key, 1.0)

    def tell(self, waits: str) -> None:
        """Tell readers what a request waits for."""
        turn = self._journal.transcript.turn
        cid = turn.message.correlation_id if turn is not None else ""
        self._journal.publish(ev.Info(message=waits), cid)

    async def affordable(self, model: Model, prompt: float, most: int, least: int) -> int:
        """Tokens of an answer that can be paid for (0: any number), of `most`, to a prompt of so
        many, uncorrected.

        Requests of others in the tree are waited for where they take up the room: an answer is
        held to what is left only when nothing is in flight, and never to less than `least`.
        """
        corrected = self.ratio(model.key) * prompt
        await self._purse.room(_cost(model, corrected, most or least))
        left = await self._purse.left()
        return answer_within(left, corrected, most, least, model.price)

    @asynccontextmanager
    async def asked(
        self,
        model: Model,
        request: ModelRequest,
        role: ModelRole,
        *,
        prompt: float,
        most: int,
        tell: Tell,
    ) -> AsyncIterator[Answer]:
        """Make a request, of `prompt` tokens (uncorrected), for an answer of `most`.

        Raises OverBudget: nothing was asked; StoreError. At the end of the block it is settled,
        and counted if it was made.
        """
        ratio = self.ratio(model.key)
        reservation = await self._purse.reserve(_cost(model, ratio * prompt, most))
        answer = Answer(model, prompt, ratio)
        try:
            stream = model.stream(request, self._journal.holder, tell, answer.sent)
            async with aclosing(stream) as items:
                answer.open(items)
                yield answer
        finally:
            await reservation.settle(answer.cost())
            if answer.made and not answer.recorded:
                await self._journal.append(answer.record(role))

    async def message(
        self,
        model: Model,
        request: ModelRequest,
        role: ModelRole,
        *,
        most: int,
        tell: Callable[[str], None],
    ) -> AssistantMessage:
        """The whole answer to a request that stands beside the conversation. Raises NotAnswered,
        and what `asked` does."""
        prompt = tokens.of_messages(request.messages)
        asked = self.asked(model, request, role, prompt=prompt, most=most, tell=tell)
        async with asked as answer:
            async for _ in answer:
                pass
        if answer.error is not None:
            raise NotAnswered(answer.error)
        return answer.message


def _cost(model: Model, prompt: float, completion: float) -> Cost:
    return Cost(tokens=round(prompt + completion), money=model.price.of(prompt, completion))
