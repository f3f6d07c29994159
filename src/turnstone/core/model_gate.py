"""The gate before an endpoint: all requests to it pass here, and only here is one sent again.

Holds requests to the endpoint's limit, fairly between workstreams, and holds all of them back
when it refuses one for now. What fails in passing (a server error, a lost connection) is sent
again a few times, through the gate too; so is what is refused for one of its fields, without it. Never
sends a request again once anything of its answer was seen. What is decided stands in `core.model_queue` and `oturn.transport.retry`.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec

from oturn.errors import ModelError
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ModelTransport,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
from oturn.transport.closing import closing
from oturn.transport.retry import RetryPolicy
from turnstone.core.clock import Clock, SystemClock
from turnstone.core.host import EndpointHealth
from turnstone.core.model_queue import BackOff, Line, Ticket, asks_to_wait

#: Seconds for which one request waits for a provider that refuses it, before its turn fails.
PATIENCE = 300.0
#: How often what failed in passing is sent, and after which waits.
_RETRY = RetryPolicy()
#: How often a request that is refused for one of its fields is sent in another dialect.
_REPHRASED = 8
#: What says nothing of how an endpoint stands.
_PIECES = (TextDelta, ReasoningDelta, ToolCallDelta)
#: A wait that grew by less than so many seconds is not told anew.
_WORTH_TELLING = 1.0

Tell: TypeAlias = Callable[[str], None]
"""Is told, in a few words, what a request waits for."""

Sent: TypeAlias = Callable[[bool], None]
"""Is told True when a request is sent, False when it failed and waits to be sent again."""


def unseen(sent: bool) -> None:
    """For whoever need not be told."""


class _NotNow(Exception):
    """The provider asks for a longer wait than a request has patience for."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True, eq=False)
class _Waiter:
    let_in: asyncio.Future[None]
    tell: Tell
    told: float = 0.0  # until when, as it was told last


@dataclass(slots=True)
class _Flight:
    """A request under way."""

    sent: float
    asking: bool = True  # nothing has come yet
    again: float | None = None  # seconds after which it is sent again, for it failed in passing


class Gate:
    """One per endpoint. `limit`: requests at a time; 0: any number. Use on one event loop only."""

    def __init__(
        self,
        url: str = "",
        limit: int = 0,
        *,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._limit = limit
        self._clock = clock or SystemClock()
        self._chance = chance
        self._line = Line()
        self._back_off = BackOff()
        self._waiters: dict[Ticket, _Waiter] = {}
        self._flying = 0
        self._asking = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._health = EndpointHealth(url=url)

    def health(self) -> EndpointHealth:
        """How the endpoint stands, as far as requests to it have shown."""
        held = self._back_off.until - self._clock.monotonic()
        return msgspec.structs.replace(
            self._health,
            limit=self._limit,
            in_flight=self._flying,
            waiting=len(self._line),
            held_seconds=round(max(0.0, held), 1),
        )

    async def stream(
        self,
        transport: ModelTransport,
        request: ModelRequest,
        holder: str,
        tell: Tell,
        sent: Sent = unseen,
    ) -> AsyncGenerator[StreamItem]:
        """The answer, under the contract of a transport. To be closed if it is left early."""
        ticket = self._line.join(holder)
        begun, failures, rephrased = self._clock.monotonic(), 0, 0
        while True:
            try:
                await self._let_in(ticket, tell)
            except _NotNow as refusal:
                yield Failed(refusal.error)
                return
            flight = _Flight(self._clock.monotonic())
            refused: ModelError | None = None
            sent(True)
            try:
                async with closing(transport.stream(request)) as items:
                    async for item in items:
                        if not flight.asking and type(item) in _PIECES:  # as most are
                            yield item
                            continue
                        if flight.asking and isinstance(item, Failed) and asks_to_wait(item.error):
                            refused = item.error
                            break
                        if flight.asking and _rephrased(item) and rephrased < _REPHRASED:
                            rephrased += 1
                            flight.again = 0.0
                            break
                        if flight.asking and isinstance(item, Failed):
                            failures += 1
                            flight.again = self._later(item.error, failures, begun)
                            if flight.again is not None:
                                self._failed(item.error)
                                break
                        self._seen(flight, item)
                        yield item
            finally:
                self._landed(flight, refused)
            if refused is None and flight.again is None:
                return
            sent(False)
            if flight.again is not None:
                await asyncio.sleep(flight.again)
            else:
                ticket.refused = flight.sent if ticket.refused is None else ticket.refused
            self._line.back(ticket)

    def _later(self, error: ModelError, sent: int, begun: float) -> float | None:
        """Seconds after which a request that failed is sent again; None: it is not."""
        elapsed, chance = self._clock.monotonic() - begun, self._chance()
        return _RETRY.wait(error, lost=error.lost, sent=sent, elapsed=elapsed, chance=chance)

    async def _let_in(self, ticket: Ticket, tell: Tell) -> None:
        """Wait until this one may be sent. Raises _NotNow; then it is out of the line."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tell)
        self._waiters[ticket] = waiter
        try:
            self._open()
            if not waiter.let_in.done() and not self._held(self._clock.monotonic()):
                tell(self._crowd())
            await waiter.let_in
        except asyncio.CancelledError:
            if ticket in self._waiters:
                self._forget(ticket)
            elif not waiter.let_in.cancelled() and waiter.let_in.exception() is None:
                self._flying -= 1  # it was let in just now, and is not sent
                self._asking -= 1
            self._open()
            raise

    def _forget(self, ticket: Ticket) -> _Waiter:
        self._line.leave(ticket)
        return self._waiters.pop(ticket)

    def _open(self) -> None:
        """Let in whoever may be sent now; see to it that the others are, when they may."""
        now = self._clock.monotonic()
        self._turn_away(now)
        while (ticket := self._line.first()) is not None and self._admits(now):
            self._line.take()
            waiter = self._waiters.pop(ticket)
            if not waiter.let_in.done():  # its task may have been cancelled, and not know yet
                self._flying += 1
                self._asking += 1
                waiter.let_in.set_result(None)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._held(now) and self._waiters:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(self._back_off.until - now, self._open)
            self._tell_all(now)

    def _admits(self, now: float) -> bool:
        room = not self._limit or self._flying < self._limit
        return room and self._back_off.admits(self._asking, now)

    def _held(self, now: float) -> bool:
        return now < self._back_off.until

    def _turn_away(self, now: float) -> None:
        """Those whose patience ends before the endpoint may be asked again."""
        until, why = self._back_off.until, self._back_off.why
        if why is None or not self._held(now):
            return
        for ticket in list(self._waiters):
            since = now if ticket.refused is None else ticket.refused
            if until - since > PATIENCE:
                waiter = self._forget(ticket)
                if not waiter.let_in.done():
                    waiter.let_in.set_exception(_NotNow(_given_up(why, until - now)))

    def _tell_all(self, now: float) -> None:
        until, why = self._back_off.until, self._back_off.why
        seconds = max(1, math.ceil(until - now))
        asked = why is not None and why.retry_after is not None
        reason = "the provider asks for it" if asked else "the provider takes no requests now"
        for waiter in list(self._waiters.values()):
            if until > waiter.told + _WORTH_TELLING:
                waiter.told = until
                waiter.tell(f"waits {seconds} s: {reason}")

    def _crowd(self) -> str:
        if self._limit and self._flying >= self._limit:
            return f"waits for its turn: {self._limit} requests at a time go to this model"
        return "waits for its turn: the provider was busy, and is asked little by little"

    def _seen(self, flight: _Flight, item: StreamItem) -> None:
        match item:
            case Failed():
                self._failed(item.error)
            case Finished():
                now = round(self._clock.now(), 3)
                self._health = msgspec.structs.replace(self._health, last_success=now)
        if flight.asking:
            flight.asking = False
            self._asking -= 1
            self._back_off.answered(sent=flight.sent)
            self._open()

    def _failed(self, error: ModelError) -> None:
        self._health = msgspec.structs.replace(
            self._health, last_error=error.message, last_error_at=round(self._clock.now(), 3)
        )

    def _landed(self, flight: _Flight, refused: ModelError | None) -> None:
        """It is not under way any more."""
        self._flying -= 1
        self._asking -= flight.asking
        if refused is not None:
            now = self._clock.monotonic()
            self._failed(refused)
            self._back_off.refused(refused, sent=flight.sent, now=now, chance=self._chance())
        self._open()


def _rephrased(item: StreamItem) -> bool:
    """Whether it says that the request, sent again, is in another dialect."""
    return isinstance(item, Failed) and item.error.rephrased


def _given_up(why: ModelError, wait: float) -> ModelError:
    if wait > PATIENCE:
        text = f"It may be asked again in {math.ceil(wait)} s, and no turn waits for that long."
    else:
        text = f"It was asked again and again for {PATIENCE:.0f} s."
    return replace(why, message=f"{why.message} {text}")
