"""An order that is paid and shipped: a machine with refusals and an end, on `OTurnNucleus`.

python order.py
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from oturn import OTurnNucleus, Transition


@dataclass(frozen=True)
class Order:
    """`price` and `paid` in cents."""

    number: str
    price: int
    paid: int = 0
    phase: Literal["open", "paid", "shipped", "cancelled"] = "open"


@dataclass(frozen=True)
class Pay:
    cents: int


@dataclass(frozen=True)
class Ship:
    parcel: str


@dataclass(frozen=True)
class Cancel:
    pass


Signal: TypeAlias = Pay | Ship | Cancel


@dataclass(frozen=True)
class Event:
    """What subscribers are told; `refused` when the signal changed nothing."""

    text: str
    refused: bool = False


Step: TypeAlias = Transition[Order, Event]


def reduce(order: Order, signal: Signal) -> Step:
    match signal:
        case Pay(cents):
            return pay(order, cents)
        case Ship(parcel):
            return ship(order, parcel)
        case Cancel():
            return cancel(order)


def pay(order: Order, cents: int) -> Step:
    missing = order.price - order.paid
    if not 0 < cents <= missing:
        return refused(order, f"{cents} cents cannot be paid: {missing} are missing")
    after = replace(order, paid=order.paid + cents)
    if after.paid < after.price:
        return Transition(after, [Event(f"{cents} cents paid, {missing - cents} are missing")])
    return Transition(replace(after, phase="paid"), [Event(f"{cents} cents paid, that is all")])


def ship(order: Order, parcel: str) -> Step:
    if order.phase != "paid":
        return refused(order, f"{order.number} is not shipped before it is paid")
    shipped = replace(order, phase="shipped")
    return Transition(shipped, [Event(f"{order.number} is in parcel {parcel}")], terminal=True)


def cancel(order: Order) -> Step:
    events = [Event(f"{order.paid} cents go back")] if order.paid else []
    events.append(Event(f"{order.number} is cancelled"))
    return Transition(replace(order, phase="cancelled"), events, terminal=True)


def refused(order: Order, reason: str) -> Step:
    return Transition(order, [Event(reason, refused=True)])


async def main() -> None:
    order: OTurnNucleus[Order, Signal, Event] = OTurnNucleus(Order("A-7", 5000), reduce)
    desk: asyncio.Queue[Event] = asyncio.Queue()
    order.subscribe(desk)
    for signal in (Ship("P-1"), Pay(2000), Pay(9000), Pay(3000), Ship("P-1"), Cancel()):
        await order.step(signal)
    while not desk.empty():
        event = desk.get_nowait()
        print(f"refused: {event.text}" if event.refused else event.text)
    print(f"{order.state.number} is {order.state.phase}, and over: {order.terminal}")


if __name__ == "__main__":
    asyncio.run(main())
